/* The end of a pool. */
#include "pool_end.h"

#include <stdlib.h>

static void pool_free(mp_pool *pool) {
  if (pool->ended_fd >= 0)
    pool->driver->wakeup_give(pool->driver, pool->ended_fd);
  pool->driver->free(pool->driver);
  free(pool->slots);
  free(pool->servers);
  free(pool);
}

/* A closed pool has no use for what its driver keeps, also while there are handles of loans that have
   ended. */
void pool_free_unless_needed(mp_pool *pool) {
  if (pool->owned && pool->closed && pool->driver->close_spare) {
    pool->loans++; /* what is told of a descriptor may end the pool */
    pool->driver->close_spare(pool->driver);
    pool->loans--;
  }
  if (!pool->owned && pool->loans == 0)
    pool_free(pool);
}

void pool_drop_loan(mp_pool *pool) {
  pool->loans--;
  pool_free_unless_needed(pool);
}

void pool_tell_ended(mp_pool *pool) {
  if (pool->ended_fd >= 0)
    pool->driver->wakeup_notify(pool->driver, pool->ended_fd);
}
