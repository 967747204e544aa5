/* All servers of a pool together. */
#include "servers.h"

#include "server.h"

bool servers_may_open(const mp_pool *pool) {
  return server_may_open(&pool->server);
}

bool servers_are_down(const mp_pool *pool) {
  return pool->server.failures > 0;
}

int64_t servers_retry_at_ns(const mp_pool *pool) {
  return pool->server.retry_at_ns;
}

const mp_error *servers_last_failure(const mp_pool *pool) {
  return &pool->server.last_failure;
}

const char *mp_pool_reset_failure(const mp_pool *pool) {
  return pool->server.reset_failure;
}
