/* The idle list. */
#include "idle.h"

#include "time.h"

/* The end of the time that an idle session has. Lifetimes end in another order than the sessions came here,
   and the server's limits may differ. */
static int64_t end_ns(const mp_slot *slot) {
  return earlier(slot->expires_ns, add_time(slot->released_ns, slot->idle_limit_ns));
}

void idle_expect_nothing(mp_pool *pool) {
  pool->idle.ends_ns = MP_NEVER;
}

void idle_expect(mp_pool *pool, const mp_slot *slot) {
  pool->idle.ends_ns = earlier(pool->idle.ends_ns, end_ns(slot));
}

void idle_push(mp_pool *pool, mp_slot *slot) {
  slot->older = pool->idle.newest;
  slot->newer = NULL;
  if (pool->idle.newest)
    pool->idle.newest->newer = slot;
  else
    pool->idle.oldest = slot;
  pool->idle.newest = slot;
  idle_expect(pool, slot);
}

void idle_remove(mp_pool *pool, mp_slot *slot) {
  if (slot->newer)
    slot->newer->older = slot->older;
  else
    pool->idle.newest = slot->older;
  if (slot->older)
    slot->older->newer = slot->newer;
  else
    pool->idle.oldest = slot->newer;
  slot->newer = slot->older = NULL;
}
