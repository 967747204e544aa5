/* The pool as a whole: made, watched, emptied, closed, freed. */
#include "pool.h"

#include <stdlib.h>

#include "check.h"
#include "idle.h"
#include "overdue.h"
#include "pool_end.h"
#include "probe.h"
#include "queue.h"
#include "slots.h"
#include "sweep.h"
#include "time.h"

int64_t mp_pool_now(const mp_pool *pool) {
  return pool_now(pool);
}

mp_pool *mp_pool_new(const mp_pool_config *config, mp_driver *driver) {
  mp_pool *pool = calloc(1, sizeof *pool);
  mp_slot *slots = calloc(config->max_size, sizeof *slots);
  struct server *servers = calloc(config->hosts, sizeof *servers);
  if (!pool || !slots || !servers) {
    free(pool);
    free(slots);
    free(servers);
    driver->free(driver);
    return NULL;
  }
  pool->config = *config;
  pool->driver = driver;
  pool->slots = slots;
  pool->servers = servers;
  for (unsigned i = 0; i < config->hosts; i++)
    servers[i] = (struct server){.pool = pool, .number = i, .silence.patience_ns = config->silence_ns};
  for (unsigned i = 0; i < config->max_size; i++)
    slots[i].server = servers;
  pool->counts[SLOT_EMPTY] = config->max_size;
  pool->owned = true;
  pool->ended_fd = -1;
  idle_expect_nothing(pool);
  overdue_expect_nothing(pool);
  pool->random = config->seed | 1; /* xorshift must not begin with 0 */
  return pool;
}

void mp_pool_unref(mp_pool *pool) {
  mp_pool_close(pool);
  pool->owned = false;
  pool_free_unless_needed(pool);
}

static void close_orphans(mp_pool *pool) {
  mp_slot *orphan;
  while ((orphan = slot_find(pool, SLOT_OPENING)))
    slot_close(pool, orphan);
  while ((orphan = slot_find(pool, SLOT_RECOVERING)))
    slot_discard(pool, orphan);
}

void mp_pool_close(mp_pool *pool) {
  if (pool->closed)
    return;
  pool->closed = true;
  sweep_all(pool);
  close_orphans(pool);
  probe_close_all(pool);
  queue_wake_all(pool);
  if (pool->check.calls == 0)
    pool_check(pool);
  pool_free_unless_needed(pool);
}

void mp_pool_abort(mp_pool *pool) {
  CHECK_WHEN_LEFT(pool);
  pool->aborted = true;
  for (unsigned i = 0; i < pool->config.max_size; i++)
    if (pool->slots[i].state == SLOT_LENT)
      pool->driver->abort(pool->slots[i].session);
}

const char *mp_pool_name(const mp_pool *pool) {
  return pool->config.name;
}

bool mp_pool_is_closed(const mp_pool *pool) {
  return pool->closed;
}

void mp_pool_evict(mp_pool *pool) {
  CHECK_WHEN_LEFT(pool);
  sweep_evict(pool); /* nobody waits while there are any */
}

/* Clears earlier wake-ups: the caller re-checks the count right after. The last one stays, for it is meant
   for everybody who waits. */
int mp_pool_ended_fd(mp_pool *pool) {
  CHECK_WHEN_LEFT(pool);
  if (pool->ended_fd < 0)
    pool->ended_fd = pool->driver->wakeup_take(pool->driver);
  else if (pool->counts[SLOT_LENT] + pool->counts[SLOT_OPENING] + pool->counts[SLOT_RECOVERING] > 0)
    pool->driver->wakeup_clear(pool->driver, pool->ended_fd);
  return pool->ended_fd;
}

void mp_pool_stats(const mp_pool *pool, mp_stats *stats) {
  *stats = pool->stats;
  stats->idle = pool->counts[SLOT_IDLE];
  stats->lent = pool->counts[SLOT_LENT];
  stats->opening = pool->counts[SLOT_OPENING];
  stats->recovering = pool->counts[SLOT_RECOVERING];
  stats->size = stats->idle + stats->lent + stats->opening + stats->recovering;
  stats->waiting = pool->queue.count;
  stats->max_size = pool->config.max_size;
}

unsigned mp_pool_take_events(mp_pool *pool) {
  unsigned events = pool->events;
  pool->events = 0;
  return events;
}
