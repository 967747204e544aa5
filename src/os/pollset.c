/* Poll sets that stay open, and forks. */
#include "os/pollset.h"

#include <stdlib.h>

#include "os/fork.h"
#include "os/readiness.h"

struct mp_pollset {
  int fd;                   /* what the caller waits for; watches the socket */
  int armed;                /* the socket it is armed for, -1: none */
  unsigned fork_generation; /* of the process that made the set */
  mp_pollset *next;         /* free */
};

struct mp_pollsets {
  void (*forget)(void *context, int fd);
  void *context;
  mp_pollset *free;
};

mp_pollsets *mp_pollsets_new(void (*forget)(void *context, int fd), void *context) {
  mp_pollsets *pollsets = malloc(sizeof *pollsets);
  if (!pollsets)
    return NULL;
  *pollsets = (mp_pollsets){.forget = forget, .context = context};
  return pollsets;
}

static mp_pollset *pollset_new(void) {
  mp_pollset *pollset = malloc(sizeof *pollset);
  if (!pollset)
    return NULL;
  *pollset = (mp_pollset){.fd = mp_readiness_open(), .armed = -1, .fork_generation = mp_fork_generation()};
  if (pollset->fd < 0) {
    free(pollset);
    return NULL;
  }
  return pollset;
}

static bool is_own(const mp_pollset *pollset) {
  return pollset->fork_generation == mp_fork_generation();
}

/* In a child process, which has no use for its parent's set. */
static bool renew(mp_pollset *pollset) {
  int fd = mp_readiness_renew(pollset->fd);
  if (fd < 0)
    return false;
  pollset->fd = fd;
  pollset->fork_generation = mp_fork_generation();
  return true;
}

mp_pollset *mp_pollsets_take(mp_pollsets *pollsets) {
  mp_pollset *pollset = pollsets->free;
  if (!pollset)
    return pollset_new();
  if (!is_own(pollset) && !renew(pollset))
    return NULL;
  pollsets->free = pollset->next;
  return pollset;
}

void mp_pollsets_give(mp_pollsets *pollsets, mp_pollset *pollset) {
  if (!pollset)
    return;
  if (pollset->armed >= 0 && is_own(pollset))
    mp_readiness_disarm(pollset->fd, pollset->armed);
  pollset->armed = -1;
  pollset->next = pollsets->free;
  pollsets->free = pollset;
}

int mp_pollset_arm(mp_pollset *pollset, int socket, bool readable, bool writable) {
  mp_readiness_arm(pollset->fd, socket, readable, writable);
  pollset->armed = socket;
  return pollset->fd;
}

void mp_pollsets_close(mp_pollsets *pollsets) {
  while (pollsets->free) {
    mp_pollset *pollset = pollsets->free;
    pollsets->free = pollset->next;
    pollsets->forget(pollsets->context, pollset->fd);
    mp_readiness_close(pollset->fd, !is_own(pollset));
    free(pollset);
  }
}

void mp_pollsets_free(mp_pollsets *pollsets) {
  if (!pollsets)
    return;
  mp_pollsets_close(pollsets);
  free(pollsets);
}
