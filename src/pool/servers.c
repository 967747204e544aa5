/* All servers of a pool together: which of them is to be used. */
#include "servers.h"

#include "server.h"
#include "time.h"

static struct server *end(const mp_pool *pool) {
  return pool->servers + pool->config.hosts;
}

/* ---- their standing ---- */

bool servers_has_other(const mp_pool *pool, const struct server *server) {
  for (const struct server *s = pool->servers; s < end(pool); s++)
    if (s != server && !server_is_barred(s))
      return true;
  return false;
}

bool servers_has_well(const mp_pool *pool) {
  return servers_has_other(pool, NULL);
}

bool servers_has_better(const mp_pool *pool, const struct server *server) {
  return server_is_barred(server) && servers_has_other(pool, server);
}

bool servers_refuse(const mp_pool *pool) {
  for (const struct server *s = pool->servers; s < end(pool); s++)
    if (!s->refuses)
      return false;
  return true;
}

bool servers_are_down(const mp_pool *pool) {
  return !servers_has_well(pool) && !servers_refuse(pool);
}

static struct server *next_due(const mp_pool *pool) {
  struct server *found = pool->servers;
  for (struct server *s = pool->servers; s < end(pool); s++)
    if (s->retry_at_ns < found->retry_at_ns)
      found = s;
  return found;
}

int64_t servers_retry_at_ns(const mp_pool *pool) {
  return next_due(pool)->retry_at_ns;
}

const char *mp_pool_reset_failure(const mp_pool *pool) {
  return pool->reset_failure;
}

/* ---- the choice ---- */

/* A pool for reading takes one that may write only while no other is well. */
static bool is_second_choice(const struct server *server) {
  return server->pool->config.need == MP_NEED_READ && server->writable == MP_WRITABLE_YES;
}

static bool has_first_choice(const mp_pool *pool) {
  for (const struct server *s = pool->servers; s < end(pool); s++)
    if (!server_is_barred(s) && !is_second_choice(s))
      return true;
  return false;
}

static bool is_wanted(const struct server *server) {
  return !server_is_barred(server) && (!is_second_choice(server) || !has_first_choice(server->pool));
}

/* Of the servers that are wanted the first; it may be about to be tried, so that nothing is to be opened
   there now: who waits for that comes to it sooner than to another, and later to where all shall be. */
static struct server *choose_first(const mp_pool *pool) {
  for (struct server *s = pool->servers; s < end(pool); s++)
    if (is_wanted(s))
      return server_may_open(s) ? s : NULL;
  return NULL;
}

/* The one with the fewest sessions, beginning at one that is another in each pool. */
static struct server *choose_evenly(const mp_pool *pool) {
  struct server *found = NULL;
  unsigned count = pool->config.hosts, first = (unsigned)(pool->config.seed % count);
  for (unsigned i = 0; i < count; i++) {
    struct server *s = &pool->servers[(first + i) % count];
    bool usable = is_wanted(s) && server_may_open(s);
    if (usable && (!found || server_sessions(s) < server_sessions(found)))
      found = s;
  }
  return found;
}

/* One attempt at a time, but that servers which refuse do answer. */
static struct server *choose_barred(const mp_pool *pool) {
  struct server *server = next_due(pool);
  if (servers_refuse(pool))
    return server;
  return pool->counts[SLOT_OPENING] == 0 && pool_now(pool) >= server->retry_at_ns ? server : NULL;
}

struct server *servers_choose(const mp_pool *pool) {
  if (!servers_has_well(pool))
    return choose_barred(pool);
  return pool->config.balance == MP_BALANCE_SPREAD ? choose_evenly(pool) : choose_first(pool);
}

bool servers_may_open(const mp_pool *pool) {
  return servers_choose(pool) != NULL;
}

/* ---- the balance ---- */

bool servers_want_elsewhere(const mp_pool *pool, const struct server *server) {
  if (is_second_choice(server) && has_first_choice(pool))
    return true;
  for (const struct server *s = pool->servers; s < end(pool); s++) {
    if (s == server && pool->config.balance == MP_BALANCE_FIRST)
      return false;
    if (!is_wanted(s))
      continue;
    if (pool->config.balance == MP_BALANCE_FIRST || server_sessions(s) + 2 <= server_sessions(server))
      return true;
  }
  return false;
}
