/* File descriptors, by POSIX and what most systems add. */
#include "os/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

void mp_descriptor_set_nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void mp_descriptor_close_on_exec(int fd) {
  fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void mp_descriptor_replace(int fd, int with) {
#ifdef __APPLE__ /* has no dup3: what another thread runs between the two calls inherits it */
  dup2(with, fd);
  mp_descriptor_close_on_exec(fd);
#else
  dup3(with, fd, O_CLOEXEC);
#endif
  close(with);
}
