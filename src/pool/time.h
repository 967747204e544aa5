/* Time as the pool reckons with it: now, sums, the earlier or later of two, and what is random in a pause. */
#ifndef MYPOOL_POOL_TIME_H
#define MYPOOL_POOL_TIME_H

#include "pool.h"

/* The driver's clock. */
int64_t pool_now(const mp_pool *pool);

/* The sum; MP_NEVER absorbs. */
int64_t add_time(int64_t a, int64_t b);

static inline int64_t earlier(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static inline int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* A number from 0 to below - 1; 0 when `below` is 0. */
uint64_t pool_random(mp_pool *pool, uint64_t below);

#endif
