/* The operations of a connection, as the Lua side calls them. */
#include "operation.h"

#include "call.h"
#include "class.h"
#include "collect.h"
#include "connection.h"
#include "error.h"
#include "once.h"
#include "place.h"
#include "pool.h"
#include "query.h"
#include "spare.h"
#include "statement.h"
#include "step.h"
#include "stream.h"

/* checkout(pool, function [, seconds]): a connection, for a call of this function. When that is not
   done at once: false, the connection, and what step returns. */
static int core_checkout(lua_State *L) {
  pool_data *pool = check_pool(L, 1, luaL_checkstring(L, 2));
  int64_t timeout_ns = check_seconds(L, 3, "checkout", "seconds", pool->checkout_timeout_ns);
  statement_check_not_telling(L, pool, lua_tostring(L, 2));
  if (pool->calling)
    return raise(L, "bad call of '%s' (this pool is in the middle of a call)", lua_tostring(L, 2));
  connection *conn = connection_new(L, pool);
  mp_wait wait;
  mp_error err;
  lua_replace(L, 1);
  lua_settop(L, 1);
  connection_report(L, conn);
  conn->taken = place_from(L, pool->all, 2);
  lua_pushthread(L);
  lua_setiuservalue(L, 1, CONNECTION_OWNER); /* no other coroutine may take its address */
  mp_loan_set_owner(conn->loan, L);
  call_begin(L, conn, CHECKING_OUT);
  mp_status status = mp_loan_checkout(conn->loan, timeout_ns, conn->taken.text, &wait, &err);
  if (status == MP_DONE) {
    conn->activity = IDLE;
    conn->call.in_hand = false;
    connection_report(L, conn);
    return 1;
  }
  if (status == MP_WAIT)
    collect_later(conn, timeout_ns);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, 1);
  return 2 + after_call(L, conn, status, &wait, &err);
}

/* Added to a shape: ONCE where the connection is lent for this statement alone, LAST where it goes back to
   the pool behind the statement. */
enum { ONCE = 4, LAST = 8 };

static const constant shapes[] = {
    {"RESULT", SHAPE_RESULT},
    {"ROW", SHAPE_ROW},
    {"VALUE", SHAPE_VALUE},
    {"STREAM", SHAPE_STREAM},
    {"ONCE", ONCE},
    {"LAST", LAST},
    {NULL, 0},
};

/* query(connection, shape, options or nil, sql, ...): shape is one of core.shapes: for the whole result, its
   first row, the first cell of that, or the number of columns, and then fetch. */
static int core_query(lua_State *L) {
  int asked = (int)luaL_checkinteger(L, 2), shape_asked = asked & ~(ONCE | LAST);
  luaL_argcheck(L, shape_asked >= 0 && shape_asked <= 3, 2, "no such shape");
  const char *function = query_function((shape)shape_asked);
  connection *conn = check_held(L, function);
  mp_query_options options;
  result_form form = {.shape = (shape)shape_asked};
  mp_wait wait;
  mp_error err;
  if (lua_type(L, 4) != LUA_TSTRING)
    return raise_type(L, function, "sql", "string", 4);
  read_options(L, QUERY_OPTIONS, 4, conn, function, &options, &form);
  if (stream_is_open(conn))
    return busy_streaming(L, 4);
  options.last = asked & LAST;
  conn->statement.once = NULL;
  if (asked & ONCE)
    once_begin(L, conn, function, 4);
  spare_take(L, conn);
  mp_status status = query_send(L, conn, &options, &form, &wait, &err);
  return after_call(L, conn, status, &wait, &err);
}

/* ping(connection) */
static int core_ping(lua_State *L) {
  connection *conn = check_held(L, "ping");
  mp_wait wait;
  mp_error err;
  call_begin(L, conn, PINGING);
  mp_status status = mp_loan_ping(conn->loan, conn->pool->checkout_timeout_ns, &wait, &err);
  return after_call(L, conn, status, &wait, &err);
}

/* reset(connection): back to the baseline, in the middle of the loan. */
static int core_reset(lua_State *L) {
  connection *conn = check_held(L, "reset");
  mp_wait wait;
  mp_error err;
  call_begin(L, conn, RESETTING);
  mp_status status = mp_loan_reset(conn->loan, &wait, &err);
  return after_call(L, conn, status, &wait, &err);
}

/* pause(connection, seconds): on any handle, also one without a session. */
static int core_pause(lua_State *L) {
  connection *conn = check_loan(L, "pause");
  int64_t duration_ns = check_seconds(L, 2, "pause", "seconds", 0);
  mp_wait wait;
  mp_error err;
  call_begin(L, conn, PAUSING);
  mp_status status = mp_loan_pause(conn->loan, duration_ns, &wait, &err);
  return after_call(L, conn, status, &wait, &err);
}

/* slot(connection): the number of its session's slot; nil when it is lost. */
static int core_slot(lua_State *L) {
  int slot = mp_loan_slot(check_held(L, "checkout")->loan);
  if (slot < 0)
    return 0;
  lua_pushinteger(L, slot);
  return 1;
}

/* fresh(connection): whether on_connect has not seen its session yet. */
static int core_fresh(lua_State *L) {
  lua_pushboolean(L, mp_loan_is_fresh(check_held(L, "checkout")->loan));
  return 1;
}

/* record(connection, on): the statements that follow become part of the baseline. Returns nothing; at their
   end nil, error, errno, sqlstate where there is something wrong with it. */
static int core_record(lua_State *L) {
  connection *conn = check_held(L, "checkout");
  mp_error err = {0};
  bool on = lua_toboolean(L, 2);
  mp_loan_record(conn->loan, on);
  if (on || mp_loan_check_baseline(conn->loan, &err) == MP_DONE)
    return 0;
  return push_failure(L, &err, 0);
}

static const luaL_Reg functions[] = {
    {"checkout", core_checkout}, {"query", core_query},   {"ping", core_ping},
    {"reset", core_reset},       {"pause", core_pause},   {"slot", core_slot},
    {"fresh", core_fresh},       {"record", core_record}, {NULL, NULL},
};

void operation_open(lua_State *L) {
  open_constants(L, "shapes", shapes);
  luaL_setfuncs(L, functions, 0);
}
