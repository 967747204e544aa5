/* The course of an operation that may wait: it is begun by its function and continued by step. Both return

     fd, seconds, wait, guard     call wait(fd, seconds, connection), then step
     nil, ...                     finished: the results, or nil, error, errno, sqlstate            */
#include "step.h"

#include "call.h"
#include "collect.h"
#include "connection.h"
#include "execute.h"
#include "once.h"
#include "place.h"
#include "query.h"
#include "read.h"
#include "statement.h"
#include "stream.h"

/* nil and the results lie on the stack from `first` on. */
static int finish_query(lua_State *L, connection *conn, int first) {
  conn->activity = IDLE;
  if (!stream_is_open(conn)) {
    statement_ended(L, conn);
    once_end(L, conn);
  }
  return lua_gettop(L) - first + 1;
}

/* nil, and the number of the statement just prepared */
static int finish_prepare(lua_State *L, connection *conn) {
  conn->activity = IDLE;
  lua_pushnil(L);
  lua_pushinteger(L, (lua_Integer)mp_loan_prepared_id(conn->loan));
  return 2;
}

static int finish(lua_State *L, connection *conn, int first) {
  if (conn->activity == SEEKING_RESULT || conn->activity == QUERYING)
    return finish_query(L, conn, first);
  if (conn->activity == PREPARING)
    return finish_prepare(L, conn);
  bool checkout = conn->activity == CHECKING_OUT;
  conn->activity = IDLE;
  lua_pushnil(L);
  if (checkout)
    lua_pushvalue(L, 1);
  else
    lua_pushboolean(L, 1);
  return 2;
}

static int proceed(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err) {
  int first = lua_gettop(L) + 1;
  if (conn->activity == ASKING && status == MP_DONE)
    status = conn->statement.prepared ? execute_after_asking(L, conn, wait, err)
                                      : query_after_asking(L, conn, wait, err);
  if (conn->activity >= QUERYING && status == MP_DONE) {
    lua_pushnil(L);
    results_restore(L, 1, conn);
    status = results_read(L, 1, conn, wait, err);
    if (status == MP_WAIT)
      results_keep(L, 1, first + 1);
  }
  if (status == MP_WAIT)
    return call_push_wait(L, conn, wait);
  if (conn->activity == CHECKING_OUT)
    connection_report(L, conn);
  if (status == MP_FAILED)
    return call_push_failure(L, conn, err);
  if (conn->result.rejected)
    return reject_result(L, conn, err);
  return finish(L, conn, first);
}

int after_call(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err) {
  int values = proceed(L, conn, status, wait, err);
  conn->call.in_hand = false;
  return values;
}

static int step(lua_State *L, connection *conn) {
  mp_wait wait;
  mp_error err;
  if (!conn->loan || conn->activity == IDLE)
    return raise(L, "this connection was used or released within the wait function of its own operation");
  conn->pool->L = L;
  conn->call.in_hand = true;
  mp_status status = mp_loan_step(conn->loan, &wait, &err);
  return (conn->activity >= STREAMING ? stream_after : after_call)(L, conn, status, &wait, &err);
}

/* step(connection) */
static int core_step(lua_State *L) {
  connection *conn = check_connection(L, "step");
  collect_if_due(L, conn);
  int results = step(L, conn);
  call_release_pending(L, conn);
  return results;
}

static const luaL_Reg functions[] = {
    {"step", core_step},
    {NULL, NULL},
};

void step_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
