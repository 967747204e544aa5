#ifndef MYPOOL_LUA_QUERY_H
#define MYPOOL_LUA_QUERY_H

#include "binding.h"

/* Reads the options of a statement, in a table at this index or absent. */
void read_options(lua_State *L, int index, connection *conn, mp_query_options *options, const char *function);

/* Sends core.query's statement, at index 4, or asks the session first how it reads SQL text. */
mp_status query_send(lua_State *L, connection *conn, const mp_query_options *options, mp_wait *wait,
                     mp_error *err);
mp_status query_after_asking(lua_State *L, connection *conn, mp_wait *wait, mp_error *err);

#endif
