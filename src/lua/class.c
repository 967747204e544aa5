/* The classes of userdata, and of the tables that the Lua side wraps values in: their metatables, by the
   addresses of their names. */
#include "class.h"

const char POOL_CLASS[] = "mypool.pool";
const char CONNECTION_CLASS[] = "mypool.connection";
const char RAISING_POOL_CLASS[] = "raising mypool.pool";
const char RAISING_CONNECTION_CLASS[] = "raising mypool.connection";
const char GUARD_CLASS[] = "mypool.operation";
const char WATCH_CLASS[] = "mypool.watch";
const char ERROR_CLASS[] = "mypool.error";
const char LIST_CLASS[] = "mypool.list";
const char IDENTIFIER_CLASS[] = "mypool.ident";
const char BINARY_CLASS[] = "mypool.binary";
const char NAMED_CLASS[] = "mypool.named";

void new_class(lua_State *L, const char *class) {
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, class);
}

void push_class(lua_State *L, const char *class) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, class);
}

bool is_class(lua_State *L, int index, const char *class) {
  if (!lua_getmetatable(L, index))
    return false;
  push_class(L, class);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* A userdata is known by the class that it holds: its metatable can be changed, by the debug library. */
void *test_class(lua_State *L, int index, const char *class) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) < sizeof(leftover))
    return NULL;
  leftover *data = lua_touserdata(L, index);
  return data->class == class ? data : NULL;
}

/* Leaves the metatable on top of the stack, without its methods. */
static void open_metatable(lua_State *L, const char *class, const char *name, const luaL_Reg *metamethods) {
  new_class(L, class);
  luaL_setfuncs(L, metamethods, 0);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

/* Takes the metatable. */
static void open_methods(lua_State *L, const char *field, const luaL_Reg *methods) {
  lua_newtable(L);
  if (methods)
    luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, field);
  lua_pop(L, 1);
}

void open_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods) {
  open_metatable(L, name, name, metamethods);
  open_methods(L, name, methods);
}

void open_raising_class(lua_State *L, const char *class, const char *name, const luaL_Reg *metamethods) {
  open_metatable(L, class, name, metamethods);
  open_methods(L, class, NULL);
}

void open_constants(lua_State *L, const char *field, const constant *constants) {
  lua_newtable(L);
  for (; constants->name; constants++) {
    lua_pushinteger(L, constants->value);
    lua_setfield(L, -2, constants->name);
  }
  lua_setfield(L, -2, field);
}

void keep_string(lua_State *L, int kept) {
  if (lua_type(L, -1) == LUA_TSTRING)
    lua_rawseti(L, kept, (int)lua_rawlen(L, kept) + 1);
  else
    lua_pop(L, 1);
}
