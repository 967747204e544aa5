/* A wake-up by Linux's eventfd. */
#include "os/wakeup.h"

#include <sys/eventfd.h>
#include <unistd.h>

mp_wakeup mp_wakeup_open(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return (mp_wakeup){.fd = fd, .notify_fd = fd};
}

void mp_wakeup_notify(mp_wakeup wakeup) {
  eventfd_write(wakeup.notify_fd, 1);
}

void mp_wakeup_clear(mp_wakeup wakeup) {
  eventfd_t count;
  eventfd_read(wakeup.fd, &count);
}

void mp_wakeup_close(mp_wakeup wakeup) {
  close(wakeup.fd);
}
