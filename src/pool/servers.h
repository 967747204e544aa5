/* All servers of a pool together; there is one. */
#ifndef MYPOOL_POOL_SERVERS_H
#define MYPOOL_POOL_SERVERS_H

#include "pool.h"

/* A session may be opened now, on one of them. */
bool servers_may_open(const mp_pool *pool);

/* The last attempt failed on every one of them: until servers_retry_at_ns no other is made. The last failure
   is servers_last_failure. */
bool servers_are_down(const mp_pool *pool);
int64_t servers_retry_at_ns(const mp_pool *pool);
const mp_error *servers_last_failure(const mp_pool *pool);

#endif
