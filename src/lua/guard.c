/* A guard ends an operation whose coroutine is closed while it waits: the Lua side holds the guard of its
   connection in a <close> variable meanwhile. It does nothing once the operation has come to its end. */
#include "guard.h"

#include "class.h"
#include "connection.h"

typedef struct guard {
  leftover self;    /* first; in no list */
  connection *conn; /* kept alive by its user value */
} guard;

#if LUA_VERSION_NUM >= 504

/* Made at the first wait, for most operations of a plain program have none. */
static void make(lua_State *L, connection *conn) {
  guard *made = lua_newuserdatauv(L, sizeof *made, 1);
  *made = (guard){.self.class = GUARD_CLASS, .conn = conn};
  push_class(L, GUARD_CLASS);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, CONNECTION_GUARD);
}

void guard_push(lua_State *L, connection *conn) {
  if (lua_getiuservalue(L, 1, CONNECTION_GUARD) == LUA_TUSERDATA)
    return;
  lua_pop(L, 1);
  make(L, conn);
}

#else

void guard_push(lua_State *L, connection *conn) {
  (void)conn;
  lua_pushnil(L);
}

#endif

/* Only its own coroutine tells that an operation is over: in another one it may have been closed late. */
static int guard_close(lua_State *L) {
  guard *of = test_class(L, 1, GUARD_CLASS);
  if (!of || !of->conn->loan || of->conn->activity == IDLE || of->conn->call.user != L)
    return 0;
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, 1);
  lua_replace(L, 1);
  connection_abandon(L, of->conn);
  return 0;
}

static const luaL_Reg metamethods[] = {
    {"__close", guard_close},
    {NULL, NULL},
};

void guard_open(lua_State *L) {
  static const luaL_Reg methods[] = {{NULL, NULL}};
  open_class(L, GUARD_CLASS, methods, metamethods);
}
