/* The pool class. */
#include "pool.h"

#include <stdlib.h>

#include "class.h"
#include "error.h"
#include "hosts.h"
#include "place.h"
#include "pool_options.h"
#include "spare.h"
#include "state_end.h"

pool_data *check_pool(lua_State *L, int index, const char *function) {
  pool_data *pool = test_class(L, index, POOL_CLASS);
  if (!pool || !pool->pool)
    raise_self(L, function, POOL_CLASS, "pool", index);
  pool->L = L;
  return pool;
}

/* ---- the password ---- */

enum { LONGEST_REASON = 200 };

static char *copy_password(lua_State *L, mp_error *err) {
  if (lua_type(L, -1) != LUA_TSTRING) {
    err->cause = MP_CAUSE_PROGRAM;
    mp_fail(err, MP_ERR_CONNECT, 0, "the password function returned a %s, not a string",
            luaL_typename(L, -1));
    return NULL;
  }
  return strdup(lua_tostring(L, -1));
}

/* The function has raised what is on top of the stack. */
static void fail_password(lua_State *L, mp_error *err) {
  const char *raised = lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL;
  size_t length = raised ? strlen(raised) : 0;
  err->cause = MP_CAUSE_PROGRAM;
  if (raised)
    mp_fail(err, MP_ERR_CONNECT, 0, "the password function failed: %.*s",
            (int)text_cut(raised, length, LONGEST_REASON), raised);
  else
    mp_fail(err, MP_ERR_CONNECT, 0, "the password function failed: it raised a %s", luaL_typename(L, -1));
}

/* Called by the driver at each connect, and to stop a statement, in a finalizer it may be, on the thread of
   the program, inside one of our functions. What a function of the user's raises must not jump across the
   pool. */
static char *ask_password(void *context, mp_error *err) {
  pool_data *pool = context;
  lua_State *L = pool->L;
  char *password = NULL;
  if (!lua_checkstack(L, 8)) {
    mp_fail(err, MP_ERR_CONNECT, 0, "stack overflow");
    return NULL;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, pool->password);
  bool calling = pool->calling;
  pool->calling = true;
  bool failed = lua_isfunction(L, -1) && lua_pcall(L, 0, 1, 0) != LUA_OK;
  pool->calling = calling;
  if (failed)
    fail_password(L, err);
  else if (!lua_isnil(L, -1))
    password = copy_password(L, err);
  lua_pop(L, 1);
  pool->L = L;
  return password;
}

/* Calls a function of the adapter's, of which `reference` may be nil, with the descriptor, or with this
   ticket when it is none. False: it raised, or could not be called. */
static bool tell_adapter(pool_data *pool, int reference, int fd, mp_loan *ticket) {
  lua_State *L = pool->L;
  if (reference == LUA_NOREF || reference == LUA_REFNIL || !lua_checkstack(L, 8))
    return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
  if (fd == MP_PARKED)
    lua_pushlightuserdata(L, ticket);
  else
    lua_pushinteger(L, fd);
  bool calling = pool->calling;
  pool->calling = true;
  int status = lua_pcall(L, 1, 0, 0);
  pool->calling = calling;
  pool->L = L;
  if (status != LUA_OK)
    lua_pop(L, 1);
  return status == LUA_OK;
}

/* A scheduler that remembers descriptors by number is told before one is closed. */
static void forget_fd(void *context, int fd) {
  pool_data *pool = context;
  tell_adapter(pool, pool->forget, fd, NULL);
}

void pool_forget_wait(connection *conn) {
  tell_adapter(conn->pool, conn->pool->forget, conn->call.wait_fd, conn->loan);
}

static bool unpark(void *context, mp_loan *loan) {
  pool_data *pool = context;
  return tell_adapter(pool, pool->unpark, MP_PARKED, loan);
}

/* ---- new ---- */

static void end(lua_State *L, leftover *self) {
  pool_data *pool = (pool_data *)self;
  pool->L = L;
  leftover_leave(&pool->self);
  luaL_unref(L, LUA_REGISTRYINDEX, pool->password);
  pool->password = LUA_NOREF;
  mp_pool *ended = pool->pool;
  pool->pool = NULL; /* `forget` must not find it half freed */
  if (ended)
    mp_pool_unref(ended);
  luaL_unref(L, LUA_REGISTRYINDEX, pool->forget);
  luaL_unref(L, LUA_REGISTRYINDEX, pool->unpark);
  pool->forget = pool->unpark = LUA_NOREF;
  spare_free(pool);
}

/* The classes of the pool at index 2 and of its connections. */
static void take_classes(lua_State *L, const pool_data *pool) {
  if (pool->raising) {
    push_class(L, RAISING_POOL_CLASS);
    lua_setmetatable(L, 2);
  }
  push_class(L, pool->raising ? RAISING_CONNECTION_CLASS : CONNECTION_CLASS);
  lua_setiuservalue(L, 2, POOL_HANDLES);
}

/* new(options): the options as lua/mypool/options.lua completes them. */
static int core_new(lua_State *L) {
  mp_server server = {0};
  mp_pool_config config = {0};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  pool_data *pool = lua_newuserdatauv(L, sizeof *pool, POOL_VALUES);
  memset(pool, 0, sizeof *pool);
  pool->self.class = POOL_CLASS;
  pool->self.end = end;
  pool->L = L;
  pool->password = pool->forget = pool->unpark = LUA_NOREF;
  push_class(L, POOL_CLASS);
  lua_setmetatable(L, -2);
  spare_open(L, -1);
  pool_options_read(L, pool, &server, &config);
  take_classes(L, pool);
  server.password = ask_password;
  server.forget = pool->forget == LUA_REFNIL ? NULL : forget_fd;
  config.unpark = pool->unpark == LUA_REFNIL ? NULL : unpark;
  server.context = config.context = pool;
  mp_driver *driver = mp_mariadb_new(&server);
  pool->pool = driver ? mp_pool_new(&config, driver) : NULL;
  if (!pool->pool)
    return luaL_error(L, "not enough memory");
  pool->all = leftovers_of(L);
  leftover_join(&pool->all->pools, &pool->self);
  lua_settop(L, 2);
  return 1;
}

/* ---- overdue loans ---- */

/* The function is one of lua/mypool/hooks.lua, which raises nothing but for want of memory. */
void report_overdue(lua_State *L, int index, const mp_holder *overdue) {
  lua_getiuservalue(L, index, POOL_OVERDUE);
  lua_pushstring(L, overdue->label);
  lua_pushnumber(L, (double)overdue->age_ns / MP_SECOND);
  lua_pushinteger(L, (lua_Integer)overdue->id);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK)
    lua_pop(L, 1);
}

/* ---- methods ---- */

/* pool:evict([host]): retires every session, or those of one host: idle ones now, lent ones at their
   release. */
static int pool_evict(lua_State *L) {
  mp_pool *pool = check_pool(L, 1, "evict")->pool;
  if (lua_isnoneornil(L, 2))
    mp_pool_evict(pool);
  else
    mp_pool_evict_host(pool, check_host(L, pool, 2, "evict"));
  return 0;
}

/* pool:avoid(host, seconds): opens no session there for so long, and retires those that there are; 0: ends
   that. */
static int pool_avoid(lua_State *L) {
  mp_pool *pool = check_pool(L, 1, "avoid")->pool;
  unsigned number = check_host(L, pool, 2, "avoid");
  if (lua_isnoneornil(L, 3))
    raise_type(L, "avoid", "seconds", "number of seconds", 3);
  mp_pool_avoid(pool, number, check_seconds(L, 3, "avoid", "seconds", 0));
  return 0;
}

/* raises(pool or connection): whether failures are raised, by the option `errors`. False for anything else,
   whose methods say what is wrong. */
static int core_raises(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  pool_data *pool = conn ? conn->pool : test_class(L, 1, POOL_CLASS);
  lua_pushboolean(L, pool && pool->raising);
  return 1;
}

/* check_pool(pool, function): raises for what is no pool. Returns whether it is closed. */
static int core_check_pool(lua_State *L) {
  lua_pushboolean(L, mp_pool_is_closed(check_pool(L, 1, luaL_checkstring(L, 2))->pool));
  return 1;
}

/* shut(pool, waits): no more checkouts. Returns the number of loans out, the fd that becomes readable when
   one ends, for who waits for that, and the wait function. */
static int core_shut(lua_State *L) {
  pool_data *pool = check_pool(L, 1, "close");
  bool waits = lua_toboolean(L, 2);
  mp_stats stats;
  mp_pool_close(pool->pool);
  mp_pool_stats(pool->pool, &stats);
  unsigned out = stats.lent + stats.opening + stats.recovering;
  lua_pushinteger(L, out);
  lua_pushinteger(L, waits && out > 0 ? mp_pool_ended_fd(pool->pool) : -1);
  lua_getiuservalue(L, 1, POOL_WAIT);
  return 3;
}

/* abort(pool): cuts the loans that are still out. */
static int core_abort(lua_State *L) {
  pool_data *pool = check_pool(L, 1, "close");
  pool->is_cut = true;
  pool->cut = place_of_caller(L);
  mp_pool_abort(pool->pool);
  return 0;
}

/* now(pool): seconds of the clock of all deadlines. */
static int core_now(lua_State *L) {
  lua_pushnumber(L, (double)mp_pool_now(check_pool(L, 1, "close")->pool) / MP_SECOND);
  return 1;
}

/* wait(pool or connection): its wait function. */
static int core_wait(lua_State *L) {
  if (test_class(L, 1, CONNECTION_CLASS)) {
    lua_getiuservalue(L, 1, CONNECTION_POOL);
    lua_replace(L, 1);
  } else {
    check_pool(L, 1, "wait");
  }
  lua_getiuservalue(L, 1, POOL_WAIT);
  return 1;
}

static const constant event_bits[] = {
    {"RESET_REFUSED", MP_EVENT_RESET_REFUSED},
    {"RESET_FAILING", MP_EVENT_RESET_FAILING},
    {"RESET_WORKS", MP_EVENT_RESET_WORKS},
    {"NEWS", MP_EVENT_NEWS},
    {"NO_HOST", MP_EVENT_NO_HOST},
    {NULL, 0},
};

/* events(pool): the core.event_bits of what happened since the last call, and why the last reset failed that
   did. */
static int core_events(lua_State *L) {
  mp_pool *pool = check_pool(L, 1, "events")->pool;
  lua_pushinteger(L, mp_pool_take_events(pool));
  lua_pushstring(L, mp_pool_reset_failure(pool));
  return 2;
}

/* news(pool): what has happened to a host and was not told yet: "host_barred", the host and the reason, or
   "host_well", the host and for how many seconds it was barred; nothing when there is no more. */
static int core_news(lua_State *L) {
  mp_pool *pool = check_pool(L, 1, "news")->pool;
  unsigned number, news = mp_pool_next_news(pool, &number);
  if (!news)
    return 0;
  mp_host host;
  mp_pool_host(pool, number, &host);
  lua_pushstring(L, news == MP_HOST_BARRED ? "host_barred" : "host_well");
  lua_pushstring(L, host.name);
  if (news == MP_HOST_BARRED)
    lua_pushstring(L, host.last_failure);
  else
    lua_pushnumber(L, (double)host.barred_ns / MP_SECOND);
  return 3;
}

/* hosts(pool): as stats().hosts. */
static int core_hosts(lua_State *L) {
  push_hosts(L, check_pool(L, 1, "hosts")->pool);
  return 1;
}

/* holders(pool): the places where those connections were checked out that are lent, the oldest first;
   at most 100. */
static int core_holders(lua_State *L) {
  mp_holder holders[100];
  unsigned count = mp_pool_holders(check_pool(L, 1, "holders")->pool, holders, 100);
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    lua_pushstring(L, holders[i].label);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static int pool_gc(lua_State *L) {
  pool_data *pool = test_class(L, 1, POOL_CLASS);
  if (pool)
    end(L, &pool->self);
  return 0;
}

static int pool_tostring(lua_State *L) {
  pool_data *pool = check_pool(L, 1, "tostring");
  mp_stats stats;
  mp_pool_stats(pool->pool, &stats);
  lua_pushfstring(L, "mypool.pool (%d idle, %d lent%s)", (int)stats.idle, (int)stats.lent,
                  mp_pool_is_closed(pool->pool) ? ", closed" : "");
  return 1;
}

static const luaL_Reg functions[] = {
    {"raises", core_raises}, {"check_pool", core_check_pool}, {"new", core_new},
    {"shut", core_shut},     {"abort", core_abort},           {"now", core_now},
    {"wait", core_wait},     {"events", core_events},         {"holders", core_holders},
    {"news", core_news},     {"hosts", core_hosts},           {NULL, NULL},
};

static const luaL_Reg methods[] = {
    {"evict", pool_evict},
    {"avoid", pool_avoid},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", pool_gc},
    {"__tostring", pool_tostring},
    {NULL, NULL},
};

void pool_open(lua_State *L) {
  open_class(L, POOL_CLASS, methods, metamethods);
  open_raising_class(L, RAISING_POOL_CLASS, POOL_CLASS, metamethods);
  luaL_setfuncs(L, functions, 0);
  open_constants(L, "event_bits", event_bits);
}
