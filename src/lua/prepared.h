#ifndef MYPOOL_LUA_PREPARED_H
#define MYPOOL_LUA_PREPARED_H

#include "binding.h"

/* The session has told its charset: executes the statement. */
mp_status execute_after_asking(connection *conn, mp_wait *wait, mp_error *err);

void prepared_open(lua_State *L);

#endif
