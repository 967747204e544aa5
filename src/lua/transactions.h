#ifndef MYPOOL_LUA_TRANSACTIONS_H
#define MYPOOL_LUA_TRANSACTIONS_H

#include "binding.h"

void transactions_open(lua_State *L);

#endif
