/* The statements of the program. */
#ifndef MYPOOL_LUA_STATEMENT_H
#define MYPOOL_LUA_STATEMENT_H

#include "binding.h"

/* The connection's statement is about to be sent. */
void statement_sent(connection *conn);

void statement_open(lua_State *L);

#endif
