/* Which idle session to lend: the newest that is ready. */
#include "pick.h"

#include "reset.h"
#include "server.h"
#include "servers.h"
#include "slots.h"
#include "sweep.h"

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
  if (!slot->reset.pending && replaceable && pool->driver->send_tells(slot->session))
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
  if (!slot->reset.pending || liveness == MP_READY)
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
  return !may_open || now_ns - slot->reset.sent_ns < RESET_SLOW_NS;
}

static bool is_promising(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  if (slot->reset.slow)
    return false;
  return !slot->reset.pending || now_ns - slot->reset.sent_ns < RESET_SLOW_NS ||
         pool->driver->peek(slot->session) == MP_READY;
}

/* Whether a checkout that waits for a slow reset may get another session without it: not before
   those that wait in the queue, and not one whose reset was too slow already. */
bool pick_has_other(const mp_pool *pool, int64_t now_ns) {
  if (pool->queue.first)
    return false;
  if (pool->counts[SLOT_EMPTY] > 0 && servers_may_open(pool))
    return true;
  for (const mp_slot *slot = pool->idle.newest; slot; slot = slot->older)
    if (is_promising(pool, slot, now_ns))
      return true;
  return false;
}

/* The newest whose replies are there; else the one whose reset was sent first, rather not one of
   the slow. Each is looked at once: what was found alive here cannot be closed by a second look. */
mp_slot *pick_idle(mp_pool *pool, int64_t now_ns) {
  bool death = false;
  mp_slot *found = NULL, *pending = NULL;
  for (mp_slot *slot = pool->idle.newest, *older; slot && (!found || death); slot = older) {
    older = slot->older;
    idle_finding finding = look_at(pool, slot, now_ns);
    death |= finding == FOUND_DEAD;
    if (finding == FOUND_READY && !found)
      found = slot;
    if (finding == FOUND_PENDING && (!pending || pending->reset.slow || !slot->reset.slow))
      pending = slot;
  }
  if (found || !pending || !is_worth_waiting_for(pool, pending, now_ns))
    return found;
  return pending;
}
