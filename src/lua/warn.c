/* Warnings to whoever runs the program. */
#include "warn.h"

#if LUA_VERSION_NUM >= 504

void warn(lua_State *L, const char *text) {
  lua_warning(L, text, 0);
}

#else

/* ngx.log(ngx.WARN, text), in a protected call. */
static int log_to_nginx(lua_State *L) {
  lua_getglobal(L, "ngx");
  lua_getfield(L, -1, "log");
  lua_getfield(L, -2, "WARN");
  lua_pushvalue(L, 1);
  lua_call(L, 2, 0);
  return 0;
}

/* An nginx that is about to end has freed what its log belonged to. */
static int is_nginx_at_work(lua_State *L) {
  lua_getglobal(L, "ngx");
  lua_getfield(L, -1, "worker");
  lua_getfield(L, -1, "exiting");
  lua_call(L, 0, 1);
  lua_pushboolean(L, !lua_toboolean(L, -1));
  return 1;
}

static int call(lua_State *L, lua_CFunction function, const char *text, int results) {
  lua_pushcfunction(L, function);
  lua_pushstring(L, text);
  return lua_pcall(L, 1, results, 0) == LUA_OK;
}

static int tell_nginx(lua_State *L, const char *text) {
  int top = lua_gettop(L);
  int told = call(L, is_nginx_at_work, text, 1) && lua_toboolean(L, -1) && call(L, log_to_nginx, text, 0);
  lua_settop(L, top);
  return told;
}

void warn(lua_State *L, const char *text) {
  if (!lua_checkstack(L, 8) || !tell_nginx(L, text))
    fprintf(stderr, "%s\n", text);
}

#endif

/* warn(text) */
static int core_warn(lua_State *L) {
  warn(L, luaL_checkstring(L, 1));
  return 0;
}

static const luaL_Reg functions[] = {
    {"warn", core_warn},
    {NULL, NULL},
};

void warn_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
