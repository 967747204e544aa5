#ifndef MYPOOL_LUA_POOL_H
#define MYPOOL_LUA_POOL_H

#include "binding.h"

/* Raises unless there is a pool at this index that is open. */
pool_data *check_pool(lua_State *L, int index, const char *function);

/* Tells the wait adapter that whoever waited in an operation of the connection is gone. */
void pool_forget_wait(connection *conn);

/* Tells the user of the pool at this index. */
void report_overdue(lua_State *L, int index, const mp_holder *overdue);

void pool_open(lua_State *L);

#endif
