#ifndef MYPOOL_LUA_PARAMETERS_H
#define MYPOOL_LUA_PARAMETERS_H

#include "binding.h"

/* Fills conn->statement.text from the SQL at stack index `sql` and the parameters from `first` to
   `last`, for a session in this mode. False: what the text means depends on what the session has to be asked
   for first. Raises for what cannot be encoded, before anything was sent. */
bool encode_statement(lua_State *L, connection *conn, int sql, int first, int last, const mp_sql_mode *mode);

void parameters_open(lua_State *L);

#endif
