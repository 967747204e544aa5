/* The error tables that failed calls return. */
#include "error.h"

#include "class.h"
#include "place.h"

static void set(lua_State *L, const char *field, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, field);
}

static void set_flag(lua_State *L, const char *field, bool flag) {
  lua_pushboolean(L, flag);
  lua_setfield(L, -2, field);
}

/* ---- the statement ---- */

enum { LONGEST_SQL = 500 };

size_t text_cut(const char *text, size_t length, size_t longest) {
  size_t at = longest;
  if (length <= longest)
    return length;
  while (at > 0 && longest - at < 4 && ((unsigned char)text[at] & 0xC0) == 0x80)
    at--;
  return ((unsigned char)text[at] & 0xC0) == 0x80 ? longest : at;
}

void push_sql(lua_State *L, int index) {
  size_t length;
  const char *sql = lua_tolstring(L, index, &length);
  if (length <= LONGEST_SQL) {
    lua_pushvalue(L, index);
    return;
  }
  lua_pushlstring(L, sql, text_cut(sql, length, LONGEST_SQL));
  lua_pushliteral(L, "…");
  lua_concat(L, 2);
}

/* add_sql(error, statement): for an error of a call whose statement did not come to be sent. One that has a
   statement keeps it, as does what is no error. */
static int core_add_sql(lua_State *L) {
  lua_settop(L, 2);
  if (!lua_istable(L, 1) || !is_class(L, 1, ERROR_CLASS) || lua_type(L, 2) != LUA_TSTRING)
    return 0;
  lua_getfield(L, 1, "sql");
  if (lua_isnil(L, -1)) {
    push_sql(L, 2);
    lua_setfield(L, 1, "sql");
  }
  return 0;
}

/* ---- the error ---- */

/* The place is that of the program's call, which is looked for here, where something has failed, and not
   before. */
static void set_place(lua_State *L) {
  code_place place = place_of_caller(L);
  if (*place.text)
    set(L, "place", place.text);
}

static void push_error(lua_State *L, const mp_error *err, int sql) {
  lua_createtable(L, 0, 10);
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
  if (err->host)
    set(L, "host", err->host);
  set_place(L);
  if (sql > 0 && lua_type(L, sql) == LUA_TSTRING) {
    push_sql(L, sql);
    lua_setfield(L, -2, "sql");
  }
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

int push_failure(lua_State *L, const mp_error *err, int sql) {
  lua_pushnil(L);
  push_error(L, err, sql);
  return complete(L);
}

int push_failed_statement(lua_State *L, const mp_error *err) {
  lua_getiuservalue(L, 1, CONNECTION_SQL);
  int sql = lua_gettop(L), count = push_failure(L, err, sql);
  lua_remove(L, sql);
  return count;
}

/* failure(error): what a function returns that has failed: nil, error, errno, sqlstate. An error may be
   anything that the program returned for one: then nil and that alone. */
static int core_failure(lua_State *L) {
  lua_settop(L, 1);
  lua_pushnil(L);
  lua_insert(L, 1);
  return lua_istable(L, 2) && is_class(L, 2, ERROR_CLASS) ? complete(L) : 2;
}

/* ---- its text ---- */

/* Pushes "shop.lua:57: Unknown column 'x' in 'SELECT' (1054)", without what the error does not have. */
static void push_error_text(lua_State *L, int index) {
  int first = lua_gettop(L) + 1;
  lua_getfield(L, index, "place");
  if (lua_isstring(L, -1))
    lua_pushliteral(L, ": ");
  else
    lua_pop(L, 1);
  lua_getfield(L, index, "message");
  lua_getfield(L, index, "errno");
  if (lua_isnumber(L, -1))
    lua_pushfstring(L, " (%d)", (int)lua_tointeger(L, -1));
  else
    lua_pushliteral(L, "");
  lua_remove(L, -2);
  lua_concat(L, lua_gettop(L) - first + 1);
}

static int error_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  push_error_text(L, 1);
  return 1;
}

/* An operand of .. as text. */
static void push_text(lua_State *L, int index) {
  if (lua_istable(L, index) && is_class(L, index, ERROR_CLASS))
    push_error_text(L, index);
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
    {"add_sql", core_add_sql},
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
