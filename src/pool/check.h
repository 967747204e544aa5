/* The invariants of the pool, checked where MYPOOL_CHECK is defined: in sanitized builds, the C specs and the
   soak. doc/architecture.md lists them by their numbers. */
#ifndef MYPOOL_POOL_CHECK_H
#define MYPOOL_POOL_CHECK_H

#include "pool.h"

#ifdef MYPOOL_CHECK

/* Says on stderr which invariant does not hold, by number and in words, and aborts. */
void pool_check(const mp_pool *pool);

mp_pool *pool_check_enter(mp_pool *pool);
void pool_check_leave(mp_pool **pool);

/* At the beginning of each function of mypool.h that changes something: the pool is checked when it is left.
   In the middle of another such function, which a driver's callback may be, the books need not be in
   order. */
#define CHECK_WHEN_LEFT(pool)                                                                                \
  mp_pool *checked_pool __attribute__((cleanup(pool_check_leave), unused)) = pool_check_enter(pool)

#else

static inline void pool_check(const mp_pool *pool) {
  (void)pool;
}

#define CHECK_WHEN_LEFT(pool) (void)(pool)

#endif

#endif
