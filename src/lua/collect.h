#ifndef MYPOOL_LUA_COLLECT_H
#define MYPOOL_LUA_COLLECT_H

#include "binding.h"

/* For a checkout that stands in line: when to have the garbage collected, if it still stands there then. */
void collect_later(connection *conn, int64_t timeout_ns);
int64_t collect_time(const connection *conn); /* MP_NEVER: not at all */
void collect_if_due(lua_State *L, connection *conn);

#endif
