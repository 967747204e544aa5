/* The idle list, from the newest to the oldest, and when the time of one of its sessions will be over. Only
   slot_move puts a slot there and takes it away. */
#ifndef MYPOOL_POOL_IDLE_H
#define MYPOOL_POOL_IDLE_H

#include "pool.h"

void idle_push(mp_pool *pool, mp_slot *slot);
void idle_remove(mp_pool *pool, mp_slot *slot);

static inline mp_slot *idle_newest(const mp_pool *pool) {
  return pool->idle.newest;
}

static inline mp_slot *idle_oldest(const mp_pool *pool) {
  return pool->idle.oldest;
}

/* The next of an idle slot in either direction, or NULL. */
static inline mp_slot *idle_older(const mp_slot *slot) {
  return slot->older;
}

static inline mp_slot *idle_newer(const mp_slot *slot) {
  return slot->newer;
}

/* The time of no idle session is over before this. It may be too early: look, and say again what is
   expected. */
void idle_expect_nothing(mp_pool *pool);
void idle_expect(mp_pool *pool, const mp_slot *slot);

/* Each is to be looked at: the time of some may be over. */
static inline void idle_expect_end(mp_pool *pool) {
  pool->idle.ends_ns = 0;
}

static inline bool idle_is_end_expected(const mp_pool *pool, int64_t now_ns) {
  return now_ns >= pool->idle.ends_ns;
}

#endif
