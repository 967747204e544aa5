#ifndef MYPOOL_LUA_STEP_H
#define MYPOOL_LUA_STEP_H

#include "binding.h"

/* Goes on after a call of mp_… that has returned this status. Returns what the call of the user's returns. */
int after_call(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err);

void step_open(lua_State *L);

#endif
