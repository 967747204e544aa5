#ifndef MYPOOL_LUA_HINT_H
#define MYPOOL_LUA_HINT_H

#include "binding.h"

/* A likely mistake behind a syntax error, in words; "" when there is none. */
typedef struct hint {
  char text[112];
} hint;

/* The message must still be the server's own. The handle of `conn` is at index 1. */
hint hint_at(lua_State *L, const connection *conn, const mp_error *err);

#endif
