/* Wake-ups that stay open, and forks. */
#include "os/wakeup.h"

#include <stdbool.h>
#include <stdlib.h>

#include "os/descriptor.h"
#include "os/fork.h"

struct maker {
  int notify_fd;
  unsigned fork_generation; /* of the process that made the wake-up */
};

struct mp_wakeups {
  void (*forget)(void *context, int fd);
  void *context;
  int *free; /* fds */
  size_t count, capacity;
  struct maker *makers; /* of all wake-ups, by fd */
  size_t maker_count;
};

mp_wakeups *mp_wakeups_new(void (*forget)(void *context, int fd), void *context) {
  mp_wakeups *wakeups = calloc(1, sizeof *wakeups);
  if (!wakeups)
    return NULL;
  wakeups->forget = forget;
  wakeups->context = context;
  return wakeups;
}

static mp_wakeup wakeup_of(const mp_wakeups *wakeups, int fd) {
  return (mp_wakeup){.fd = fd, .notify_fd = wakeups->makers[fd].notify_fd};
}

/* ---- forks ---- */

/* Notes which process made the wake-up. */
static bool note(mp_wakeups *wakeups, mp_wakeup wakeup) {
  size_t limit = (size_t)wakeup.fd + 1;
  if (limit > wakeups->maker_count) {
    struct maker *makers = realloc(wakeups->makers, 2 * limit * sizeof *makers);
    if (!makers)
      return false;
    wakeups->makers = makers;
    wakeups->maker_count = 2 * limit;
  }
  wakeups->makers[wakeup.fd] = (struct maker){wakeup.notify_fd, mp_fork_generation()};
  return true;
}

/* A child process shares the wake-up with its parent, and could clear what the parent was notified of:
   another one takes its place. */
static void make_own(mp_wakeups *wakeups, int fd) {
  if (wakeups->makers[fd].fork_generation == mp_fork_generation())
    return;
  mp_wakeup own = wakeup_of(wakeups, fd), fresh = mp_wakeup_open();
  if (fresh.fd < 0)
    return;
  mp_descriptor_replace(own.fd, fresh.fd);
  if (fresh.notify_fd != fresh.fd)
    mp_descriptor_replace(own.notify_fd, fresh.notify_fd);
  note(wakeups, own);
}

/* ---- taking and notifying ---- */

mp_wakeup mp_wakeups_take(mp_wakeups *wakeups) {
  if (wakeups->count > 0) {
    int fd = wakeups->free[--wakeups->count];
    make_own(wakeups, fd);
    return wakeup_of(wakeups, fd);
  }
  mp_wakeup wakeup = mp_wakeup_open();
  if (wakeup.fd >= 0 && !note(wakeups, wakeup)) {
    mp_wakeup_close(wakeup);
    wakeup.fd = -1;
  }
  return wakeup;
}

void mp_wakeups_notify(mp_wakeups *wakeups, int fd) {
  make_own(wakeups, fd);
  mp_wakeup_notify(wakeup_of(wakeups, fd));
}

void mp_wakeups_clear(mp_wakeups *wakeups, int fd) {
  make_own(wakeups, fd);
  mp_wakeup_clear(wakeup_of(wakeups, fd));
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

static void drop(mp_wakeups *wakeups, int fd) {
  wakeups->forget(wakeups->context, fd);
  mp_wakeup_close(wakeup_of(wakeups, fd));
}

void mp_wakeups_give(mp_wakeups *wakeups, int fd) {
  mp_wakeups_clear(wakeups, fd);
  if (wakeups->count == wakeups->capacity && !grow(wakeups))
    drop(wakeups, fd);
  else
    wakeups->free[wakeups->count++] = fd;
}

void mp_wakeups_close(mp_wakeups *wakeups) {
  while (wakeups->count > 0)
    drop(wakeups, wakeups->free[--wakeups->count]);
}

void mp_wakeups_free(mp_wakeups *wakeups) {
  if (!wakeups)
    return;
  mp_wakeups_close(wakeups);
  free(wakeups->free);
  free(wakeups->makers);
  free(wakeups);
}
