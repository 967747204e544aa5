/* The class of a watch: a set of descriptors, and a thread that tells an event loop of them. */
#ifndef MYPOOL_LUA_WATCH_H
#define MYPOOL_LUA_WATCH_H

#include "binding.h"

void watch_open(lua_State *L);

#endif
