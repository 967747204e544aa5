/* A reply too few or too many: one of the server's is left out, comes twice, or has an OK behind it. What
   comes behind it then answers another statement than the client believes. Known are the replies to
   statements that have one result, and to a prepare. */
#include "relay.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 4

static void keep(struct part *part, const unsigned char *bytes, size_t size) {
  if (part->size + size > part->room) {
    part->room = 2 * (part->size + size);
    part->bytes = realloc(part->bytes, part->room);
    if (part->bytes == NULL)
      die("realloc");
  }
  memcpy(part->bytes + part->size, bytes, size);
  part->size += size;
}

/* How many bytes of the packet that is arriving are missing, or of its header. */
static size_t missing(const struct part *packet) {
  if (packet->size < HEADER)
    return HEADER - packet->size;
  const unsigned char *header = packet->bytes;
  return HEADER + (header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16) - packet->size;
}

static void pass_on(struct stream *s, const struct part *part, int64_t due_ns) {
  stream_enter(s, part->bytes, part->size, due_ns);
}

static bool is_eof(const struct part *packet) {
  return packet->bytes[HEADER] == 0xFE && packet->size - HEADER < 9;
}

/* How many lists, of columns, parameters or rows, the reply has that begins so. Each ends with an EOF. */
static unsigned lists_behind(const struct part *packet) {
  const unsigned char *body = packet->bytes + HEADER;
  bool prepared = body[0] == 0 && packet->size - HEADER == 12;
  if (prepared)
    return ((body[5] | body[6]) != 0) + ((body[7] | body[8]) != 0);
  return body[0] == 0 || body[0] == 0xFF ? 0 : 2;
}

/* All in one piece: a client that has not read on could not know of what comes later. */
static void shift(struct stream *s, int64_t due_ns) {
  static const unsigned char ok[] = {7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0};
  struct packets *p = &s->packets;
  size_t once = p->reply.size;
  if (p->shift == SHIFT_ADD)
    keep(&p->reply, ok, sizeof ok);
  for (size_t i = 0; p->shift == SHIFT_DOUBLE && i < once; i++)
    keep(&p->reply, &(unsigned char){p->reply.bytes[i]}, 1);
  if (p->shift != SHIFT_DROP)
    pass_on(s, &p->reply, due_ns);
  p->shift = SHIFT_NONE;
}

static void end_reply(struct stream *s, int64_t due_ns) {
  struct packets *p = &s->packets;
  if (p->left == 0) {
    shift(s, due_ns);
  } else {
    p->left--;
    pass_on(s, &p->reply, due_ns);
  }
  p->reply.size = 0;
}

static void end_packet(struct stream *s, int64_t due_ns) {
  struct packets *p = &s->packets;
  bool failed = p->arriving.bytes[HEADER] == 0xFF; /* in the middle of rows, too */
  if (p->reply.size == 0)
    p->lists = lists_behind(&p->arriving);
  else if (is_eof(&p->arriving))
    p->lists--;
  keep(&p->reply, p->arriving.bytes, p->arriving.size);
  p->arriving.size = 0;
  if (p->lists == 0 || failed)
    end_reply(s, due_ns);
}

size_t packets_take(struct stream *s, const unsigned char *bytes, size_t size, int64_t due_ns) {
  struct packets *p = &s->packets;
  size_t taken = 0;
  while (p->shift != SHIFT_NONE && taken < size) {
    size_t wanted = missing(&p->arriving), here = size - taken < wanted ? size - taken : wanted;
    keep(&p->arriving, bytes + taken, here);
    taken += here;
    if (p->arriving.size >= HEADER && missing(&p->arriving) == 0)
      end_packet(s, due_ns);
  }
  return taken;
}

void packets_free(struct packets *p) {
  free(p->arriving.bytes);
  free(p->reply.bytes);
}
