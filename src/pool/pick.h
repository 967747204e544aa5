/* Picks the idle session to lend. */
#ifndef MYPOOL_POOL_PICK_H
#define MYPOOL_POOL_PICK_H

#include "pool.h"

/* The session that a checkout should take, whose reset may still have replies pending; NULL: rather another
   than any that is idle. Closes those that it finds dead, or too old. */
mp_slot *pick_idle(mp_pool *pool, int64_t now_ns);

/* A checkout that waits for a slow reset may get another session without it. */
bool pick_has_other(const mp_pool *pool, int64_t now_ns);

#endif
