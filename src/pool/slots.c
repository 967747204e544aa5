/* Slots, and their states. */
#include "slots.h"

#include <assert.h>

#include "idle.h"
#include "reset.h"
#include "servers.h"
#include "time.h"

void slot_move(mp_pool *pool, mp_slot *slot, slot_state state) {
  assert(state != SLOT_EMPTY || !slot->session);
  if (slot->state == SLOT_IDLE)
    idle_remove(pool, slot);
  pool->counts[slot->state]--;
  if (slot->state != SLOT_EMPTY)
    slot->server->counts[slot->state]--;
  if (state != SLOT_EMPTY)
    slot->server->counts[state]++;
  slot->state = state;
  pool->counts[state]++;
  if (state == SLOT_IDLE || state == SLOT_EMPTY || state == SLOT_RECOVERING)
    slot->loan = NULL;
  if (state == SLOT_IDLE)
    idle_push(pool, slot);
}

void slot_make_idle(mp_pool *pool, mp_slot *slot) {
  slot->released_ns = pool_now(pool);
  slot_move(pool, slot, SLOT_IDLE);
}

mp_slot *slot_find(mp_pool *pool, slot_state state) {
  for (unsigned i = 0; pool->counts[state] > 0 && i < pool->config.max_size; i++)
    if (pool->slots[i].state == state && !pool->slots[i].loan)
      return &pool->slots[i];
  return NULL;
}

static mp_slot *find_empty(mp_pool *pool) {
  struct server *server = pool->counts[SLOT_EMPTY] > 0 ? servers_choose(pool) : NULL;
  mp_slot *slot = server ? slot_find(pool, SLOT_EMPTY) : NULL;
  if (slot)
    slot->server = server;
  return slot;
}

/* A connect that is under way is nearest, unless it has proved to be slow and another server may be faster; a
   statement that is being stopped may take longest. */
mp_slot *slot_find_other(mp_pool *pool) {
  mp_slot *slot = slot_find(pool, SLOT_OPENING), *empty = NULL;
  if (!slot || servers_has_better(pool, slot->server))
    empty = find_empty(pool);
  if (empty || slot)
    return empty ? empty : slot;
  return slot_find(pool, SLOT_RECOVERING);
}

void slot_take_generation(mp_slot *slot) {
  slot->generation = slot->server->pool->generation + slot->server->generation;
}

void slot_begin_open(mp_slot *slot) {
  slot_take_generation(slot);
  slot->begun_ns = pool_now(slot->server->pool);
}

void slot_count_connect(mp_pool *pool, const mp_session *session) {
  if (session)
    pool->stats.connect_ns += pool->driver->connect_ns(session);
}

/* The lifetime differs by up to a tenth, so that sessions which were opened together do not
   all end together. */
void slot_after_open(mp_pool *pool, mp_slot *slot) {
  int64_t now_ns = pool_now(pool), lifetime_ns = pool->config.max_lifetime_ns;
  if (lifetime_ns != MP_NEVER)
    lifetime_ns -= (int64_t)pool_random(pool, (uint64_t)lifetime_ns / 10 + 1);
  slot->expires_ns = add_time(now_ns, lifetime_ns);
  slot->idle_limit_ns = pool->driver->idle_limit_ns(slot->session);
  reset_clear(slot);
  slot->was_reset = false;
  slot->lost = slot->retire = slot->recording = slot->silenced = false;
  slot->fresh = true;
  slot_count_connect(pool, slot->session);
  pool->stats.opened++;
  slot->server->stats.opened++;
}

void slot_close(mp_pool *pool, mp_slot *slot) {
  mp_session *session = slot->session;
  bool was_open = slot->state != SLOT_OPENING;
  if (!was_open)
    slot_count_connect(pool, session);
  slot->session = NULL;
  slot_move(pool, slot, SLOT_EMPTY);
  if (session)
    pool->driver->close(session);
  if (was_open)
    pool->stats.closed++;
}

void slot_discard(mp_pool *pool, mp_slot *slot) {
  if (slot_has_expired(pool, slot, pool_now(pool)))
    pool->stats.retired++;
  else
    pool->stats.discarded++;
  slot_close(pool, slot);
}

bool slot_has_expired(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  return slot->generation != pool->generation + slot->server->generation || now_ns >= slot->expires_ns;
}

bool slot_is_reusable(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  return !slot->lost && !slot->retire && !slot->recording && !slot_has_expired(pool, slot, now_ns);
}
