#ifndef MYPOOL_LUA_COLLECTOR_H
#define MYPOOL_LUA_COLLECTOR_H

#include "binding.h"

/* Stops the collector for the part of a result, the first one when it `begins`. Returns how much memory is in
   use, in KiB, which collector_go_on wants to know. */
int collector_stop(lua_State *L, pool_data *pool, bool begins);
void collector_go_on(lua_State *L, pool_data *pool, int before_kb);

#endif
