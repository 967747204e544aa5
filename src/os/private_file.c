/* A file that nobody else can change or find: in memory where the system has such files, else one whose name
   is taken away at once. */
#include "os/private_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/descriptor.h"

#ifdef __linux__
#include <sys/mman.h>

static int make(void) {
  return memfd_create("mypool", MFD_CLOEXEC);
}
#else
static int make(void) {
  char name[] = "/tmp/mypool.XXXXXX";
  int fd = mkstemp(name);
  if (fd >= 0) {
    unlink(name);
    mp_descriptor_close_on_exec(fd);
  }
  return fd;
}
#endif

int mp_private_file_new(const void *bytes, size_t length, char name[MP_PRIVATE_NAME]) {
  int fd = make();
  if (fd < 0)
    return -1;
  snprintf(name, MP_PRIVATE_NAME, "/dev/fd/%d", fd);
  if (write(fd, bytes, length) == (ssize_t)length && access(name, R_OK) == 0)
    return fd;
  close(fd);
  return -1;
}
