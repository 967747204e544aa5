/* The hosts of a pool in Lua. */
#ifndef MYPOOL_LUA_HOSTS_H
#define MYPOOL_LUA_HOSTS_H

#include "binding.h"

/* Pushes the array of the pool's hosts, as stats().hosts has it. */
void push_hosts(lua_State *L, const mp_pool *pool);

/* The number of the host that the string at this index names. Raises when it is none. */
unsigned check_host(lua_State *L, const mp_pool *pool, int index, const char *function);

#endif
