/* A set of descriptors, and the thread that tells an event loop when one of them is readable. */
#include "os/watch.h"

#include <errno.h>
#include <stdlib.h>

#ifdef __linux__

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 100, MOST_AT_ONCE = 64, STACK = 64 * 1024 };

struct mp_watch {
  int set;
  int bell;                      /* the set that the thread waits for, which closes it; valid while it runs */
  int listener;                  /* -1: none */
  char folder[MP_WATCH_PATH];    /* of the listener */
  char path[MP_WATCH_PATH + 16]; /* ... in it */
  struct epoll_event ready[MOST_AT_ONCE];
  int count, next; /* of them */
};

/* The thread's own: nothing of the watch, which may be gone. */
typedef struct ringer {
  int bell, socket;
} ringer;

enum { THE_SET = 1, THE_SOCKET };

mp_watch *mp_watch_new(void) {
  mp_watch *watch = calloc(1, sizeof *watch);
  if (!watch)
    return NULL;
  watch->listener = watch->bell = -1;
  watch->set = epoll_create1(EPOLL_CLOEXEC);
  if (watch->set >= 0)
    return watch;
  free(watch);
  return NULL;
}

/* The path is of use to nobody any more. */
static void stop_listening(mp_watch *watch) {
  if (watch->listener < 0)
    return;
  close(watch->listener);
  unlink(watch->path);
  rmdir(watch->folder);
  watch->listener = -1;
}

void mp_watch_free(mp_watch *watch) {
  if (!watch)
    return;
  stop_listening(watch);
  close(watch->set);
  free(watch);
}

/* ---- the socket ---- */

static bool make_folder(mp_watch *watch) {
  const char *parent = getenv("TMPDIR");
  int length =
      snprintf(watch->folder, sizeof watch->folder, "%s/mypool.XXXXXX", parent && *parent ? parent : "/tmp");
  errno = ENAMETOOLONG; /* for the next line */
  return length < MP_WATCH_PATH - 3 && mkdtemp(watch->folder);
}

static bool listen_at(mp_watch *watch) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, watch->path, strlen(watch->path) + 1);
  watch->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return watch->listener >= 0 && bind(watch->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
         listen(watch->listener, 8) == 0;
}

bool mp_watch_listen(mp_watch *watch, char path[MP_WATCH_PATH]) {
  stop_listening(watch);
  if (!make_folder(watch))
    return false;
  snprintf(watch->path, sizeof watch->path, "%s/s", watch->folder);
  if (!listen_at(watch)) {
    int failure = errno;
    stop_listening(watch);
    rmdir(watch->folder);
    errno = failure;
    return false;
  }
  strcpy(path, watch->path);
  return true;
}

/* The folder is closed to other users, but not to root. */
static bool is_of_this_process(int socket) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == getpid();
}

static int accept_own(mp_watch *watch) {
  int socket;
  while ((socket = accept4(watch->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
    if (is_of_this_process(socket))
      break;
    close(socket);
  }
  return socket;
}

/* ---- the thread ---- */

static void watch_in(int bell, int operation, int fd, uint32_t events, uint32_t what) {
  struct epoll_event event = {.events = events, .data.u32 = what};
  epoll_ctl(bell, operation, fd, &event);
}

/* Returns false when nobody reads any more. A reader that is late finds what is there already. */
static bool ring(const ringer *self) {
  return send(self->socket, ".", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EAGAIN || errno == EINTR;
}

static void *run(void *argument) {
  ringer *self = argument;
  struct epoll_event news = {0};
  bool goes_on = true;
  while (goes_on) {
    int count = epoll_wait(self->bell, &news, 1, HEARTBEAT_MS);
    goes_on = (count < 1 || news.data.u32 == THE_SET) && ring(self);
  }
  close(self->bell);
  close(self->socket);
  free(self);
  return NULL;
}

static int start_thread(ringer *self) {
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK < PTHREAD_STACK_MIN ? PTHREAD_STACK_MIN : STACK);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&thread, &attributes, run, self);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return failed;
}

static bool start(mp_watch *watch, int socket) {
  ringer *self = malloc(sizeof *self);
  if (!self)
    return false;
  *self = (ringer){.bell = epoll_create1(EPOLL_CLOEXEC), .socket = socket};
  if (self->bell >= 0) {
    watch->bell = self->bell;
    watch_in(self->bell, EPOLL_CTL_ADD, socket, EPOLLRDHUP, THE_SOCKET);
    watch_in(self->bell, EPOLL_CTL_ADD, watch->set, EPOLLIN | EPOLLONESHOT, THE_SET);
    errno = start_thread(self);
    if (errno == 0)
      return true;
    close(self->bell);
  }
  free(self);
  return false;
}

bool mp_watch_start(mp_watch *watch) {
  int socket = accept_own(watch);
  stop_listening(watch);
  if (socket < 0 || start(watch, socket))
    return socket >= 0;
  int failure = errno;
  close(socket);
  errno = failure;
  return false;
}

/* ---- the set ---- */

bool mp_watch_arm(mp_watch *watch, int fd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
  return epoll_ctl(watch->set, EPOLL_CTL_MOD, fd, &event) == 0 ||
         epoll_ctl(watch->set, EPOLL_CTL_ADD, fd, &event) == 0;
}

void mp_watch_disarm(mp_watch *watch, int fd) {
  epoll_ctl(watch->set, EPOLL_CTL_DEL, fd, NULL);
}

int mp_watch_next(mp_watch *watch) {
  if (watch->next == watch->count) {
    watch->next = 0;
    watch->count = epoll_wait(watch->set, watch->ready, MOST_AT_ONCE, 0);
    if (watch->count <= 0)
      return watch->count = 0, -1;
  }
  return watch->ready[watch->next++].data.fd;
}

void mp_watch_go_on(mp_watch *watch) {
  watch_in(watch->bell, EPOLL_CTL_MOD, watch->set, EPOLLIN | EPOLLONESHOT, THE_SET);
}

#else

mp_watch *mp_watch_new(void) {
  errno = ENOSYS;
  return NULL;
}

void mp_watch_free(mp_watch *watch) {
  free(watch);
}

bool mp_watch_listen(mp_watch *watch, char path[MP_WATCH_PATH]) {
  (void)watch, (void)path;
  return false;
}

bool mp_watch_start(mp_watch *watch) {
  (void)watch;
  return false;
}

bool mp_watch_arm(mp_watch *watch, int fd) {
  (void)watch, (void)fd;
  return false;
}

void mp_watch_disarm(mp_watch *watch, int fd) {
  (void)watch, (void)fd;
}

int mp_watch_next(mp_watch *watch) {
  (void)watch;
  return -1;
}

void mp_watch_go_on(mp_watch *watch) {
  (void)watch;
}

#endif
