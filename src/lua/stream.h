#ifndef MYPOOL_LUA_STREAM_H
#define MYPOOL_LUA_STREAM_H

#include "binding.h"

/* Continues fetch or drain: nil and an array of rows; nil alone at the end. */
int stream_step(lua_State *L, connection *conn, mp_wait *wait, mp_error *err);

/* While a stream is open its connection can do nothing else. Returns what an operation that was
   refused returns. */
int busy_streaming(lua_State *L);

void stream_open(lua_State *L);

#endif
