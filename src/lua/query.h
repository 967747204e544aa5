#ifndef MYPOOL_LUA_QUERY_H
#define MYPOOL_LUA_QUERY_H

#include "binding.h"

/* Reads the options of a statement, in a table at this index or absent: all of `form` but the shape. `sql`:
   where its text is, if it may be sent again; 0: it may not. Raises, for a call of this function, when a
   metamethod of theirs has ended the connection. */
void read_options(lua_State *L, int index, int sql, const connection *conn, const char *function,
                  mp_query_options *options, result_form *form);

/* The options of a statement stand at this index; where it has converters of its own, these from read_options
   on. */
enum { QUERY_OPTIONS = 3 };

/* The results of the statement that is about to be sent will have this form. */
void query_take_form(lua_State *L, connection *conn, const result_form *form);

/* The name of the function that returns this of a statement. */
const char *query_function(shape what);

/* Sends core.query's statement, at index 4, or asks the session first how it reads SQL text. */
mp_status query_send(lua_State *L, connection *conn, const mp_query_options *options, const result_form *form,
                     mp_wait *wait, mp_error *err);
mp_status query_after_asking(lua_State *L, connection *conn, mp_wait *wait, mp_error *err);

#endif
