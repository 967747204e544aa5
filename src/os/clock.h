/* The monotonic clock that every deadline is measured by. */
#ifndef MYPOOL_OS_CLOCK_H
#define MYPOOL_OS_CLOCK_H

#include <stdint.h>

int64_t mp_clock_ns(void);

#endif
