/* All servers of a pool together. */
#ifndef MYPOOL_POOL_SERVERS_H
#define MYPOOL_POOL_SERVERS_H

#include "pool.h"

/* The server on which a session may be opened now; NULL: on none. */
struct server *servers_choose(const mp_pool *pool);
bool servers_may_open(const mp_pool *pool);

/* Some server is not barred. */
bool servers_has_well(const mp_pool *pool);

/* The server is barred, and another is not. */
bool servers_has_better(const mp_pool *pool, const struct server *server);

/* Another than this one is not barred. */
bool servers_has_other(const mp_pool *pool, const struct server *server);

/* Every server has refused connects for good. */
bool servers_refuse(const mp_pool *pool);

/* Every one of them is barred, and not each for good: until servers_retry_at_ns no connect is begun. */
bool servers_are_down(const mp_pool *pool);
int64_t servers_retry_at_ns(const mp_pool *pool);

/* A session that is given back would now be opened on another server. */
bool servers_want_elsewhere(const mp_pool *pool, const struct server *server);

#endif
