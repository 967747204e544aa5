#ifndef MYPOOL_LUA_ERROR_H
#define MYPOOL_LUA_ERROR_H

#include "binding.h"

/* Pushes nil, error, errno, sqlstate: the values of every failed call, made here alone. Returns their number.
 */
int push_failure(lua_State *L, const mp_error *err);

void error_open(lua_State *L);

#endif
