/* Sockets, by POSIX and what the systems add. */
#include "os/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/descriptor.h"

#ifndef POLLRDHUP
#include <sys/event.h>

#include "os/clock.h"
#include "outcome.h"
#endif

#ifndef TCP_KEEPIDLE
#define TCP_KEEPIDLE TCP_KEEPALIVE /* as macOS calls it */
#endif

/* ---- the peer's end ---- */

#ifdef POLLRDHUP

/* POLLRDHUP tells of the end also behind what has not been read. */
mp_socket_state mp_socket_look(int fd) {
  struct pollfd socket = {.fd = fd, .events = POLLIN | POLLRDHUP};
  poll(&socket, 1, 0);
  if (socket.revents & (POLLHUP | POLLERR | POLLNVAL))
    return MP_SOCKET_BROKEN;
  if (socket.revents & POLLRDHUP)
    return MP_SOCKET_CLOSING;
  return socket.revents ? MP_SOCKET_READABLE : MP_SOCKET_QUIET;
}

bool mp_socket_await_end(int fd, int timeout_ms, int stop_fd) {
  struct pollfd fds[2] = {{.fd = fd, .events = POLLRDHUP}, {.fd = stop_fd, .events = POLLIN}};
  poll(fds, 2, timeout_ms);
  return fds[0].revents != 0;
}

#else

/* On systems with a kqueue poll says POLLHUP of the peer's end alone, also behind what has not been read, or
   says it only once both directions have ended. A peek there leaves an error for whoever reads next. */
mp_socket_state mp_socket_look(int fd) {
  struct pollfd socket = {.fd = fd, .events = POLLIN};
  char byte;
  poll(&socket, 1, 0);
  if (!socket.revents)
    return MP_SOCKET_QUIET;
  ssize_t length = recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  if (length < 0)
    return errno == EAGAIN ? MP_SOCKET_QUIET : MP_SOCKET_BROKEN;
  return length == 0 || (socket.revents & POLLHUP) ? MP_SOCKET_CLOSING : MP_SOCKET_READABLE;
}

/* Watches each fd that is not -1. EV_CLEAR: what is left to read wakes once, when it comes. */
static bool watch(int queue, int fd, int stop_fd) {
  struct kevent changes[2];
  int count = 0;
  if (fd >= 0)
    EV_SET(&changes[count++], fd, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL);
  if (stop_fd >= 0)
    EV_SET(&changes[count++], stop_fd, EVFILT_READ, EV_ADD, 0, 0, NULL);
  return kevent(queue, changes, count, NULL, 0, NULL) == 0;
}

static bool await_end(int queue, int fd, int64_t until_ns) {
  int64_t left_ns;
  do {
    left_ns = until_ns - mp_clock_ns();
    struct timespec left = {0};
    if (left_ns > 0)
      left = (struct timespec){.tv_sec = left_ns / MP_SECOND, .tv_nsec = left_ns % MP_SECOND};
    struct kevent event;
    int count = kevent(queue, NULL, 0, &event, 1, &left);
    if (count <= 0 || (int)event.ident != fd)
      return false; /* time is up, a signal has come, or it is the fd that stops this */
    if (event.flags & EV_EOF)
      return true;
  } while (left_ns > 0);
  return false;
}

bool mp_socket_await_end(int fd, int timeout_ms, int stop_fd) {
  int queue = kqueue();
  if (queue < 0)
    return false;
  bool ended = fd >= 0; /* what cannot be watched is not there any more */
  if (watch(queue, fd, stop_fd))
    ended = await_end(queue, fd, mp_clock_ns() + timeout_ms * MP_MILLISECOND);
  close(queue);
  return ended;
}

#endif

/* ---- sending and reading ---- */

bool mp_socket_has_room(int fd) {
  struct pollfd socket = {.fd = fd, .events = POLLOUT};
  return poll(&socket, 1, 0) > 0 && (socket.revents & POLLOUT);
}

bool mp_socket_send(int fd, const struct iovec *parts, size_t count) {
  struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
  size_t length = 0;
  for (size_t i = 0; i < count; i++)
    length += parts[i].iov_len;
  ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0)
    errno = 0;
  return sent == (ssize_t)length;
}

ssize_t mp_socket_receive(int fd, void *bytes, size_t length) {
  return recv(fd, bytes, length, MSG_DONTWAIT);
}

void mp_socket_drain(int fd) {
  char waste[4096];
  for (int i = 0; i < 64 && recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0; i++)
    ;
}

bool mp_socket_set_low_water(int fd, int bytes) {
  bool done = setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0;
#ifdef __APPLE__
  done = false; /* its poll tells of a single byte */
#endif
  return done;
}

void mp_socket_keep_alive(int fd) {
  int on = 1, idle = 60, interval = 10, probes = 6;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

int mp_socket_duplicate(int fd) {
  return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static bool make_pair(int pair[2]) {
#ifdef SOCK_CLOEXEC
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;
#else
  return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
#endif
}

void mp_socket_replace(int fd) {
  int pair[2];
  if (!make_pair(pair)) {
    close(fd); /* no descriptor is left: whoever uses it finds it closed */
    return;
  }
  mp_descriptor_replace(fd, pair[0]);
  close(pair[1]);
}
