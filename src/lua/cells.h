#ifndef MYPOOL_LUA_CELLS_H
#define MYPOOL_LUA_CELLS_H

#include "binding.h"

/* A number that Lua's integers do not hold becomes a string. */
void push_unsigned(lua_State *L, uint64_t value);

/* Return false, and push something, for what is no value of that type. */
bool push_cell(lua_State *L, mp_type type, const char *cell, size_t length);
bool push_binary(lua_State *L, mp_type type, const mp_value *value);

void cells_open(lua_State *L);

#endif
