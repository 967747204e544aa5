/* Ports: the fds that callers wait on for a server's socket. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "session.h"

static mp_port *port_new(void) {
  mp_port *port = malloc(sizeof *port);
  if (!port)
    return NULL;
  *port =
      (mp_port){.epoll = epoll_create1(EPOLL_CLOEXEC), .armed = -1, .fork_generation = mp_fork_generation()};
  if (port->epoll < 0) {
    free(port);
    return NULL;
  }
  return port;
}

/* A child process shares the set with its parent, whose waits would end for the child's sockets:
   another one takes its place. */
static void renew(mp_port *port) {
  int fresh = epoll_create1(EPOLL_CLOEXEC);
  if (fresh < 0)
    return;
  dup3(fresh, port->epoll, O_CLOEXEC);
  close(fresh);
  port->fork_generation = mp_fork_generation();
}

mp_port *mp_port_take(mariadb_driver *driver) {
  mp_port *port = driver->free_ports;
  if (!port)
    return port_new();
  driver->free_ports = port->next_free;
  if (port->fork_generation != mp_fork_generation())
    renew(port);
  return port;
}

void mp_port_give(mariadb_driver *driver, mp_port *port) {
  if (!port)
    return;
  if (port->armed >= 0 && port->fork_generation == mp_fork_generation())
    epoll_ctl(port->epoll, EPOLL_CTL_DEL, port->armed, NULL);
  port->armed = -1;
  port->next_free = driver->free_ports;
  driver->free_ports = port;
}

/* One-shot, so that data which arrives while nobody waits does not keep the port readable.
   The kernel forgets a socket when it is closed: hence ADD when there is nothing to modify. */
void mp_port_arm(mp_port *port, int fd, bool readable, bool writable) {
  struct epoll_event event = {.events = EPOLLONESHOT | EPOLLRDHUP, .data.fd = fd};
  if (readable)
    event.events |= EPOLLIN;
  if (writable)
    event.events |= EPOLLOUT;
  if (epoll_ctl(port->epoll, EPOLL_CTL_MOD, fd, &event) != 0)
    epoll_ctl(port->epoll, EPOLL_CTL_ADD, fd, &event);
  port->armed = fd;
}

void mp_ports_free(mariadb_driver *driver) {
  while (driver->free_ports) {
    mp_port *port = driver->free_ports;
    driver->free_ports = port->next_free;
    mp_forget(driver, port->epoll);
    close(port->epoll);
    free(port);
  }
}
