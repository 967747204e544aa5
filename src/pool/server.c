/* While the server is down: one attempt at a time, with growing, random pauses between. When it is
   back: with each that succeeds, one more at a time. */
#include "pool.h"

static const int64_t first_pause_ns = 20 * MP_MILLISECOND;
static const int64_t longest_pause_ns = 300 * MP_MILLISECOND;

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
uint64_t pool_random(mp_pool *pool, uint64_t below) {
  uint64_t x = pool->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  pool->random = x;
  return below > 0 ? (x * UINT64_C(2685821657736338717) >> 11) % below : 0;
}

/* A server that has just come back is slow, and other pools have waited for it as well. */
bool backoff_may_open(const mp_pool *pool) {
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
void backoff_failed(mp_pool *pool, const mp_error *err) {
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

void backoff_succeeded(mp_pool *pool) {
  if (pool->failures > 0 || pool->successes > 0)
    pool->successes++;
  if (pool->successes >= pool->config.max_size)
    pool->successes = 0;
  pool->failures = 0;
}
