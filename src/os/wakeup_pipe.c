/* A wake-up by a pipe, for systems without eventfd. A child process inherits a pipe, but no kqueue: a wake-up
   that a loan of the parent's waits for keeps its number in the child. */
#include "os/wakeup.h"

#include <unistd.h>

#include "os/descriptor.h"

mp_wakeup mp_wakeup_open(void) {
  int ends[2];
  if (pipe(ends) != 0)
    return (mp_wakeup){.fd = -1, .notify_fd = -1};
  for (int i = 0; i < 2; i++) {
    mp_descriptor_set_nonblocking(ends[i]);
    mp_descriptor_close_on_exec(ends[i]);
  }
  return (mp_wakeup){.fd = ends[0], .notify_fd = ends[1]};
}

/* A pipe that is full is readable already. */
void mp_wakeup_notify(mp_wakeup wakeup) {
  ssize_t written = write(wakeup.notify_fd, "", 1);
  (void)written;
}

void mp_wakeup_clear(mp_wakeup wakeup) {
  char waste[64];
  while (read(wakeup.fd, waste, sizeof waste) == (ssize_t)sizeof waste)
    ;
}

void mp_wakeup_close(mp_wakeup wakeup) {
  close(wakeup.fd);
  close(wakeup.notify_fd);
}
