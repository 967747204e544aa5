#ifndef MYPOOL_LUA_STATE_END_H
#define MYPOOL_LUA_STATE_END_H

#include "binding.h"

/* Once for a state, before anything else is made. */
void state_end_open(lua_State *L);

leftovers *leftovers_of(lua_State *L);
void leftover_join(leftover **list, leftover *one);
void leftover_leave(leftover *one);

#endif
