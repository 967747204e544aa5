#ifndef MYPOOL_LUA_ERROR_H
#define MYPOOL_LUA_ERROR_H

#include "binding.h"

/* Pushes what a failed call returns: nil, error, errno, sqlstate; in LuaJIT nil and the error. Returns their
   number. */
int push_failure(lua_State *L, const mp_error *err);

void error_open(lua_State *L);

#endif
