#ifndef MYPOOL_LUA_LEFT_OPEN_H
#define MYPOOL_LUA_LEFT_OPEN_H

#include "binding.h"

/* Notes a loan of the pool at this index that ended in a transaction. */
void left_open_note(lua_State *L, int index, const char *place, uint64_t id);

/* Tells on_event of those that were noted, which may do anything. */
void left_open_report(lua_State *L, int index);

#endif
