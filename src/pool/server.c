/* What is known of the server. While it is down: one attempt at a time, with growing, random pauses between.
   When it is back: with each that succeeds, one more at a time.

   Resets that fail: a server or proxy that knows none says so; then sessions are closed where they would have
   been reset. Resets that fail for other reasons are sent all the same, and the pool's user is told. No such
   verdict lasts: the server may be another one by now. */
#include "server.h"

#include "time.h"

/* ---- is it up ---- */

static const int64_t first_pause_ns = 20 * MP_MILLISECOND;
static const int64_t longest_pause_ns = 300 * MP_MILLISECOND;

/* A server that has just come back is slow, and other pools have waited for it as well. */
bool server_may_open(const mp_pool *pool) {
  if (pool->failures > 0)
    return pool->counts[SLOT_OPENING] == 0 && pool_now(pool) >= pool->retry_at_ns;
  return pool->successes == 0 || pool->counts[SLOT_OPENING] <= pool->successes;
}

static int64_t pause_ns(mp_pool *pool) {
  int64_t pause = first_pause_ns;
  for (unsigned i = 1; i < pool->failures && pause < longest_pause_ns; i++)
    pause *= 2;
  if (pause > longest_pause_ns)
    pause = longest_pause_ns;
  return pause / 2 + (int64_t)pool_random(pool, (uint64_t)pause / 2 + 1);
}

/* A server that refuses for good does answer: whoever comes next is told the same at once. */
void server_after_failed_open(mp_pool *pool, const mp_error *err) {
  pool->stats.connect_failures++;
  pool->successes = 0;
  if (!err->retryable) {
    pool->failures = 0;
    return;
  }
  pool->failures++;
  pool->last_failure = *err;
  pool->retry_at_ns = pool_now(pool) + pause_ns(pool);
}

void server_after_open(mp_pool *pool) {
  if (pool->failures > 0 || pool->successes > 0)
    pool->successes++;
  if (pool->successes >= pool->config.max_size)
    pool->successes = 0;
  pool->failures = 0;
}

/* ---- does it know resets ---- */

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

void server_after_reset(mp_pool *pool, mp_slot *slot) {
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

void server_after_failed_reset(mp_pool *pool, const mp_slot *slot, const mp_error *err) {
  pool->stats.resets_failed++;
  if (pool->reset_refused)
    return;
  if (is_refusal(slot, err))
    count_refusal(pool);
  else
    count_failure(pool, err);
}

bool server_may_reset(mp_pool *pool) {
  if (!pool->reset_refused)
    return true;
  int64_t now_ns = pool_now(pool);
  if (now_ns < pool->reset_ask_at_ns)
    return false;
  pool->reset_ask_at_ns = add_time(now_ns, ask_again_ns);
  return true;
}

const char *mp_pool_reset_failure(const mp_pool *pool) {
  return pool->reset_failure;
}
