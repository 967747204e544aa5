/* Getting a session for a loan. */
#ifndef MYPOOL_POOL_CHECKOUT_H
#define MYPOOL_POOL_CHECKOUT_H

#include "pool.h"

/* Gets a session: an idle one, a new one, or by waiting. Serves the checkout and the retry of a first
   statement. */
mp_status acquire(mp_loan *loan, mp_wait *wait, mp_error *err);
mp_status acquire_step(mp_loan *loan, mp_wait *wait, mp_error *err);

/* Gives up what was begun; the loan holds nothing then. */
void acquire_abandon(mp_loan *loan);

/* Ends a checkout that acquire, or a step of it, has answered so. */
mp_status checkout_end(mp_loan *loan, mp_status status);

#endif
