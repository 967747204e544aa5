#ifndef MYPOOL_LUA_PLACE_H
#define MYPOOL_LUA_PLACE_H

#include "binding.h"

/* The line of the user's program that called mypool; "" when there is none. */
code_place place_of_caller(lua_State *L);

/* The same, looked for from this level of the stack on; 0: the C function that was called. `all` is the
   state's, which whoever has a pool need not look for. */
code_place place_from(lua_State *L, leftovers *all, int level);

/* The text of a place as messages have it that cannot do without: in words where there is none. Holds as long
   as the place. */
const char *place_to_tell(const char *place);

/* Raise an error at the caller's place. The stack index is that of the value which is of another type. */
int raise(lua_State *L, const char *format, ...);
int raise_type(lua_State *L, const char *function, const char *argument, const char *expected, int index);

/* The value at this index, on which a method was called, is not of its class; `name` stands for one in
   messages. */
int raise_self(lua_State *L, const char *function, const char *class, const char *name, int index);

/* Seconds, which may be absent (then `absent_ns`), as nanoseconds. Raises for what is out of range. */
int64_t check_seconds(lua_State *L, int index, const char *function, const char *argument, int64_t absent_ns);

void place_open(lua_State *L);

#endif
