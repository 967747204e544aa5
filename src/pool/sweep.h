/* Closing idle sessions: the dead, those whose time is over, and all of them. */
#ifndef MYPOOL_POOL_SWEEP_H
#define MYPOOL_POOL_SWEEP_H

#include "pool.h"

/* The lifetime of its session is over, or the time that its server leaves an idle session. */
bool sweep_has_ended(const mp_pool *pool, const mp_slot *slot, int64_t now_ns);

void sweep_close_dead(mp_pool *pool, mp_slot *slot);
void sweep_close_outlived(mp_pool *pool, mp_slot *slot, int64_t now_ns);

/* Closes the idle sessions that have outlived their time. Call it at each checkout and each release: there is
   no timer. */
void sweep_outlived(mp_pool *pool, int64_t now_ns);

/* Closes the idle sessions that their servers have closed. */
void sweep_dead(mp_pool *pool);

void sweep_all(mp_pool *pool);

/* Closes all that are idle; what is lent or being opened now is closed when it comes back. */
void sweep_evict(mp_pool *pool);

#endif
