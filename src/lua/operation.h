#ifndef MYPOOL_LUA_OPERATION_H
#define MYPOOL_LUA_OPERATION_H

#include "binding.h"

void operation_open(lua_State *L);

#endif
