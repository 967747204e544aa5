/* A fault relay: stands between clients and one server, and adds latency, cuts and
   damage at exact bytes when told to by lines on its standard input.

     relay [--pipe] HOST:PORT|SOCKET [ADDRESS:PORT]

   prints "port N", the port that it listens on, at that address or on 127.0.0.1, then answers each line
   with one line. It ends when its input does. --pipe is for owners who can only read
   from a child: the commands are then written to the file named by the line
   "control PATH" that comes before the port. */
#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 64

noreturn void die(const char *what) {
  fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
  exit(1);
}

int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void relay_watch(struct relay *r, struct peer *p, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = p};
  if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, p->fd, &event) != 0)
    die("epoll_ctl");
}

static void remember_last(struct relay *r) {
  for (int way = UP; way <= DOWN; way++)
    r->last_forwarded[way] = r->last->stream[way].forwarded;
  r->last = NULL;
}

static void free_closed(struct relay *r) {
  for (struct connection **at = &r->open; *at != NULL;) {
    struct connection *c = *at;
    if (connection_is_open(c)) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    if (c == r->last)
      remember_last(r);
    connection_free(c);
  }
}

int64_t relay_pump(struct relay *r) {
  int64_t wake_ns = listener_accept(r);
  for (struct connection *c = r->open; c != NULL; c = c->next) {
    int64_t ns = connection_pump(r, c);
    wake_ns = ns < wake_ns ? ns : wake_ns;
  }
  free_closed(r);
  return wake_ns;
}

/* A timer because the timeouts of epoll_wait are too coarse. Returns the timeout to use. */
static int arm(struct relay *r, int64_t wake_ns) {
  struct itimerspec when = {0};
  if (wake_ns <= now_ns())
    return 0;
  if (wake_ns == NEVER || wake_ns == r->armed_ns)
    return -1;
  when.it_value.tv_sec = wake_ns / 1000000000;
  when.it_value.tv_nsec = wake_ns % 1000000000;
  if (timerfd_settime(r->timer.fd, TFD_TIMER_ABSTIME, &when, NULL) != 0)
    die("timerfd_settime");
  r->armed_ns = wake_ns;
  return -1;
}

static void note(const struct epoll_event *event) {
  struct peer *p = event->data.ptr;
  if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    p->readable = true;
  if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
    p->writable = true;
}

static void wait_for_events(struct relay *r, int timeout) {
  struct epoll_event events[EVENTS];
  int n = epoll_wait(r->epoll, events, EVENTS, timeout);
  if (n < 0 && errno != EINTR)
    die("epoll_wait");
  for (int i = 0; i < n; i++)
    note(&events[i]);
  if (n == EVENTS) /* commands come after all that happened before them */
    wait_for_events(r, 0);
}

static void run(struct relay *r) {
  for (;;) {
    wait_for_events(r, arm(r, relay_pump(r)));
    if (!r->control.readable)
      continue;
    r->control.readable = false;
    relay_pump(r);
    if (!control_obey(r))
      return;
  }
}

static void aim_at_socket(struct relay *r, const char *path) {
  struct sockaddr_un *address = (struct sockaddr_un *)&r->target;
  address->sun_family = AF_UNIX;
  r->target_size = sizeof *address;
  if (strlen(path) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    die(path);
  }
  memcpy(address->sun_path, path, strlen(path) + 1);
}

static void aim_at_host(struct relay *r, char *target) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  char *colon = strrchr(target, ':');
  if (colon == NULL) {
    errno = EINVAL;
    die(target);
  }
  *colon = 0;
  int error = getaddrinfo(target, colon + 1, &hints, &found);
  if (error != 0) {
    fprintf(stderr, "relay: %s: %s\n", target, gai_strerror(error));
    exit(1);
  }
  memcpy(&r->target, found->ai_addr, found->ai_addrlen);
  r->target_size = found->ai_addrlen;
  freeaddrinfo(found);
}

static void aim(struct relay *r, char *target) {
  if (strchr(target, '/') != NULL)
    aim_at_socket(r, target);
  else
    aim_at_host(r, target);
}

static void settle(struct relay *r, char *place) {
  char *colon = place ? strrchr(place, ':') : NULL;
  r->host.s_addr = htonl(INADDR_LOOPBACK);
  if (!colon)
    return;
  *colon = 0;
  r->port = (uint16_t)atoi(colon + 1);
  if (inet_pton(AF_INET, place, &r->host) != 1) {
    errno = EINVAL;
    die(place);
  }
}

static void make_descriptors(struct relay *r) {
  r->epoll = epoll_create1(EPOLL_CLOEXEC);
  r->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (r->epoll < 0 || r->timer.fd < 0)
    die("epoll");
  relay_watch(r, &r->timer, EPOLLIN | EPOLLET);
  r->control.fd = STDIN_FILENO;
  relay_watch(r, &r->control, EPOLLIN);
  if (!listener_open(r))
    die("listen");
}

/* A descriptor inherited from the owner, such as a session with the server, would
   stay open here after the owner closed it. */
static void close_inherited(void) {
  if (close_range(3, ~0U, 0) != 0)
    die("close_range");
}

static void raise_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void leave(struct relay *r) {
  for (struct connection *c = r->open; c != NULL; c = c->next)
    connection_cut(c, CUT_FIN);
  free_closed(r);
}

int main(int count, char **arguments) {
  static struct relay r = {.own_write_end = -1, .listener.fd = -1};
  bool pipe = count > 2 && strcmp(arguments[1], "--pipe") == 0;
  if (count < 2 + pipe || count > 3 + pipe) {
    fprintf(stderr, "usage: %s [--pipe] HOST:PORT|SOCKET [ADDRESS:PORT]\n", arguments[0]);
    return 2;
  }
  close_inherited();
  raise_limit();
  aim(&r, arguments[1 + pipe]);
  settle(&r, arguments[2 + pipe]);
  r.next[UP] = r.next[DOWN] = no_faults;
  if (pipe)
    control_make_pipe(&r);
  make_descriptors(&r);
  printf("port %u\n", (unsigned)r.port);
  fflush(stdout);
  run(&r);
  leave(&r);
  return 0;
}
