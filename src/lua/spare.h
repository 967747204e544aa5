#ifndef MYPOOL_LUA_SPARE_H
#define MYPOOL_LUA_SPARE_H

#include "binding.h"

/* Gives the new pool at this index room for spares; may raise for want of memory. */
void spare_open(lua_State *L, int index);

/* Before the first statement of the handle at index 1: takes what an earlier one has left, if one has. */
void spare_take(lua_State *L, connection *conn);

/* The loan of the handle is over: leaves to the next what it has, or frees it. The handle is at index 1, but
   at the end of the state. Allocates nothing. */
void spare_leave(lua_State *L, connection *conn);

/* Frees what is left, at the end of the pool. */
void spare_free(pool_data *pool);

#endif
