/* Time as the pool reckons with it. */
#include "time.h"

int64_t pool_now(const mp_pool *pool) {
  return pool->driver->now_ns(pool->driver);
}

int64_t add_time(int64_t a, int64_t b) {
  return a >= MP_NEVER - b ? MP_NEVER : a + b;
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
uint64_t pool_random(mp_pool *pool, uint64_t below) {
  uint64_t x = pool->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  pool->random = x;
  return below > 0 ? (x * UINT64_C(2685821657736338717) >> 11) % below : 0;
}
