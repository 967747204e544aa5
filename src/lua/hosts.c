/* The hosts of a pool in Lua: a table of each, and the host that a program names. */
#include "hosts.h"

#include "place.h"

/* ---- told ---- */

static const char *const standings[] = {
    [MP_STANDING_UNKNOWN] = "unknown",
    [MP_STANDING_WELL] = "well",
    [MP_STANDING_BARRED] = "barred",
};

static void set_count(lua_State *L, const char *field, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, field);
}

static void set_text(lua_State *L, const char *field, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, field);
}

static void push_host(lua_State *L, const mp_host *host) {
  lua_createtable(L, 0, 11);
  set_text(L, "host", host->name);
  set_text(L, "standing", standings[host->standing]);
  if (host->writable != MP_WRITABLE_UNKNOWN) {
    lua_pushboolean(L, host->writable == MP_WRITABLE_YES);
    lua_setfield(L, -2, "writable");
  }
  set_count(L, "sessions", host->sessions);
  set_count(L, "lent", host->lent);
  set_count(L, "opened", host->opened);
  set_count(L, "failures", host->failures);
  set_count(L, "moved", host->moved);
  set_count(L, "barred", host->barred);
  lua_pushnumber(L, (double)host->retry_in_ns / MP_SECOND);
  lua_setfield(L, -2, "retry_in");
  if (*host->last_failure)
    set_text(L, "last_error", host->last_failure);
}

void push_hosts(lua_State *L, const mp_pool *pool) {
  unsigned count = mp_pool_hosts(pool);
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    mp_host host;
    mp_pool_host(pool, i, &host);
    push_host(L, &host);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

/* ---- named ---- */

/* The program may have left out the port where that is the usual one. */
static bool is_named(const char *name, const char *text) {
  size_t length = strlen(text);
  return strncmp(name, text, length) == 0 && (!name[length] || strcmp(name + length, ":3306") == 0);
}

static void push_names(lua_State *L, const mp_pool *pool) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (unsigned i = 0; i < mp_pool_hosts(pool); i++) {
    mp_host host;
    mp_pool_host(pool, i, &host);
    luaL_addstring(&buffer, i == 0 ? "" : ", ");
    luaL_addstring(&buffer, host.name);
  }
  luaL_pushresult(&buffer);
}

unsigned check_host(lua_State *L, const mp_pool *pool, int index, const char *function) {
  if (lua_type(L, index) != LUA_TSTRING)
    raise_type(L, function, "host", "string", index);
  const char *text = lua_tostring(L, index);
  for (unsigned i = 0; i < mp_pool_hosts(pool); i++) {
    mp_host host;
    mp_pool_host(pool, i, &host);
    if (is_named(host.name, text))
      return i;
  }
  push_names(L, pool);
  return (unsigned)raise(L, "bad argument 'host' to '%s' (the pool has no host '%s'; it has %s)", function,
                         text, lua_tostring(L, -1));
}
