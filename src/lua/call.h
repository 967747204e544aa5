#ifndef MYPOOL_LUA_CALL_H
#define MYPOOL_LUA_CALL_H

#include "binding.h"

/* Each for an operation of the connection at index 1. */
void call_begin(lua_State *L, connection *conn, activity what);

/* Push what the call returns, and return the number of the values: fd, seconds, wait, guard; or nil, and nil,
   error, errno, sqlstate. */
int call_push_wait(lua_State *L, connection *conn, const mp_wait *wait);
int call_push_failure(lua_State *L, connection *conn, mp_error *err);

/* Releases a connection that another coroutine released before the operation had come to its end. */
void call_release_pending(lua_State *L, connection *conn);

#endif
