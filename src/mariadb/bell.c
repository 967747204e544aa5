/* Bells: eventfds by which one loan wakes another. They stay open as long as the driver. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "session.h"

int mp_bell_take(mp_driver *self) {
  mariadb_driver *driver = (mariadb_driver *)self;
  if (driver->bell_count > 0)
    return driver->bells[--driver->bell_count];
  return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void mp_bell_ring(mp_driver *self, int fd) {
  (void)self;
  eventfd_write(fd, 1);
}

void mp_bell_hush(mp_driver *self, int fd) {
  (void)self;
  eventfd_t count;
  eventfd_read(fd, &count);
}

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

void mp_bells_free(mariadb_driver *driver) {
  while (driver->bell_count > 0) {
    int fd = driver->bells[--driver->bell_count];
    mp_forget(driver, fd);
    close(fd);
  }
  free(driver->bells);
}
