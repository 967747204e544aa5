#ifndef MYPOOL_LUA_POOL_OPTIONS_H
#define MYPOOL_LUA_POOL_OPTIONS_H

#include "binding.h"
#include "mariadb.h"

/* Reads the options at index 1 of the pool at index 2, and pushes what keeps their strings. */
void pool_options_read(lua_State *L, pool_data *pool, mp_server *server, mp_pool_config *config);

#endif
