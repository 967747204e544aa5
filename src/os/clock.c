/* The monotonic clock. */
#include "os/clock.h"

#include <time.h>

#include "outcome.h"

int64_t mp_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * MP_SECOND + now.tv_nsec;
}
