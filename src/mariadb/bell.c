/* Bells: eventfds by which one loan wakes another. They stay open, for the next, until the pool is closed. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "session.h"

/* ---- forks ---- */

/* Notes which process made the bell. */
static bool note(mariadb_driver *driver, int fd) {
  size_t limit = (size_t)fd + 1;
  if (limit > driver->bell_maker_count) {
    unsigned *makers = realloc(driver->bell_makers, 2 * limit * sizeof *makers);
    if (!makers)
      return false;
    driver->bell_makers = makers;
    driver->bell_maker_count = 2 * limit;
  }
  driver->bell_makers[fd] = mp_fork_generation();
  return true;
}

/* A child process shares the bell with its parent, and could hush what was rung for the parent:
   another one takes its place. */
static void make_own(mariadb_driver *driver, int fd) {
  if (driver->bell_makers[fd] == mp_fork_generation())
    return;
  int fresh = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fresh < 0)
    return;
  dup3(fresh, fd, O_CLOEXEC);
  close(fresh);
  note(driver, fd);
}

/* ---- taking and ringing ---- */

int mp_bell_take(mp_driver *self) {
  mariadb_driver *driver = (mariadb_driver *)self;
  if (driver->bell_count > 0) {
    int fd = driver->bells[--driver->bell_count];
    make_own(driver, fd);
    return fd;
  }
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd >= 0 && !note(driver, fd)) {
    close(fd);
    return -1;
  }
  return fd;
}

void mp_bell_ring(mp_driver *self, int fd) {
  make_own((mariadb_driver *)self, fd);
  eventfd_write(fd, 1);
}

void mp_bell_hush(mp_driver *self, int fd) {
  eventfd_t count;
  make_own((mariadb_driver *)self, fd);
  eventfd_read(fd, &count);
}

/* ---- giving back ---- */

static bool grow(mariadb_driver *driver) {
  size_t capacity = driver->bell_capacity ? driver->bell_capacity * 2 : 16;
  int *bells = realloc(driver->bells, capacity * sizeof *bells);
  if (!bells)
    return false;
  driver->bells = bells;
  driver->bell_capacity = capacity;
  return true;
}

void mp_bell_give(mp_driver *self, int fd) {
  mariadb_driver *driver = (mariadb_driver *)self;
  mp_bell_hush(self, fd);
  if (driver->bell_count == driver->bell_capacity && !grow(driver)) {
    mp_forget(driver, fd);
    close(fd);
    return;
  }
  driver->bells[driver->bell_count++] = fd;
}

void mp_bells_close(mariadb_driver *driver) {
  while (driver->bell_count > 0) {
    int fd = driver->bells[--driver->bell_count];
    mp_forget(driver, fd);
    close(fd);
  }
}

void mp_bells_free(mariadb_driver *driver) {
  mp_bells_close(driver);
  free(driver->bells);
  free(driver->bell_makers);
}
