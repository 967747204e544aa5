#ifndef MYPOOL_LUA_BULK_H
#define MYPOOL_LUA_BULK_H

#include "binding.h"

void bulk_open(lua_State *L);

#endif
