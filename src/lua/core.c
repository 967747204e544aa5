/* The module mypool.core: what the Lua side is built on. Not meant to be used directly. */
#include <errno.h>
#include <math.h>
#include <poll.h>

#include "binding.h"
#include "mariadb.h"

const char POOL_CLASS[] = "mypool.pool";
const char CONNECTION_CLASS[] = "mypool.connection";
const char GUARD_CLASS[] = "mypool.operation";
const char ERROR_CLASS[] = "mypool.error";
const char LIST_CLASS[] = "mypool.list";
const char IDENTIFIER_CLASS[] = "mypool.ident";
const char BINARY_CLASS[] = "mypool.binary";

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

/* By what it holds: a metatable can be changed, by the debug library. */
void *test_class(lua_State *L, int index, const char *class) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) < sizeof(leftover))
    return NULL;
  leftover *data = lua_touserdata(L, index);
  return data->class == class ? data : NULL;
}

void open_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods) {
  new_class(L, name);
  luaL_setfuncs(L, metamethods, 0);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, name);
  lua_pop(L, 1);
}

void keep_string(lua_State *L, int kept) {
  if (lua_type(L, -1) == LUA_TSTRING)
    lua_rawseti(L, kept, (int)lua_rawlen(L, kept) + 1);
  else
    lua_pop(L, 1);
}

/* poll(fd [, seconds]): true when fd became readable, nothing at the timeout, or when a signal
   came: then Lua's hooks get their turn. The default wait function. */
static int core_poll(lua_State *L) {
  struct pollfd wanted = {.fd = (int)luaL_checkinteger(L, 1), .events = POLLIN};
  int timeout_ms = -1;
  if (!lua_isnoneornil(L, 2)) {
    double ms = ceil(luaL_checknumber(L, 2) * 1000);
    timeout_ms = ms > 0 ? (ms < INT_MAX ? (int)ms : INT_MAX) : 0;
  }
  if (poll(&wanted, 1, timeout_ms) <= 0)
    return 0;
  lua_pushboolean(L, 1);
  return 1;
}

/* number(text): what it says, read as SQL would; nil for what is no number. */
static int core_number(lua_State *L) {
  size_t length;
  double number;
  const char *text = luaL_checklstring(L, 1, &length);
  if (!mp_read_float(text, length, &number))
    return 0;
  if (number == floor(number) && fabs(number) < 1e15)
    lua_pushinteger(L, (lua_Integer)number);
  else
    lua_pushnumber(L, number);
  return 1;
}

static const luaL_Reg functions[] = {
    {"new", core_new},
    {"shut", core_shut},
    {"abort", core_abort},
    {"now", core_now},
    {"query", core_query},
    {"connection", core_connection},
    {"held", core_held},
    {"wait", core_wait},
    {"checkout", core_checkout},
    {"give_back", core_give_back},
    {"abandon", core_abandon},
    {"ping", core_ping},
    {"step", core_step},
    {"pause", core_pause},
    {"reset", core_reset},
    {"slot", core_slot},
    {"watch", core_watch},
    {"watches", core_watches},
    {"unwatch", core_unwatch},
    {"spoil", core_spoil},
    {"retries", core_retries},
    {"retiring", core_retiring},
    {"fresh", core_fresh},
    {"record", core_record},
    {"events", core_events},
    {"holders", core_holders},
    {"fetch", core_fetch},
    {"drain", core_drain},
    {"prepare", core_prepare},
    {"execute", core_execute},
    {"close_prepared", core_close_prepared},
    {"row", core_row},
    {"execute_many", core_execute_many},
    {"check_locks", core_check_locks},
    {"end_once", core_end_once},
    {"parameters", core_parameters},
    {"poll", core_poll},
    {"number", core_number},
    {"raise", core_raise},
    {"internal", core_internal},
    {NULL, NULL},
};

static void check_library(lua_State *L) {
  const char *version = mp_mariadb_too_old();
  if (version)
    luaL_error(L, "mypool needs libmariadb (MariaDB Connector/C) 3.3 or later, found %s: install a newer one",
               version);
}

__attribute__((visibility("default"))) int luaopen_mypool_core(lua_State *L);

/* One that is loaded again, as busted does for each file, gets the same: what it made before keeps its
   classes, and so its finalizers. */
int luaopen_mypool_core(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, functions);
  if (lua_istable(L, -1))
    return 1;
  check_library(L);
  luaL_newlib(L, functions);
  leftovers_open(L);
  errors_open(L);
  classes_open(L);
  types_open(L);
  connection_open(L);
  guard_open(L);
  pool_open(L);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  push_class(L, ERROR_CLASS);
  lua_setfield(L, -2, "error_metatable");
  lua_pushvalue(L, -1); /* only now: what ran out of memory before is no module */
  lua_rawsetp(L, LUA_REGISTRYINDEX, functions);
  return 1;
}
