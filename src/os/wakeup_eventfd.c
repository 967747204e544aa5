/* Wake-ups by Linux's eventfd. */
#include "os/wakeup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/fork.h"

struct mp_wakeups {
  void (*forget)(void *context, int fd);
  void *context;
  int *free; /* fds */
  size_t count, capacity;
  unsigned *makers; /* of all wake-ups, by fd: the fork generation of the process that made it */
  size_t maker_count;
};

int mp_wakeup_open(void) {
  return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void mp_wakeup_notify(int fd) {
  eventfd_write(fd, 1);
}

void mp_wakeup_clear(int fd) {
  eventfd_t count;
  eventfd_read(fd, &count);
}

mp_wakeups *mp_wakeups_new(void (*forget)(void *context, int fd), void *context) {
  mp_wakeups *wakeups = calloc(1, sizeof *wakeups);
  if (!wakeups)
    return NULL;
  wakeups->forget = forget;
  wakeups->context = context;
  return wakeups;
}

/* ---- forks ---- */

/* Notes which process made the wake-up. */
static bool note(mp_wakeups *wakeups, int fd) {
  size_t limit = (size_t)fd + 1;
  if (limit > wakeups->maker_count) {
    unsigned *makers = realloc(wakeups->makers, 2 * limit * sizeof *makers);
    if (!makers)
      return false;
    wakeups->makers = makers;
    wakeups->maker_count = 2 * limit;
  }
  wakeups->makers[fd] = mp_fork_generation();
  return true;
}

/* A child process shares the wake-up with its parent, and could clear what the parent was notified of:
   another one takes its place. */
static void make_own(mp_wakeups *wakeups, int fd) {
  if (wakeups->makers[fd] == mp_fork_generation())
    return;
  int fresh = mp_wakeup_open();
  if (fresh < 0)
    return;
  dup3(fresh, fd, O_CLOEXEC);
  close(fresh);
  note(wakeups, fd);
}

/* ---- taking and notifying ---- */

int mp_wakeups_take(mp_wakeups *wakeups) {
  if (wakeups->count > 0) {
    int fd = wakeups->free[--wakeups->count];
    make_own(wakeups, fd);
    return fd;
  }
  int fd = mp_wakeup_open();
  if (fd >= 0 && !note(wakeups, fd)) {
    close(fd);
    return -1;
  }
  return fd;
}

void mp_wakeups_notify(mp_wakeups *wakeups, int fd) {
  make_own(wakeups, fd);
  mp_wakeup_notify(fd);
}

void mp_wakeups_clear(mp_wakeups *wakeups, int fd) {
  make_own(wakeups, fd);
  mp_wakeup_clear(fd);
}

/* ---- giving back ---- */

static bool grow(mp_wakeups *wakeups) {
  size_t capacity = wakeups->capacity ? wakeups->capacity * 2 : 16;
  int *grown = realloc(wakeups->free, capacity * sizeof *grown);
  if (!grown)
    return false;
  wakeups->free = grown;
  wakeups->capacity = capacity;
  return true;
}

static void close_fd(mp_wakeups *wakeups, int fd) {
  wakeups->forget(wakeups->context, fd);
  close(fd);
}

void mp_wakeups_give(mp_wakeups *wakeups, int fd) {
  mp_wakeups_clear(wakeups, fd);
  if (wakeups->count == wakeups->capacity && !grow(wakeups))
    close_fd(wakeups, fd);
  else
    wakeups->free[wakeups->count++] = fd;
}

void mp_wakeups_close(mp_wakeups *wakeups) {
  while (wakeups->count > 0)
    close_fd(wakeups, wakeups->free[--wakeups->count]);
}

void mp_wakeups_free(mp_wakeups *wakeups) {
  if (!wakeups)
    return;
  mp_wakeups_close(wakeups);
  free(wakeups->free);
  free(wakeups->makers);
  free(wakeups);
}
