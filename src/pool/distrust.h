/* Servers that may not write any more. */
#ifndef MYPOOL_POOL_DISTRUST_H
#define MYPOOL_POOL_DISTRUST_H

#include "pool.h"

/* A write on its session failed because the server may not write. */
void distrust_begin(mp_pool *pool, mp_slot *slot, const mp_error *err);

/* The server itself does not know the outcome of a commit on this session: so a node answers that leaves its
   cluster. Of several hosts it is barred. */
void distrust_after_commit(mp_slot *slot, const mp_error *err);

/* A session should be opened before an idle one is lent. */
bool distrust_needs_new(const mp_pool *pool);

void distrust_before_open(mp_pool *pool);
void distrust_after_open(mp_pool *pool, mp_slot *slot);

#endif
