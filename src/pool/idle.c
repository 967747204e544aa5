/* The idle list. */
#include "idle.h"

#include "time.h"

/* Of the time that each has for itself: lifetimes end in another order than the sessions came here, and the
   server's limits may differ. */
static int64_t end_ns(const mp_slot *slot) {
  return earlier(slot->expires_ns, add_time(slot->released_ns, slot->idle_limit_ns));
}

void idle_expect_nothing(mp_pool *pool) {
  pool->idle_ends_ns = MP_NEVER;
}

void idle_expect(mp_pool *pool, const mp_slot *slot) {
  pool->idle_ends_ns = earlier(pool->idle_ends_ns, end_ns(slot));
}

void idle_push(mp_pool *pool, mp_slot *slot) {
  slot->older = pool->newest;
  slot->newer = NULL;
  if (pool->newest)
    pool->newest->newer = slot;
  else
    pool->oldest = slot;
  pool->newest = slot;
  idle_expect(pool, slot);
}

void idle_remove(mp_pool *pool, mp_slot *slot) {
  if (slot->newer)
    slot->newer->older = slot->older;
  else
    pool->newest = slot->older;
  if (slot->older)
    slot->older->newer = slot->newer;
  else
    pool->oldest = slot->newer;
  slot->newer = slot->older = NULL;
}
