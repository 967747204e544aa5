#ifndef MYPOOL_LUA_CLASS_H
#define MYPOOL_LUA_CLASS_H

#include "binding.h"

/* The names of the classes; by their addresses the registry keeps the metatables. */
extern const char POOL_CLASS[], CONNECTION_CLASS[], ERROR_CLASS[];
extern const char RAISING_POOL_CLASS[], RAISING_CONNECTION_CLASS[]; /* of pools whose failures are raised */
extern const char GUARD_CLASS[], WATCH_CLASS[];
extern const char LIST_CLASS[], IDENTIFIER_CLASS[], BINARY_CLASS[], NAMED_CLASS[];

/* Makes the metatable of a class and pushes it; push_class pushes it again. */
void new_class(lua_State *L, const char *class);
void push_class(lua_State *L, const char *class);
bool is_class(lua_State *L, int index, const char *class);

/* The userdata of that class, or NULL. */
void *test_class(lua_State *L, int index, const char *class);

/* Leaves the table of methods, to which the Lua side adds, in the table on top of the stack. */
void open_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods);

/* The same for a class that is called `name` by programs, like another one, and whose methods are all the Lua
   side's: in the field "raising NAME". */
void open_raising_class(lua_State *L, const char *class, const char *name, const luaL_Reg *metamethods);

/* Leaves a table of these numbers, NULL at their end, as the field of the table on top of the stack. */
typedef struct constant {
  const char *name;
  int value;
} constant;
void open_constants(lua_State *L, const char *field, const constant *constants);

/* Takes the value on top of the stack away; a string goes into the array at index `kept`, and lives as long
   as that. */
void keep_string(lua_State *L, int kept);

#endif
