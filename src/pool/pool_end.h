/* The end of a pool. */
#ifndef MYPOOL_POOL_POOL_END_H
#define MYPOOL_POOL_POOL_END_H

#include "pool.h"

/* Frees the pool once nobody is left who could need anything of it: neither its creator nor a loan. One that
   is closed and kept lets go of descriptors. */
void pool_free_unless_needed(mp_pool *pool);

/* A loan has been freed. */
void pool_drop_loan(mp_pool *pool);

/* Wakes whoever waits for the last loan to end. */
void pool_tell_ended(mp_pool *pool);

#endif
