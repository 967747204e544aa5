/* One text for Lua 5.4 and LuaJIT (the API of 5.1): the names of 5.4, made of what 5.1 has. */
#ifndef MYPOOL_LUA_COMPAT_H
#define MYPOOL_LUA_COMPAT_H

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if LUA_VERSION_NUM > 501 && LUA_VERSION_NUM < 504
#error "mypool needs Lua 5.4, Lua 5.5 or LuaJIT"
#endif

#if LUA_VERSION_NUM < 502

#define LUA_OK 0
#define lua_rawlen lua_objlen
#define LUA_MAXINTEGER PTRDIFF_MAX

/* LuaJIT 2.1 declares some of these, Lua 5.1 does not: ours have names of their own. */
#define luaL_setfuncs compat_setfuncs
#undef luaL_newlib

/* User values live in the environment table of the userdata. */
static inline void *lua_newuserdatauv(lua_State *L, size_t size, int values) {
  void *data = lua_newuserdata(L, size);
  lua_createtable(L, values, 0);
  lua_setfenv(L, -2);
  return data;
}

static inline int lua_getiuservalue(lua_State *L, int index, int n) {
  lua_getfenv(L, index);
  lua_rawgeti(L, -1, n);
  lua_remove(L, -2);
  return lua_type(L, -1);
}

/* Expects the value on top of the stack. */
static inline int lua_setiuservalue(lua_State *L, int index, int n) {
  lua_getfenv(L, index);
  lua_insert(L, -2);
  lua_rawseti(L, -2, n);
  lua_pop(L, 1);
  return 1;
}

static inline int lua_absindex(lua_State *L, int index) {
  return index > 0 || index <= LUA_REGISTRYINDEX ? index : lua_gettop(L) + index + 1;
}

static inline void lua_rawgetp(lua_State *L, int index, const void *key) {
  index = lua_absindex(L, index);
  lua_pushlightuserdata(L, (void *)key);
  lua_rawget(L, index);
}

/* Expects the value on top of the stack. */
static inline void lua_rawsetp(lua_State *L, int index, const void *key) {
  index = lua_absindex(L, index);
  lua_pushlightuserdata(L, (void *)key);
  lua_insert(L, -2);
  lua_rawset(L, index);
}

static inline void luaL_setfuncs(lua_State *L, const luaL_Reg *functions, int upvalues) {
  (void)upvalues; /* always 0 here */
  for (; functions->name; functions++) {
    lua_pushcfunction(L, functions->func);
    lua_setfield(L, -2, functions->name);
  }
}

/* Numbers are doubles: one without a fraction counts as an integer where a double is exact. */
static inline int lua_isinteger(lua_State *L, int index) {
  double number = lua_tonumber(L, index);
  return lua_type(L, index) == LUA_TNUMBER && number >= -9007199254740992.0 && number <= 9007199254740992.0 &&
         number == (double)(long long)number;
}

#define luaL_newlib(L, functions) (lua_newtable(L), luaL_setfuncs(L, functions, 0))

/* Integers that a double cannot hold stay exact as strings. */
static const long long largest_integer = 9007199254740991LL;

#else

static const long long largest_integer = LLONG_MAX;

#endif

#endif
