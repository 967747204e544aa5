/* The module mypool.core: what the Lua side is built on. Not meant to be used directly. */
#include "mariadb.h"

#include "bulk.h"
#include "cells.h"
#include "class.h"
#include "connection.h"
#include "error.h"
#include "guard.h"
#include "once.h"
#include "operation.h"
#include "parameters.h"
#include "place.h"
#include "poll_wait.h"
#include "pool.h"
#include "prepared.h"
#include "state_end.h"
#include "statement.h"
#include "stats.h"
#include "step.h"
#include "stream.h"
#include "transactions.h"
#include "types.h"
#include "warn.h"
#include "watch.h"

/* By this address the registry keeps the module. */
static const char module[] = "mypool.core";

static void check_library(lua_State *L) {
  const char *version = mp_mariadb_too_old();
  if (version)
    luaL_error(L, "mypool needs libmariadb (MariaDB Connector/C) 3.3 or later, found %s: install a newer one",
               version);
}

/* Functions that add classes and functions to the table on top of the stack. */
static void (*const parts[])(lua_State *) = {
    error_open,        parameters_open, types_open, cells_open,  place_open,
    poll_wait_open,    connection_open, guard_open, pool_open,   operation_open,
    transactions_open, once_open,       step_open,  stream_open, prepared_open,
    bulk_open,         warn_open,       watch_open, stats_open,  statement_open,
};

__attribute__((visibility("default"))) int luaopen_mypool_core(lua_State *L);

/* A module that is loaded again, as busted does for each file, gets the same table: what it made before keeps
   its classes, and so its finalizers. */
int luaopen_mypool_core(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, module);
  if (lua_istable(L, -1))
    return 1;
  check_library(L);
  lua_newtable(L);
  state_end_open(L);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    parts[i](L);
  lua_pushinteger(L, mp_mariadb_fingerprint_digits());
  lua_setfield(L, -2, "fingerprint_digits");
  lua_pushstring(L, mp_mariadb_version());
  lua_setfield(L, -2, "library_version");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  lua_pushvalue(L, -1); /* only now: what ran out of memory before is no module */
  lua_rawsetp(L, LUA_REGISTRYINDEX, module);
  return 1;
}
