/* Where clients come in, and where they are led to. */
#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#define RETRY_NS 10000000

static bool bind_and_listen(int fd, struct in_addr host, uint16_t *port) {
  int on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
  socklen_t size = sizeof address;
  address.sin_addr = host;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, SOMAXCONN) != 0)
    return false;
  if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
    return false;
  *port = ntohs(address.sin_port);
  return true;
}

bool listener_open(struct relay *r) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  if (!bind_and_listen(fd, r->host, &r->port)) {
    int reason = errno;
    close(fd);
    errno = reason;
    return false;
  }
  r->listener = (struct peer){.fd = fd};
  relay_watch(r, &r->listener, EPOLLIN | EPOLLET);
  return true;
}

void listener_close(struct relay *r) {
  if (r->listener.fd >= 0)
    close(r->listener.fd);
  r->listener = (struct peer){.fd = -1};
}

/* A unix socket answers EAGAIN when the server's backlog is full, and has no event
   for when it is not: wait in place, but not for ever. */
static int connect_unix(const struct relay *r) {
  struct timeval patience = {.tv_sec = 1};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (const struct sockaddr *)&r->target, r->target_size) == 0) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
  }
  close(fd);
  return -1;
}

static int connect_tcp(const struct relay *r) {
  int fd = socket(r->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  if (connect(fd, (const struct sockaddr *)&r->target, r->target_size) == 0 || errno == EINPROGRESS)
    return fd;
  close(fd);
  return -1;
}

static void lead_in(struct relay *r, int client) {
  int server = r->target.ss_family == AF_UNIX ? connect_unix(r) : connect_tcp(r);
  if (server < 0)
    socket_cut(client, CUT_RST);
  else
    connection_open(r, client, server);
}

int64_t listener_accept(struct relay *r) {
  while (r->listener.readable && !r->settings.held) {
    int client = accept4(r->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client >= 0)
      lead_in(r, client);
    else if (errno == EAGAIN)
      r->listener.readable = false;
    else if (errno != EINTR && errno != ECONNABORTED)
      return now_ns() + RETRY_NS; /* out of descriptors: they come back */
  }
  return NEVER;
}
