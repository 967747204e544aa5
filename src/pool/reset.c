/* Resets that fail. A server or proxy that knows none says so: then sessions are closed where they
   would have been reset. Resets that fail for other reasons are sent all the same, and the pool's
   user is told. No such verdict lasts: the server may be another one by now. */
#include "pool.h"

static const int64_t ask_again_ns = 60 * MP_SECOND;

enum {
  REFUSALS_TOLD = 2, /* in a row, by new sessions, say that the server knows no reset */
  FAILURES_TOLD = 3  /* ... by any, that something is wrong */
};

/* A Galera node says 1047 too while it may not serve, in other words. */
static bool is_refusal(const mp_slot *slot, const mp_error *err) {
  return err->code == 1047 && strstr(err->message, "Unknown command") && !slot->reset_answered;
}

/* What was not told yet has not happened for the user: that it worked meanwhile. */
static void tell(mp_pool *pool, unsigned event) {
  pool->events = (pool->events & ~(unsigned)MP_EVENT_RESET_WORKS) | event;
}

void reset_answered(mp_pool *pool, mp_slot *slot) {
  slot->reset_answered = true;
  if (pool->reset_refused || pool->reset_failures >= FAILURES_TOLD)
    tell(pool, MP_EVENT_RESET_WORKS);
  pool->reset_refused = false;
  pool->reset_refusals = pool->reset_failures = 0;
}

static void count_refusal(mp_pool *pool) {
  if (++pool->reset_refusals < REFUSALS_TOLD)
    return;
  pool->reset_refused = true;
  pool->reset_ask_at_ns = add_time(pool_now(pool), ask_again_ns);
  tell(pool, MP_EVENT_RESET_REFUSED);
}

static void count_failure(mp_pool *pool, const mp_error *err) {
  memcpy(pool->reset_failure, err->message, sizeof pool->reset_failure);
  if (++pool->reset_failures == FAILURES_TOLD)
    tell(pool, MP_EVENT_RESET_FAILING);
}

void reset_failed(mp_pool *pool, const mp_slot *slot, const mp_error *err) {
  pool->stats.resets_failed++;
  if (pool->reset_refused)
    return;
  if (is_refusal(slot, err))
    count_refusal(pool);
  else
    count_failure(pool, err);
}

bool reset_is_due(mp_pool *pool) {
  if (!pool->reset_refused)
    return true;
  int64_t now_ns = pool_now(pool);
  if (now_ns < pool->reset_ask_at_ns)
    return false;
  pool->reset_ask_at_ns = add_time(now_ns, ask_again_ns);
  return true;
}

bool reset_overdue(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  return now_ns - slot->reset_ns >= pool->config.reset_timeout_ns;
}

mp_status reset_silent(mp_error *err) {
  return mp_fail(err, MP_ERR_TIMEOUT, 0, "the server did not answer a reset in time");
}

const char *mp_pool_reset_failure(const mp_pool *pool) {
  return pool->reset_failure;
}
