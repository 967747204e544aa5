/* Sockets, by POSIX and what Linux adds. */
#include "os/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

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

bool mp_socket_has_room(int fd) {
  struct pollfd socket = {.fd = fd, .events = POLLOUT};
  return poll(&socket, 1, 0) > 0 && (socket.revents & POLLOUT);
}

bool mp_socket_await_end(int fd, int timeout_ms, int stop_fd) {
  struct pollfd fds[2] = {{.fd = fd, .events = POLLRDHUP}, {.fd = stop_fd, .events = POLLIN}};
  poll(fds, 2, timeout_ms);
  return fds[0].revents != 0;
}

bool mp_socket_send(int fd, const struct iovec *parts, size_t count) {
  struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
  size_t length = 0;
  for (size_t i = 0; i < count; i++)
    length += parts[i].iov_len;
  return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

void mp_socket_drain(int fd) {
  char waste[4096];
  for (int i = 0; i < 64 && recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0; i++)
    ;
}

void mp_socket_set_low_water(int fd, int bytes) {
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

void mp_socket_keep_alive(int fd) {
  int on = 1, idle = 60, interval = 10, probes = 6;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

void mp_socket_set_nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void mp_socket_close_on_exec(int fd) {
  fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int mp_socket_duplicate(int fd) {
  return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void mp_socket_replace(int fd) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    close(fd); /* no descriptor is left: whoever uses it finds it closed */
    return;
  }
  dup3(pair[0], fd, O_CLOEXEC);
  close(pair[0]);
  close(pair[1]);
}
