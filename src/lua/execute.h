#ifndef MYPOOL_LUA_EXECUTE_H
#define MYPOOL_LUA_EXECUTE_H

#include "binding.h"

/* Executes the statement of this number with conn->statement.values, for so many rows (0: it is no bulk
   execution), by conn->statement.options; where text among them means one thing or another by the session's
   charset, asks for that first. */
mp_status execute_begin(lua_State *L, connection *conn, uint64_t id, size_t rows, mp_wait *wait,
                        mp_error *err);

/* The session has told its charset. */
mp_status execute_after_asking(lua_State *L, connection *conn, mp_wait *wait, mp_error *err);

#endif
