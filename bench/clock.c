/* What Lua lacks to measure with: require "bench.clock".
     clock.wall()       nanoseconds, from some fixed moment
     clock.cpu([pid])   nanoseconds of CPU time that a process (default: this one) has used with all its
                        threads, also those that have ended; the files in /proc count in ticks of 10 ms
     clock.sleep(ns)    waits */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>
#include <time.h>

int luaopen_bench_clock(lua_State *L);

static int push_time(lua_State *L, clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0)
    return luaL_error(L, "no such clock");
  lua_pushinteger(L, (lua_Integer)now.tv_sec * 1000000000 + now.tv_nsec);
  return 1;
}

static int clock_wall(lua_State *L) {
  return push_time(L, CLOCK_MONOTONIC);
}

static int clock_cpu(lua_State *L) {
  clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  int error = lua_isnoneornil(L, 1) ? 0 : clock_getcpuclockid((pid_t)luaL_checkinteger(L, 1), &clock);
  return error ? luaL_error(L, "%s", strerror(error)) : push_time(L, clock);
}

static int clock_sleep(lua_State *L) {
  lua_Integer ns = luaL_checkinteger(L, 1);
  struct timespec pause = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  nanosleep(&pause, NULL);
  return 0;
}

static const luaL_Reg functions[] = {
    {"wall", clock_wall}, {"cpu", clock_cpu}, {"sleep", clock_sleep}, {NULL, NULL}};

int luaopen_bench_clock(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
