/* The error tables that failed calls return. */
#include "error.h"

#include "class.h"

static void set(lua_State *L, const char *field, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, field);
}

static void set_flag(lua_State *L, const char *field, bool flag) {
  lua_pushboolean(L, flag);
  lua_setfield(L, -2, field);
}

static void push_error(lua_State *L, const mp_error *err) {
  lua_createtable(L, 0, 7);
  set(L, "message", err->message);
  set(L, "kind", mp_kind_name(err->kind));
  set(L, "executed", mp_executed_name(err->executed));
  set_flag(L, "retryable", err->retryable);
  set_flag(L, "fatal", err->fatal);
  if (err->code) {
    lua_pushinteger(L, err->code);
    lua_setfield(L, -2, "errno");
  }
  if (*err->sqlstate)
    set(L, "sqlstate", err->sqlstate);
  push_class(L, ERROR_CLASS);
  lua_setmetatable(L, -2);
}

/* Completes what a failed function returns, behind nil and an error of ours on top of the stack. LuaJIT's
   assert raises the last of its arguments unless the second is a string: so that assert(db:query(…)) raises
   the error they are all that is returned there. */
static int complete(lua_State *L) {
#if LUA_VERSION_NUM < 502
  (void)L;
  return 2;
#else
  lua_getfield(L, -1, "errno");
  lua_getfield(L, -2, "sqlstate");
  return 4;
#endif
}

int push_failure(lua_State *L, const mp_error *err) {
  lua_pushnil(L);
  push_error(L, err);
  return complete(L);
}

/* failure(error): what a function returns that has failed: nil, error, errno, sqlstate. An error may be
   anything that the program returned for one: then nil and that alone. */
static int core_failure(lua_State *L) {
  lua_settop(L, 1);
  lua_pushnil(L);
  lua_insert(L, 1);
  return lua_istable(L, 2) && is_class(L, 2, ERROR_CLASS) ? complete(L) : 2;
}

static int error_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "message");
  return 1;
}

/* An operand of .. as text. */
static void push_text(lua_State *L, int index) {
  if (lua_istable(L, index))
    lua_getfield(L, index, "message");
  else
    lua_pushvalue(L, index);
}

static int error_concat(lua_State *L) {
  push_text(L, 1);
  push_text(L, 2);
  lua_concat(L, 2);
  return 1;
}

static const luaL_Reg metamethods[] = {
    {"__tostring", error_tostring},
    {"__concat", error_concat},
    {NULL, NULL},
};

/* The numbers of errors by which the Lua side decides something. */
static const constant errnos[] = {
    {"PACKET_TOO_LARGE", MP_ER_PACKET_TOO_LARGE},
    {"UNKNOWN_VARIABLE", MP_ER_UNKNOWN_VARIABLE},
    {"NOT_SUPPORTED_YET", MP_ER_NOT_SUPPORTED_YET},
    {"NOT_PREPARED", MP_ER_NOT_PREPARED},
    {"UNKNOWN_FUNCTION", MP_ER_UNKNOWN_FUNCTION},
    {"NOT_IN_BINLOG", MP_ER_NOT_IN_BINLOG},
    {NULL, 0},
};

static const luaL_Reg functions[] = {
    {"failure", core_failure},
    {NULL, NULL},
};

/* Leaves the metatable where the Lua side finds it: in the table on top of the stack. */
void error_open(lua_State *L) {
  new_class(L, ERROR_CLASS);
  luaL_setfuncs(L, metamethods, 0);
  lua_setfield(L, -2, "error_metatable");
  open_constants(L, "errno", errnos);
  luaL_setfuncs(L, functions, 0);
}
