/* Closing idle sessions. The newest is lent first, so that the others may grow old and be closed. */
#include "sweep.h"

#include "idle.h"
#include "slots.h"

void sweep_close_dead(mp_pool *pool, mp_slot *slot) {
  pool->stats.stale++;
  slot_close(pool, slot);
}

/* One dead session seldom comes alone: a restart or a failover ends them all. */
void sweep_dead(mp_pool *pool) {
  for (mp_slot *slot = idle_newest(pool), *older; slot; slot = older) {
    older = idle_older(slot);
    if (pool->driver->peek(slot->session) == MP_DEAD)
      sweep_close_dead(pool, slot);
  }
}

/* Past the server's own limit it may close the session at any moment. */
bool sweep_has_ended(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  return slot_has_expired(pool, slot, now_ns) || now_ns - slot->released_ns >= slot->idle_limit_ns;
}

static bool has_outlived(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  if (sweep_has_ended(pool, slot, now_ns))
    return true;
  return pool->counts[SLOT_IDLE] > pool->config.min_idle &&
         now_ns - slot->released_ns >= pool->config.idle_timeout_ns;
}

void sweep_close_outlived(mp_pool *pool, mp_slot *slot, int64_t now_ns) {
  if (slot_has_expired(pool, slot, now_ns))
    pool->stats.retired++;
  else
    pool->stats.expired++;
  slot_close(pool, slot);
}

static void close_idle(mp_pool *pool, mp_slot *slot, int64_t now_ns) {
  if (pool->driver->peek(slot->session) == MP_DEAD)
    sweep_close_dead(pool, slot);
  else
    sweep_close_outlived(pool, slot, now_ns);
}

/* Closes the sessions whose time is over, and says when to look again. */
static void close_ended(mp_pool *pool, int64_t now_ns) {
  idle_expect_nothing(pool);
  for (mp_slot *slot = idle_oldest(pool), *newer; slot; slot = newer) {
    newer = idle_newer(slot);
    if (sweep_has_ended(pool, slot, now_ns))
      close_idle(pool, slot, now_ns);
    else
      idle_expect(pool, slot);
  }
}

/* By idle_timeout the oldest go first, so the first that may stay ends the search. */
void sweep_outlived(mp_pool *pool, int64_t now_ns) {
  if (idle_is_end_expected(pool, now_ns))
    close_ended(pool, now_ns);
  while (idle_oldest(pool) && has_outlived(pool, idle_oldest(pool), now_ns))
    close_idle(pool, idle_oldest(pool), now_ns);
}

void sweep_all(mp_pool *pool) {
  while (idle_newest(pool)) {
    pool->stats.retired++;
    slot_close(pool, idle_newest(pool));
  }
}

void sweep_evict(mp_pool *pool) {
  pool->generation++;
  sweep_all(pool);
}
