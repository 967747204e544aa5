/* How one loan wakes another: by a descriptor, or, where the program can park coroutines, in memory. */
#ifndef MYPOOL_POOL_WAKE_H
#define MYPOOL_POOL_WAKE_H

#include "pool.h"

/* The loan is to be woken from now on. MP_FAILED for want of a descriptor. */
mp_status wake_begin(mp_loan *loan, mp_error *err);

/* Names what to wait for. Returns MP_WAIT. */
mp_status wake_await(mp_loan *loan, int64_t until_ns, mp_wait *wait);

/* Does nothing to a loan that is not waiting in memory: it is being stepped. */
void wake(mp_loan *loan);

/* The loan has come back: what woke it is over. */
void wake_clear(mp_loan *loan);

/* It is not to be woken any more. */
void wake_end(mp_loan *loan);

#endif
