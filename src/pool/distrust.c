/* Servers that may not write any more, after a failover as a rule, or have left their cluster. Each session
   in the pool that leads to one would fail one write. */
#include "distrust.h"

#include "server.h"
#include "servers.h"
#include "slots.h"
#include "sweep.h"
#include "time.h"

/* For so long a server that may not write is remembered: each further write that fails on it counts as the
   same failover. */
static const int64_t memory_ns = 60 * MP_SECOND;

static uint64_t server_of(const mp_pool *pool, const mp_slot *slot) {
  return pool->driver->server ? pool->driver->server(slot->session) : 0;
}

static bool is_known(const mp_pool *pool, uint64_t server) {
  const distrust *d = &pool->distrust;
  return d->until_ns > pool_now(pool) && d->server == server;
}

/* A transaction may be read-only by the session's own doing. */
static void distrust_host(mp_slot *slot, const mp_error *err) {
  if (err->code == MP_ER_READ_ONLY_TRANSACTION)
    return;
  server_distrust(slot->server, err);
  slot_take_generation(slot); /* it is closed for a reason of its own */
}

/* The first write that fails on a server retires all sessions. Each further one gives up its own alone:
   readers need the others. The next checkout opens a session in its place, to see where the address leads by
   then. Where there are several hosts, each has its address, and the others go on. */
void distrust_begin(mp_pool *pool, mp_slot *slot, const mp_error *err) {
  distrust *d = &pool->distrust;
  if (pool->config.hosts > 1) {
    distrust_host(slot, err);
    return;
  }
  uint64_t server = server_of(pool, slot);
  bool known = is_known(pool, server);
  *d = (distrust){.server = server, .until_ns = add_time(pool_now(pool), memory_ns), .to_open = d->to_open};
  if (d->to_open < pool->config.max_size)
    d->to_open++;
  if (known)
    return;
  sweep_evict(pool);
  slot_take_generation(slot); /* it is closed for a reason of its own */
}

void distrust_after_commit(mp_slot *slot, const mp_error *err) {
  if (slot->server->pool->config.hosts > 1)
    server_distrust(slot->server, err);
}

bool distrust_needs_new(const mp_pool *pool) {
  return pool->distrust.to_open > 0 && pool->counts[SLOT_EMPTY] > 0 && servers_may_open(pool);
}

void distrust_before_open(mp_pool *pool) {
  if (pool->distrust.to_open > 0)
    pool->distrust.to_open--;
}

/* The address leads elsewhere now: what was opened before leads to the old server. */
void distrust_after_open(mp_pool *pool, mp_slot *slot) {
  distrust *d = &pool->distrust;
  if (pool->config.hosts > 1 || d->until_ns <= pool_now(pool) || d->server == server_of(pool, slot))
    return;
  *d = (distrust){0};
  sweep_evict(pool);
  slot_take_generation(slot);
}
