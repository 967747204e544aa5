/* Picks the idle session to lend: the newest that is ready. */
#include "pick.h"

#include "idle.h"
#include "queue.h"
#include "reset.h"
#include "server.h"
#include "servers.h"
#include "slots.h"
#include "sweep.h"

typedef enum idle_finding {
  FOUND_READY,   /* to be lent at once */
  FOUND_PENDING, /* the replies to its reset are pending */
  FOUND_OLD,     /* and closed */
  FOUND_DEAD     /* and closed */
} idle_finding;

/* The look is half the cost of a checkout. It is saved where no replies are pending and the first statement,
   if it finds the session dead, may move to another. With on_connect it may not: only a checkout can show
   on_connect a new session. */
static mp_liveness liveness_of(const mp_pool *pool, const mp_slot *slot) {
  bool replaceable = pool->config.retries > 0 && !pool->config.hooked;
  if (!reset_is_pending(slot) && replaceable && !pool->driver->needs_peek(slot->session))
    return MP_QUIET;
  return pool->driver->peek(slot->session);
}

static idle_finding look_at(mp_pool *pool, mp_slot *slot, int64_t now_ns) {
  mp_liveness liveness = liveness_of(pool, slot);
  if (liveness == MP_DEAD) {
    sweep_close_dead(pool, slot);
    return FOUND_DEAD;
  }
  if (sweep_has_ended(pool, slot, now_ns)) {
    sweep_close_outlived(pool, slot, now_ns);
    return FOUND_OLD;
  }
  if (!reset_is_pending(slot) || liveness == MP_READY)
    return FOUND_READY;
  if (!reset_is_late(pool, slot, now_ns))
    return FOUND_PENDING;
  mp_error err = {0};
  reset_fail_late(&err);
  server_after_failed_reset(slot, &err);
  slot_close(pool, slot);
  return FOUND_OLD;
}

/* Waiting for a reset's reply beats opening a session, unless it takes its time. */
static bool is_worth_waiting_for(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  bool may_open = pool->counts[SLOT_EMPTY] > 0 && servers_may_open(pool);
  return !may_open || reset_is_recent(slot, now_ns);
}

static bool is_promising(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  if (reset_is_put_aside(slot))
    return false;
  return !reset_is_pending(slot) || reset_is_recent(slot, now_ns) ||
         pool->driver->peek(slot->session) == MP_READY;
}

/* Nobody who waits in the queue is overtaken, and a session whose reset was too slow already does not
   count. */
bool pick_has_other(const mp_pool *pool, int64_t now_ns) {
  if (!queue_is_empty(pool))
    return false;
  if (pool->counts[SLOT_EMPTY] > 0 && servers_may_open(pool))
    return true;
  for (const mp_slot *slot = idle_newest(pool); slot; slot = idle_older(slot))
    if (is_promising(pool, slot, now_ns))
      return true;
  return false;
}

/* Of the idle sessions the one whose server has the fewest lent; of several that which was used longest ago.
 */
static mp_slot *find_evenly(const mp_pool *pool) {
  mp_slot *found = NULL;
  for (mp_slot *slot = idle_oldest(pool); slot; slot = idle_newer(slot))
    if (!found || slot->server->counts[SLOT_LENT] < found->server->counts[SLOT_LENT])
      found = slot;
  return found;
}

/* The session that the balance wants lent, if it is ready. */
static mp_slot *pick_evenly(mp_pool *pool, int64_t now_ns) {
  mp_slot *slot;
  while ((slot = find_evenly(pool))) {
    idle_finding finding = look_at(pool, slot, now_ns);
    if (finding == FOUND_READY)
      return slot;
    if (finding == FOUND_DEAD)
      sweep_dead(pool);
    if (finding == FOUND_PENDING)
      break;
  }
  return NULL;
}

/* Picks the newest session whose replies are there; else the one whose reset was sent first, a slow one last.
   Looks at each once: a second look might close what the first has found alive. */
mp_slot *pick_idle(mp_pool *pool, int64_t now_ns) {
  bool death = false, evenly = pool->config.hosts > 1 && pool->config.balance == MP_BALANCE_SPREAD;
  mp_slot *found = evenly ? pick_evenly(pool, now_ns) : NULL, *pending = NULL;
  for (mp_slot *slot = idle_newest(pool), *older; slot && (!found || death); slot = older) {
    older = idle_older(slot);
    idle_finding finding = look_at(pool, slot, now_ns);
    death |= finding == FOUND_DEAD;
    if (finding == FOUND_READY && !found)
      found = slot;
    if (finding == FOUND_PENDING && (!pending || reset_is_put_aside(pending) || !reset_is_put_aside(slot)))
      pending = slot;
  }
  if (found || !pending || !is_worth_waiting_for(pool, pending, now_ns))
    return found;
  return pending;
}
