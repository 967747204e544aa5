#ifndef MYPOOL_LUA_VALUE_H
#define MYPOOL_LUA_VALUE_H

#include "binding.h"

/* The position of a value, for messages: the row is 0 outside of execute_many. */
typedef struct value_position {
  lua_Integer row;
  int parameter;
} value_position;

/* The Lua value at this index of the stack as a parameter of the binary protocol; bytes are Lua's own. Puts
   the string within mypool.binary in its place: the program may change the table meanwhile. Raises for what
   is no value of a prepared statement. */
mp_value value_read(lua_State *L, int index, value_position at);

#endif
