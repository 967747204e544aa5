#ifndef MYPOOL_LUA_PREPARED_H
#define MYPOOL_LUA_PREPARED_H

#include "binding.h"

void prepared_open(lua_State *L);

#endif
