/* One client and its session on the server: two sockets, two streams, and the ways
   in which they end. */
#include "relay.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RETRY_NS 1000000

static void take_over(struct relay *r, struct peer *p, int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket */
  *p = (struct peer){.fd = fd};
  relay_watch(r, p, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void add_to_open(struct relay *r, struct connection *c) {
  c->next = r->open;
  r->open = c;
  r->last = c;
  r->accepted++;
}

static void expect_greeting(const struct relay *r, struct stream *s) {
  s->strip_tls = r->settings.strip_tls;
  if (r->settings.numbers != 0)
    s->number = r->accepted % r->settings.numbers + 1;
  s->in_greeting = s->strip_tls || s->number != 0;
}

void connection_open(struct relay *r, int client, int server) {
  struct connection *c = calloc(1, sizeof *c);
  if (c == NULL)
    die("calloc");
  take_over(r, &c->client, client);
  take_over(r, &c->server, server);
  stream_init(&c->stream[UP], &c->client, &c->server, &r->next[UP]);
  stream_init(&c->stream[DOWN], &c->server, &c->client, &r->next[DOWN]);
  expect_greeting(r, &c->stream[DOWN]);
  r->next[UP] = r->next[DOWN] = no_faults;
  add_to_open(r, c);
}

bool connection_is_open(const struct connection *c) {
  return c->client.fd >= 0;
}

/* With unread bytes in it, a closed socket sends RST instead of FIN. */
static void discard_input(int fd) {
  char bytes[16 * 1024];
  for (int i = 0; i < 256; i++)
    if (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
      return;
}

void socket_cut(int fd, enum cut how) {
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  if (how == CUT_RST) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  } else {
    shutdown(fd, SHUT_WR); /* first: a byte that arrives later then finds FIN already sent */
    discard_input(fd);
  }
  close(fd);
}

void connection_cut(struct connection *c, enum cut how) {
  if (how == CUT_HOLD) {
    c->held = true;
    return;
  }
  socket_cut(c->client.fd, how);
  socket_cut(c->server.fd, how);
  c->client.fd = c->server.fd = -1;
}

static ssize_t read_some(struct peer *p, unsigned char *bytes, size_t size) {
  ssize_t n;
  do
    n = recv(p->fd, bytes, size, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    p->readable = false;
  return n;
}

static void record(struct relay *r, const unsigned char *bytes, size_t size) {
  size_t room = sizeof r->record - r->recorded;
  size_t taken = size < room ? size : room;
  memcpy(r->record + r->recorded, bytes, taken);
  r->recorded += taken;
}

/* Whoever sends to a client that the relay answers itself pays both ways of the delay. */
static void pass(struct relay *r, struct connection *c, enum way way, const unsigned char *bytes,
                 size_t size) {
  const int64_t *delay_ns = r->settings.delay_ns;
  int64_t due_ns = now_ns() + delay_ns[way];
  if (way == UP && r->recording)
    record(r, bytes, size);
  if (way == UP && c->answering)
    stream_push(&c->stream[DOWN], r->answer.at, r->answer.size, due_ns + delay_ns[DOWN]);
  else if (way == DOWN && c->replacing)
    stream_push(&c->stream[DOWN], r->answer.at, r->answer.size, due_ns);
  else
    stream_push(&c->stream[way], bytes, size, due_ns);
  c->replacing = c->replacing && way == UP;
}

static bool wants_input(const struct connection *c, enum way way) {
  const struct stream *s = &c->stream[way];
  const struct stream *sink = way == UP && c->answering ? &c->stream[DOWN] : s;
  return s->from->readable && s->end == CUT_NONE && stream_has_room(sink);
}

static void take(struct relay *r, struct connection *c, enum way way) {
  static unsigned char bytes[64 * 1024];
  struct stream *s = &c->stream[way];
  while (wants_input(c, way)) {
    ssize_t n = read_some(s->from, bytes, sizeof bytes);
    if (n > 0) {
      pass(r, c, way, bytes, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
      s->end = n == 0 ? CUT_FIN : CUT_RST;
      s->end_ns = now_ns() + r->settings.delay_ns[way];
    }
  }
}

static void forward(struct relay *r, struct connection *c, enum way way) {
  ssize_t n = stream_forward(&c->stream[way], &r->settings);
  if (n > 0)
    r->bytes[way] += (uint64_t)n;
  else if (n < 0)
    connection_cut(c, CUT_RST);
}

/* RST throws away what the kernel has not sent yet, but the bytes before the cut are
   promised to arrive. */
static bool has_unsent(int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  int bytes = 0;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state == TCP_CLOSE)
    return false; /* a unix socket, or a receiver that is gone */
  return ioctl(fd, SIOCOUTQNSD, &bytes) == 0 && bytes > 0;
}

/* An end that the relay only passes on is no cut of its own. */
static void carry_out(struct relay *r, struct connection *c, const struct stream *s) {
  enum cut how = stream_verdict(s);
  if (how == CUT_RST && has_unsent(s->to->fd))
    return;
  r->cuts += s->forwarded >= s->faults.cut_at;
  connection_cut(c, how);
}

static bool may_move(const struct relay *r, const struct connection *c) {
  return connection_is_open(c) && !c->held && !r->settings.held;
}

/* Ends the connection if it is time. True if it goes on. */
static bool goes_on(struct relay *r, struct connection *c) {
  if (!may_move(r, c))
    return false;
  for (int way = UP; way <= DOWN; way++)
    if (stream_verdict(&c->stream[way]) != CUT_NONE) {
      carry_out(r, c, &c->stream[way]);
      return false;
    }
  if (c->stream[UP].ended && c->stream[DOWN].ended)
    connection_cut(c, CUT_FIN);
  return connection_is_open(c);
}

static int64_t next_ns(const struct relay *r, const struct connection *c) {
  int64_t up = stream_next_ns(&c->stream[UP], &r->settings);
  int64_t down = stream_next_ns(&c->stream[DOWN], &r->settings);
  if (wants_input(c, UP) || wants_input(c, DOWN))
    return 0;
  return up < down ? up : down;
}

/* At most one write in each direction, so that a busy connection does not starve the others. */
int64_t connection_pump(struct relay *r, struct connection *c) {
  for (enum way way = UP; way <= DOWN && goes_on(r, c); way++) {
    take(r, c, way);
    forward(r, c, way);
  }
  if (goes_on(r, c))
    return next_ns(r, c);
  return may_move(r, c) ? now_ns() + RETRY_NS : NEVER; /* a cut may wait for unsent bytes */
}

void connection_free(struct connection *c) {
  stream_free(&c->stream[UP]);
  stream_free(&c->stream[DOWN]);
  free(c);
}
