/* The idle list: which session to lend, which to close. The newest is lent first, so that
   the others may grow old and be closed. */
#include "pool.h"

static void close_dead(mp_pool *pool, mp_slot *slot) {
  pool->stats.stale++;
  slot_close(pool, slot);
}

/* One dead session seldom comes alone: a restart or a failover ends them all. */
void idle_sweep_dead(mp_pool *pool) {
  for (mp_slot *slot = pool->newest, *older; slot; slot = older) {
    older = slot->older;
    if (pool->driver->peek(slot->session) == MP_DEAD)
      close_dead(pool, slot);
  }
}

/* Past the server's own limit it may close the session at any moment. */
static bool overdue(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  return slot_expired(pool, slot, now_ns) || now_ns - slot->released_ns >= slot->idle_limit_ns;
}

static bool outlived(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  if (overdue(pool, slot, now_ns))
    return true;
  return pool->counts[SLOT_IDLE] > pool->config.min_idle &&
         now_ns - slot->released_ns >= pool->config.idle_timeout_ns;
}

static void close_outlived(mp_pool *pool, mp_slot *slot, int64_t now_ns) {
  if (slot_expired(pool, slot, now_ns))
    pool->stats.retired++;
  else
    pool->stats.expired++;
  slot_close(pool, slot);
}

static void close_idle(mp_pool *pool, mp_slot *slot, int64_t now_ns) {
  if (pool->driver->peek(slot->session) == MP_DEAD)
    close_dead(pool, slot);
  else
    close_outlived(pool, slot, now_ns);
}

/* Of the time that each has for itself: lifetimes end in another order than the sessions came here, and the
   server's limits may differ. */
static int64_t end_ns(const mp_slot *slot) {
  int64_t limit_ns = add_time(slot->released_ns, slot->idle_limit_ns);
  return slot->expires_ns < limit_ns ? slot->expires_ns : limit_ns;
}

void idle_expect(mp_pool *pool, const mp_slot *slot) {
  if (end_ns(slot) < pool->idle_ends_ns)
    pool->idle_ends_ns = end_ns(slot);
}

/* Those that time has overtaken, and when to look again. */
static void sweep_overdue(mp_pool *pool, int64_t now_ns) {
  pool->idle_ends_ns = MP_NEVER;
  for (mp_slot *slot = pool->oldest, *newer; slot; slot = newer) {
    newer = slot->newer;
    if (overdue(pool, slot, now_ns))
      close_idle(pool, slot, now_ns);
    else
      idle_expect(pool, slot);
  }
}

/* By idle_timeout the oldest go first, so the first that may stay ends the search. */
void idle_sweep(mp_pool *pool, int64_t now_ns) {
  if (now_ns >= pool->idle_ends_ns)
    sweep_overdue(pool, now_ns);
  while (pool->oldest && outlived(pool, pool->oldest, now_ns))
    close_idle(pool, pool->oldest, now_ns);
}

void idle_close_all(mp_pool *pool) {
  while (pool->newest) {
    pool->stats.retired++;
    slot_close(pool, pool->newest);
  }
}

typedef enum idle_finding {
  FOUND_READY,   /* to be lent at once */
  FOUND_PENDING, /* owes the replies to its reset */
  FOUND_OLD,     /* and closed */
  FOUND_DEAD     /* and closed */
} idle_finding;

/* A session that owes nothing, and whose death the first statement finds before it is too late, is not
   looked at: that would be half the cost of a checkout. With on_connect it is too late then, for only a
   checkout can show it the session that takes its place. */
static mp_liveness liveness_of(const mp_pool *pool, const mp_slot *slot) {
  bool replaceable = pool->config.retries > 0 && !pool->config.hooked;
  if (!slot->reset_pending && replaceable && pool->driver->send_tells(slot->session))
    return MP_QUIET;
  return pool->driver->peek(slot->session);
}

static idle_finding look_at(mp_pool *pool, mp_slot *slot, int64_t now_ns) {
  mp_liveness liveness = liveness_of(pool, slot);
  if (liveness == MP_DEAD) {
    close_dead(pool, slot);
    return FOUND_DEAD;
  }
  if (overdue(pool, slot, now_ns)) {
    close_outlived(pool, slot, now_ns);
    return FOUND_OLD;
  }
  if (!slot->reset_pending || liveness == MP_READY)
    return FOUND_READY;
  if (!reset_overdue(pool, slot, now_ns))
    return FOUND_PENDING;
  mp_error err = {0};
  reset_silent(&err);
  reset_failed(pool, slot, &err);
  slot_close(pool, slot);
  return FOUND_OLD;
}

/* Waiting for a reset's reply beats opening a session, unless it takes its time. */
static bool worth_waiting_for(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  bool may_open = pool->counts[SLOT_EMPTY] > 0 && backoff_may_open(pool);
  return !may_open || now_ns - slot->reset_ns < RESET_SLOW_NS;
}

static bool promising(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  if (slot->reset_slow)
    return false;
  return !slot->reset_pending || now_ns - slot->reset_ns < RESET_SLOW_NS ||
         pool->driver->peek(slot->session) == MP_READY;
}

/* Whether a checkout that waits for a slow reset may get another session without it: not before
   those that wait in the queue, and not one whose reset was too slow already. */
bool idle_other(const mp_pool *pool, int64_t now_ns) {
  if (pool->first)
    return false;
  if (pool->counts[SLOT_EMPTY] > 0 && backoff_may_open(pool))
    return true;
  for (const mp_slot *slot = pool->newest; slot; slot = slot->older)
    if (promising(pool, slot, now_ns))
      return true;
  return false;
}

/* The newest whose replies are there; else the one whose reset was sent first, rather not one of
   the slow. Each is looked at once: what was found alive here cannot be closed by a second look. */
mp_slot *idle_pick(mp_pool *pool, int64_t now_ns) {
  bool death = false;
  mp_slot *found = NULL, *pending = NULL;
  for (mp_slot *slot = pool->newest, *older; slot && (!found || death); slot = older) {
    older = slot->older;
    idle_finding finding = look_at(pool, slot, now_ns);
    death |= finding == FOUND_DEAD;
    if (finding == FOUND_READY && !found)
      found = slot;
    if (finding == FOUND_PENDING && (!pending || pending->reset_slow || !slot->reset_slow))
      pending = slot;
  }
  if (found || !pending || !worth_waiting_for(pool, pending, now_ns))
    return found;
  return pending;
}
