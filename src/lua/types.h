#ifndef MYPOOL_LUA_TYPES_H
#define MYPOOL_LUA_TYPES_H

#include "binding.h"

/* As core.sql_types and the column_types of a result have it. */
const char *sql_type_name(mp_sql_type type);

/* Its number by that name, in upper or lower case; -1: there is none. */
int sql_type_number(const char *name);

void types_open(lua_State *L);

#endif
