/* The wait function of programs without a scheduler. */
#include "poll_wait.h"

#include <math.h>
#include <poll.h>

/* poll(fd [, seconds]): true when fd became readable, nothing at the timeout, or when a signal
   came: then Lua's hooks get their turn. The default wait function. */
static int core_poll(lua_State *L) {
  struct pollfd wanted = {.fd = (int)luaL_checkinteger(L, 1), .events = POLLIN};
  int timeout_ms = -1;
  if (!lua_isnoneornil(L, 2)) {
    double ms = ceil(luaL_checknumber(L, 2) * 1000);
    timeout_ms = ms > 0 ? (ms < INT_MAX ? (int)ms : INT_MAX) : 0;
  }
  if (poll(&wanted, 1, timeout_ms) <= 0)
    return 0;
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"poll", core_poll},
    {NULL, NULL},
};

void poll_wait_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
