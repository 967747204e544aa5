/* The garbage collector, while a large result is read: at work it would look at the growing table again and
   again, and find nothing to collect. So it rests, and makes up for it before the next large result, when
   this one may be garbage. */
#include "collector.h"

#ifdef LUA_GCISRUNNING

/* The memory of earlier results is charged to the collector when another one begins. */
int collector_stop(lua_State *L, pool_data *pool, bool begins) {
  if (begins && pool->uncharged_kb > 0) {
    lua_gc(L, LUA_GCSTEP, pool->uncharged_kb);
    pool->uncharged_kb = 0;
  }
  lua_gc(L, LUA_GCSTOP, 0);
  return lua_gc(L, LUA_GCCOUNT, 0);
}

/* Under a scheduler the collector goes on again and again, between two parts of a result, and takes a large
   step each time as soon as anything is allocated. These versions take a step of a negative size for a credit
   (measured under cqueues: a million rows in 0.4 seconds of CPU, not 2). */
static void let_it_wait(lua_State *L) {
#if LUA_VERSION_NUM == 503 || LUA_VERSION_NUM == 504
  const int credit_kb = 256;
  lua_gc(L, LUA_GCSTEP, -credit_kb);
#else
  (void)L;
#endif
}

void collector_go_on(lua_State *L, pool_data *pool, int before_kb) {
  lua_gc(L, LUA_GCRESTART, 0);
  pool->uncharged_kb += lua_gc(L, LUA_GCCOUNT, 0) - before_kb;
  let_it_wait(L);
}

#endif
