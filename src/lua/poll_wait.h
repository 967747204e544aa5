#ifndef MYPOOL_LUA_POLL_WAIT_H
#define MYPOOL_LUA_POLL_WAIT_H

#include "binding.h"

void poll_wait_open(lua_State *L);

#endif
