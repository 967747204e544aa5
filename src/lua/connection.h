#ifndef MYPOOL_LUA_CONNECTION_H
#define MYPOOL_LUA_CONNECTION_H

#include "binding.h"

/* Raise unless there is a connection at index 1; check_loan also when it was released or is busy, check_held
   also when it was never checked out. */
connection *check_connection(lua_State *L, const char *function);
connection *check_loan(lua_State *L, const char *function);
connection *check_held(lua_State *L, const char *function);

/* Pushes a handle without a session; the pool is at index 1. */
connection *connection_new(lua_State *L, pool_data *pool);

/* Each for the handle at index 1: gives its session back; gives it up in the middle of something, as nobody
   waits for it any more. */
void connection_give_back(lua_State *L, connection *conn, bool reset);
void connection_abandon(lua_State *L, connection *conn);

/* Tells the user of loans that are out for too long, or have ended in a transaction. May call on_event. */
void connection_report(lua_State *L, connection *conn);

void connection_open(lua_State *L);

#endif
