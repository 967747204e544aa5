/* Poll sets by Linux's epoll. */
#include "os/pollset.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "os/fork.h"

struct mp_pollset {
  int epoll;                /* what the caller waits for; holds the socket */
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
  *pollset = (mp_pollset){
      .epoll = epoll_create1(EPOLL_CLOEXEC), .armed = -1, .fork_generation = mp_fork_generation()};
  if (pollset->epoll < 0) {
    free(pollset);
    return NULL;
  }
  return pollset;
}

/* A child process shares the set with its parent, whose waits would end for the child's sockets:
   another one takes its place. */
static void renew(mp_pollset *pollset) {
  int fresh = epoll_create1(EPOLL_CLOEXEC);
  if (fresh < 0)
    return;
  dup3(fresh, pollset->epoll, O_CLOEXEC);
  close(fresh);
  pollset->fork_generation = mp_fork_generation();
}

mp_pollset *mp_pollsets_take(mp_pollsets *pollsets) {
  mp_pollset *pollset = pollsets->free;
  if (!pollset)
    return pollset_new();
  pollsets->free = pollset->next;
  if (pollset->fork_generation != mp_fork_generation())
    renew(pollset);
  return pollset;
}

void mp_pollsets_give(mp_pollsets *pollsets, mp_pollset *pollset) {
  if (!pollset)
    return;
  if (pollset->armed >= 0 && pollset->fork_generation == mp_fork_generation())
    epoll_ctl(pollset->epoll, EPOLL_CTL_DEL, pollset->armed, NULL);
  pollset->armed = -1;
  pollset->next = pollsets->free;
  pollsets->free = pollset;
}

/* One-shot, so that data which arrives while nobody waits does not keep the set readable.
   The kernel forgets a socket when it is closed: hence ADD when there is nothing to modify. */
int mp_pollset_arm(mp_pollset *pollset, int socket, bool readable, bool writable) {
  struct epoll_event event = {.events = EPOLLONESHOT | EPOLLRDHUP, .data.fd = socket};
  if (readable)
    event.events |= EPOLLIN;
  if (writable)
    event.events |= EPOLLOUT;
  if (epoll_ctl(pollset->epoll, EPOLL_CTL_MOD, socket, &event) != 0)
    epoll_ctl(pollset->epoll, EPOLL_CTL_ADD, socket, &event);
  pollset->armed = socket;
  return pollset->epoll;
}

void mp_pollsets_close(mp_pollsets *pollsets) {
  while (pollsets->free) {
    mp_pollset *pollset = pollsets->free;
    pollsets->free = pollset->next;
    pollsets->forget(pollsets->context, pollset->epoll);
    close(pollset->epoll);
    free(pollset);
  }
}

void mp_pollsets_free(mp_pollsets *pollsets) {
  if (!pollsets)
    return;
  mp_pollsets_close(pollsets);
  free(pollsets);
}
