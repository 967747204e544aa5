/* Sessions go to where the balance wants them. */
#ifndef MYPOOL_POOL_BALANCE_H
#define MYPOOL_POOL_BALANCE_H

#include "pool.h"

/* The session, which comes back from a loan, is to be closed, so that one on a better server can be opened.
 */
bool balance_moves(mp_pool *pool, mp_slot *slot, int64_t now_ns);

#endif
