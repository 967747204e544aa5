/* Warnings to whoever runs the program. */
#ifndef MYPOOL_LUA_WARN_H
#define MYPOOL_LUA_WARN_H

#include "compat.h"

/* One line: by Lua's warnings, which a program can switch off; to the log of nginx; else to stderr. `text` is
   on the stack. Raises nothing. */
void warn(lua_State *L, const char *text);

void warn_open(lua_State *L);

#endif
