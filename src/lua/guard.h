#ifndef MYPOOL_LUA_GUARD_H
#define MYPOOL_LUA_GUARD_H

#include "binding.h"

/* Pushes what the Lua side keeps in a <close> variable while an operation waits; nil where the
   language has none. */
void guard_push(lua_State *L, connection *conn);

void guard_open(lua_State *L);

#endif
