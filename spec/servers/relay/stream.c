/* One direction of a connection: a queue of chunks, each with the time at which it
   is due, and the damage done to the bytes on their way. */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Enough for 100 ms of delay at 40 MB/s; a slow reader stops the sender here. */
#define ROOM (4 * 1024 * 1024)

/* The protocol 10 greeting: a header of 4 bytes, the protocol's number, the version
   up to a NUL, then the low capability flags after 13 bytes of id, scramble and filler.
   The id has 4 bytes. CLIENT_SSL, 0x0800, is in the second byte of the flags. */
#define GREETING_PROTOCOL 4
#define GREETING_ID_BYTES 4
#define GREETING_NUL_TO_FLAGS 15
#define CLIENT_SSL_HIGH 0x08

struct chunk {
  struct chunk *next;
  int64_t due_ns;
  size_t size, sent;
  unsigned char bytes[];
};

const struct faults no_faults = {.cut_at = NOWHERE, .corrupt_at = NOWHERE};

void stream_init(struct stream *s, struct peer *from, struct peer *to, const struct faults *faults) {
  *s = (struct stream){.from = from, .to = to, .faults = *faults};
}

bool stream_has_room(const struct stream *s) {
  return s->waiting < ROOM;
}

/* `at` counts from the end of the version. */
static void change_behind_version(struct stream *s, uint64_t at, unsigned char *byte) {
  if (at <= GREETING_ID_BYTES && s->number != 0)
    *byte = (unsigned char)(s->number >> 8 * (at - 1));
  if (at < GREETING_NUL_TO_FLAGS)
    return;
  if (s->strip_tls)
    *byte &= (unsigned char)~CLIENT_SSL_HIGH;
  s->in_greeting = false;
}

static void change_greeting_at(struct stream *s, uint64_t at, unsigned char *byte) {
  if (at < GREETING_PROTOCOL)
    return;
  if (at == GREETING_PROTOCOL) {
    s->in_greeting = *byte == 10; /* else an error packet stands in its place */
  } else if (s->version_end == 0) {
    if (*byte == 0)
      s->version_end = at;
  } else {
    change_behind_version(s, at - s->version_end, byte);
  }
}

/* Byte by byte, since the greeting may arrive in any pieces. */
static void change_greeting(struct stream *s, struct chunk *c) {
  for (size_t i = 0; i < c->size && s->in_greeting; i++)
    change_greeting_at(s, s->entered + i, &c->bytes[i]);
}

static void corrupt(const struct stream *s, struct chunk *c) {
  uint64_t at = s->faults.corrupt_at;
  if (at >= s->entered && at - s->entered < c->size)
    c->bytes[at - s->entered] = s->faults.corrupt_with;
}

static struct chunk *chunk_new(const void *bytes, size_t size, int64_t due_ns) {
  struct chunk *c = malloc(sizeof *c + size);
  if (c == NULL)
    die("malloc");
  c->next = NULL;
  c->due_ns = due_ns;
  c->size = size;
  c->sent = 0;
  memcpy(c->bytes, bytes, size);
  return c;
}

void stream_enter(struct stream *s, const void *bytes, size_t size, int64_t due_ns) {
  struct chunk *c = chunk_new(bytes, size, due_ns);
  change_greeting(s, c);
  corrupt(s, c);
  if (s->last != NULL)
    s->last->next = c;
  else
    s->first = c;
  s->last = c;
  s->waiting += size;
  s->entered += size;
}

void stream_push(struct stream *s, const void *bytes, size_t size, int64_t due_ns) {
  size_t taken = packets_take(s, bytes, size, due_ns);
  if (taken < size)
    stream_enter(s, (const unsigned char *)bytes + taken, size - taken, due_ns);
}

static void pop(struct stream *s) {
  struct chunk *c = s->first;
  s->first = c->next;
  if (s->first == NULL)
    s->last = NULL;
  free(c);
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static size_t next_write(const struct stream *s, const struct settings *settings) {
  uint64_t size = s->first->size - s->first->sent;
  if (settings->chunk != 0)
    size = least(size, settings->chunk);
  if (settings->throttle != 0)
    size = least(size, settings->throttle / 200 + 16); /* 5 ms of it, and no crumbs */
  return (size_t)least(size, s->faults.cut_at - s->forwarded);
}

static void account(struct stream *s, size_t size, uint64_t throttle) {
  s->first->sent += size;
  s->waiting -= size;
  s->forwarded += size;
  if (s->first->sent == s->first->size)
    pop(s);
  if (throttle != 0)
    s->free_ns = now_ns() + (int64_t)((double)size / (double)throttle * 1e9);
}

static ssize_t send_some(struct stream *s, const struct settings *settings) {
  const unsigned char *bytes = s->first->bytes + s->first->sent;
  ssize_t n = send(s->to->fd, bytes, next_write(s, settings), MSG_NOSIGNAL);
  if (n >= 0) {
    account(s, (size_t)n, settings->throttle);
    return n;
  }
  if (errno == EINTR)
    return 0;
  s->to->writable = false;
  return errno == EAGAIN ? 0 : -1;
}

ssize_t stream_forward(struct stream *s, const struct settings *settings) {
  if (stream_next_ns(s, settings) > now_ns())
    return 0;
  if (s->first != NULL)
    return send_some(s, settings);
  if (s->end == CUT_FIN && !s->ended) {
    shutdown(s->to->fd, SHUT_WR);
    s->ended = true;
  }
  return 0;
}

static int64_t first_due_ns(const struct stream *s, const struct settings *settings) {
  if (!s->to->writable)
    return NEVER;
  if (settings->throttle != 0 && s->free_ns > s->first->due_ns)
    return s->free_ns;
  return s->first->due_ns;
}

int64_t stream_next_ns(const struct stream *s, const struct settings *settings) {
  if (s->first != NULL)
    return first_due_ns(s, settings);
  if (s->end != CUT_NONE)
    return s->ended ? NEVER : s->end_ns;
  return NEVER;
}

enum cut stream_verdict(const struct stream *s) {
  if (s->forwarded >= s->faults.cut_at)
    return s->faults.cut;
  if (s->first == NULL && s->end == CUT_RST && s->end_ns <= now_ns())
    return CUT_RST;
  return CUT_NONE;
}

void stream_free(struct stream *s) {
  while (s->first != NULL)
    pop(s);
  packets_free(&s->packets);
}
