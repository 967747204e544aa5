#ifndef MYPOOL_LUA_ONCE_H
#define MYPOOL_LUA_ONCE_H

#include "binding.h"

/* The statement at this index of the stack is about to be sent. Raises for one that takes a lock. */
void once_begin(lua_State *L, connection *conn, const char *function, int index);

/* Raises when the statement, which has succeeded, has left a transaction open. */
void once_end(lua_State *L, connection *conn);

void once_open(lua_State *L);

#endif
