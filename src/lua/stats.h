/* What a pool has counted, and who has its connections now. */
#ifndef MYPOOL_LUA_STATS_H
#define MYPOOL_LUA_STATS_H

#include "binding.h"

void stats_open(lua_State *L);

#endif
