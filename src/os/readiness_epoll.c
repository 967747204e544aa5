/* Readiness by Linux's epoll. */
#include "os/readiness.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "os/descriptor.h"

int mp_readiness_open(void) {
  return epoll_create1(EPOLL_CLOEXEC);
}

/* The parent's waits would end for the child's sockets. */
int mp_readiness_renew(int fd) {
  int fresh = mp_readiness_open();
  if (fresh < 0)
    return -1;
  mp_descriptor_replace(fd, fresh);
  return fd;
}

void mp_readiness_close(int fd, bool inherited) {
  (void)inherited;
  close(fd);
}

/* The kernel forgets a socket when it is closed: hence ADD when there is nothing to modify. */
void mp_readiness_arm(int fd, int socket, bool readable, bool writable) {
  struct epoll_event event = {.events = EPOLLRDHUP, .data.fd = socket};
  if (readable)
    event.events |= EPOLLIN;
  if (writable)
    event.events |= EPOLLOUT;
  if (epoll_ctl(fd, EPOLL_CTL_MOD, socket, &event) != 0)
    epoll_ctl(fd, EPOLL_CTL_ADD, socket, &event);
}

void mp_readiness_disarm(int fd, int socket) {
  epoll_ctl(fd, EPOLL_CTL_DEL, socket, NULL);
}
