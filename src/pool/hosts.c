/* The hosts of a pool as its user sees them: told of, evicted and avoided by their numbers. */
#include "mypool.h"

#include "check.h"
#include "loan.h"
#include "queue.h"
#include "server.h"
#include "sweep.h"
#include "time.h"

unsigned mp_pool_hosts(const mp_pool *pool) {
  return pool->config.hosts;
}

static mp_standing standing_of(const struct server *server) {
  if (server_is_barred(server))
    return MP_STANDING_BARRED;
  return server->met ? MP_STANDING_WELL : MP_STANDING_UNKNOWN;
}

static int64_t retry_in_ns(const struct server *server) {
  int64_t left_ns = server->probe_at_ns - pool_now(server->pool);
  return server_is_barred(server) && left_ns > 0 ? left_ns : 0;
}

static int64_t barred_ns(const struct server *server) {
  return server_is_barred(server) ? pool_now(server->pool) - server->barred_since_ns : server->was_barred_ns;
}

void mp_pool_host(const mp_pool *pool, unsigned number, mp_host *host) {
  const struct server *server = &pool->servers[number];
  *host = (mp_host){
      .name = server_name(server),
      .standing = standing_of(server),
      .writable = server->writable,
      .sessions = server_sessions(server),
      .lent = server->counts[SLOT_LENT],
      .opened = server->stats.opened,
      .failures = server->stats.failures,
      .moved = server->stats.moved,
      .barred = server->stats.barred,
      .retry_in_ns = retry_in_ns(server),
      .last_failure = server->last_failure.message,
      .barred_ns = barred_ns(server),
  };
}

const char *mp_loan_host(const mp_loan *loan) {
  return loan_has_session(loan) ? server_name(loan->slot->server) : NULL;
}

static void close_outdated(mp_pool *pool, struct server *server) {
  server_outdate_sessions(server);
  sweep_outlived(pool, pool_now(pool));
}

void mp_pool_evict_host(mp_pool *pool, unsigned number) {
  CHECK_WHEN_LEFT(pool);
  close_outdated(pool, &pool->servers[number]);
}

void mp_pool_avoid(mp_pool *pool, unsigned number, int64_t duration_ns) {
  CHECK_WHEN_LEFT(pool);
  server_avoid(&pool->servers[number], duration_ns);
  if (duration_ns > 0)
    close_outdated(pool, &pool->servers[number]);
  queue_serve(pool);
}

unsigned mp_pool_next_news(mp_pool *pool, unsigned *number) {
  for (unsigned i = 0; i < pool->config.hosts; i++) {
    unsigned *news = &pool->servers[i].news, first = *news & MP_HOST_BARRED ? MP_HOST_BARRED : *news;
    *news &= ~first;
    *number = i;
    if (first)
      return first;
  }
  return 0;
}
