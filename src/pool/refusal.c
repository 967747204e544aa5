/* Servers and proxies that know no reset: they say so, or swallow it. Once that is clear they are
   not asked again, and sessions are closed where they would have been reset. */
#include "pool.h"

/* Whoever has answered once knows how, whatever happens later. */
void reset_answered(mp_pool *pool) {
  pool->reset_answered = true;
  pool->reset_refused = false;
}

void reset_refused(mp_pool *pool) {
  if (pool->reset_answered || pool->reset_refused)
    return;
  pool->reset_refused = true;
  pool->events |= MP_EVENT_RESET_REFUSED;
}

/* The replies to the reset of its release have had all the time they may take. */
bool reset_overdue(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  return now_ns - slot->released_ns >= pool->config.reset_timeout_ns;
}
