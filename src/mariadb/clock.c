/* The monotonic clock that every deadline is measured by. */
#include <time.h>

#include "session.h"

int64_t mp_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * MP_SECOND + now.tv_nsec;
}
