/* Readiness by the kqueue of macOS and the BSDs. */
#include "os/readiness.h"

#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#include "os/descriptor.h"

/* A queue cannot be made closed on exec in one call on any of them. */
int mp_readiness_open(void) {
  int fd = kqueue();
  if (fd >= 0)
    mp_descriptor_close_on_exec(fd);
  return fd;
}

/* A child process has no queue of its parent's, and another file may have the number by now. */
int mp_readiness_renew(int fd) {
  (void)fd;
  return mp_readiness_open();
}

void mp_readiness_close(int fd, bool inherited) {
  if (!inherited)
    close(fd);
}

/* The receipts leave in the queue what has happened, and tell, one by one, which changes could not be made:
   there was nothing to delete. */
static void change(int fd, struct kevent *changes, int count) {
  static const struct timespec at_once;
  kevent(fd, changes, count, changes, count, &at_once);
}

/* An event that a filter has found stays in the queue, which is readable, until somebody fetches it, though
   the socket may have been read empty since. Nobody fetches here, so each wait has filters of its own, which
   look afresh. Both tell of the peer's end. */
void mp_readiness_arm(int fd, int socket, bool readable, bool writable) {
  struct kevent changes[4];
  int count = 0;
  EV_SET(&changes[count++], socket, EVFILT_READ, EV_DELETE | EV_RECEIPT, 0, 0, NULL);
  EV_SET(&changes[count++], socket, EVFILT_WRITE, EV_DELETE | EV_RECEIPT, 0, 0, NULL);
  if (readable)
    EV_SET(&changes[count++], socket, EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, NULL);
  if (writable)
    EV_SET(&changes[count++], socket, EVFILT_WRITE, EV_ADD | EV_RECEIPT, 0, 0, NULL);
  change(fd, changes, count);
}

void mp_readiness_disarm(int fd, int socket) {
  mp_readiness_arm(fd, socket, false, false);
}
