/* Loans that ended in a transaction, which the reset undoes: how many, and where they began. */
#include "left_open.h"

/* Places and ids, one behind the other. The user's function is not called here: this may be a finalizer. */
void left_open_note(lua_State *L, int index, const char *place, uint64_t id) {
  pool_data *pool = lua_touserdata(L, index);
  pool->left_open++;
  if (lua_getiuservalue(L, index, POOL_LEFT_OPEN) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  if (lua_getiuservalue(L, index, POOL_UNTOLD) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, index, POOL_UNTOLD);
  }
  int count = (int)lua_rawlen(L, -1);
  lua_pushstring(L, place);
  lua_rawseti(L, -2, count + 1);
  lua_pushinteger(L, (lua_Integer)id);
  lua_rawseti(L, -2, count + 2);
  lua_pop(L, 1);
  pool->untold = true;
}

/* The function is one of lua/mypool/hooks.lua, as above. It may use the pool. */
void left_open_report(lua_State *L, int index) {
  pool_data *pool = lua_touserdata(L, index);
  pool->untold = false;
  lua_getiuservalue(L, index, POOL_UNTOLD);
  int untold = lua_gettop(L), count = (int)lua_rawlen(L, untold);
  lua_pushnil(L);
  lua_setiuservalue(L, index, POOL_UNTOLD);
  for (int i = 1; i < count; i += 2) {
    lua_getiuservalue(L, index, POOL_LEFT_OPEN);
    lua_rawgeti(L, untold, i);
    lua_rawgeti(L, untold, i + 1);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK)
      lua_pop(L, 1);
  }
  lua_pop(L, 1);
}
