/* The statements of the program: what it sends itself, and the transactions that mypool begins and ends for
   it. They are counted, and told of to a function of lua/mypool/hooks.lua, where the program has asked for
   that. */
#include "statement.h"

#include <stdlib.h>
#include <time.h>

#include "class.h"
#include "error.h"
#include "place.h"

/* ---- its course ---- */

static double unix_time(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (double)now.tv_sec + (double)now.tv_nsec / MP_SECOND;
}

/* Where memory is missing nobody is told. */
void statement_begin_account(lua_State *L, connection *conn) {
  if (!conn->account)
    conn->account = malloc(sizeof *conn->account);
  if (!conn->account)
    return;
  *conn->account = (struct account){
      .open = true,
      .began_ns = mp_loan_now(conn->loan),
      .began = unix_time(),
      .id = mp_loan_id(conn->loan),
      .place = place_of_caller(L),
  };
}

static bool has_account(const connection *conn) {
  return conn->account && conn->account->open;
}

void statement_account_result(connection *conn) {
  struct account *account = conn->account;
  shape wanted = conn->result.form.shape;
  mp_summary summary;
  if (!has_account(conn) || conn->statement.is_many)
    return;
  if (conn->result.columns > 0) {
    bool one = (wanted == SHAPE_ROW || wanted == SHAPE_VALUE) && conn->result.rows > 0;
    account->rows += one ? 1 : conn->result.rows;
    account->has_rows = true;
    return;
  }
  mp_loan_summary(conn->loan, &summary);
  account->affected_rows = (lua_Integer)summary.affected_rows;
  account->has_change = true;
}

/* ---- its end ---- */

static void close_account(connection *conn) {
  struct account *account = conn->account;
  uint64_t id = mp_loan_id(conn->loan);
  account->open = false;
  account->seconds = (double)(mp_loan_now(conn->loan) - account->began_ns) / MP_SECOND;
  if (id != 0)
    account->id = id; /* it may have moved */
}

enum { FACTS = 6 };

/* Pushes what is told of each statement, for that of the connection at index 1. */
static void push_facts(lua_State *L, const connection *conn) {
  const struct account *account = conn->account;
  lua_pushstring(L, account->place.text);
  lua_getiuservalue(L, 1, CONNECTION_SQL);
  push_sql(L, lua_gettop(L));
  lua_remove(L, -2);
  lua_pushnumber(L, account->seconds);
  lua_pushnumber(L, account->began);
  lua_pushinteger(L, (lua_Integer)account->id);
  if (account->has_rows)
    lua_pushinteger(L, account->rows);
  else
    lua_pushboolean(L, 0);
}

/* tell(connection, error or nil) */
static int tell(lua_State *L) {
  const connection *conn = lua_touserdata(L, 1);
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  lua_getiuservalue(L, -1, POOL_STATEMENT);
  push_facts(L, conn);
  if (conn->account->has_change)
    lua_pushinteger(L, conn->account->affected_rows);
  else
    lua_pushboolean(L, 0);
  lua_pushvalue(L, 2);
  lua_call(L, FACTS + 2, 0);
  return 0;
}

/* Calls what was pushed, with so many arguments; what it does with the pool is refused. Only want of memory
   is raised in it. */
static void call_to_tell(lua_State *L, pool_data *pool, int arguments) {
  bool telling = pool->telling;
  pool->telling = true;
  if (lua_pcall(L, arguments, 0, 0) != LUA_OK)
    lua_pop(L, 1);
  pool->telling = telling;
  pool->L = L;
}

void statement_check_not_telling(lua_State *L, const pool_data *pool, const char *function) {
  if (pool->telling)
    raise(L, "bad call of '%s' (a function that is told of a statement cannot use its pool)", function);
}

/* The error stands at this index; 0: there is none. */
void statement_end_account(lua_State *L, connection *conn, int error) {
  if (!has_account(conn) || conn->statement.is_many)
    return;
  close_account(conn);
  if (conn->account->seconds * MP_SECOND < (double)conn->pool->tell_after_ns || !lua_checkstack(L, 16))
    return;
  lua_pushcfunction(L, tell);
  lua_pushvalue(L, 1);
  if (error > 0)
    lua_pushvalue(L, error);
  else
    lua_pushnil(L);
  call_to_tell(L, conn->pool, 2);
}

/* ---- execute_many ---- */

/* begin_many(connection): until end_many all that is sent is one statement. */
static int core_begin_many(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  statement_count(L, conn);
  conn->statement.is_many = true;
  return 0;
}

/* end_many(connection, sql, affected rows or nil, error or nil) */
static int core_end_many(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  conn->statement.is_many = false;
  if (!has_account(conn))
    return 0;
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 1, CONNECTION_SQL);
  conn->account->has_change = lua_isinteger(L, 3);
  conn->account->affected_rows = lua_tointeger(L, 3);
  statement_end_account(L, conn, lua_isnoneornil(L, 4) ? 0 : 4);
  return 0;
}

/* ---- given up ---- */

void statement_forget(connection *conn) {
  free(conn->account);
  conn->account = NULL;
}

/* This may be a finalizer: so nobody is told before the pool's next call. */
void statement_given_up(lua_State *L, connection *conn) {
  if (!has_account(conn))
    return;
  close_account(conn);
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  int pool = lua_gettop(L);
  if (lua_getiuservalue(L, pool, POOL_GIVEN_UP) == LUA_TNIL) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, pool, POOL_GIVEN_UP);
    lua_replace(L, -2);
  }
  int list = lua_gettop(L), count = (int)lua_rawlen(L, list);
  push_facts(L, conn);
  for (int i = FACTS; i > 0; i--)
    lua_rawseti(L, list, count + i);
  lua_settop(L, pool - 1);
  conn->pool->untold = true;
}

static void push_given_up(lua_State *L) {
  mp_error err = {.executed = MP_EXECUTED_UNKNOWN};
  mp_fail(&err, MP_ERR_LOST, 0, "given up: nobody waits for its answer any more");
  push_failure(L, &err, 0);
}

/* tell_given_up(pool, list, at): of the one whose facts begin behind `at`. */
static int tell_given_up(lua_State *L) {
  int at = (int)lua_tointeger(L, 3);
  push_given_up(L);
  lua_settop(L, 5); /* nil, error */
  lua_getiuservalue(L, 1, POOL_STATEMENT);
  for (int i = 1; i <= FACTS; i++)
    lua_rawgeti(L, 2, at + i);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, 5);
  lua_call(L, FACTS + 2, 0);
  return 0;
}

void statement_report(lua_State *L, int index) {
  pool_data *pool = lua_touserdata(L, index);
  lua_getiuservalue(L, index, POOL_GIVEN_UP);
  int list = lua_gettop(L), count = lua_istable(L, list) ? (int)lua_rawlen(L, list) : 0;
  lua_pushnil(L);
  lua_setiuservalue(L, index, POOL_GIVEN_UP);
  for (int at = 0; at < count; at += FACTS) {
    lua_pushcfunction(L, tell_given_up);
    lua_pushvalue(L, index);
    lua_pushvalue(L, list);
    lua_pushinteger(L, at);
    call_to_tell(L, pool, 3);
  }
  lua_pop(L, 1);
}

static const luaL_Reg functions[] = {
    {"begin_many", core_begin_many},
    {"end_many", core_end_many},
    {NULL, NULL},
};

void statement_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
