/* The course of an operation that may wait: it is begun by its function and continued by step. Both return

     fd, seconds, wait, guard     call wait(fd, seconds), then step
     nil, ...                     finished: the results, or nil, error, errno, sqlstate            */
#include "binding.h"

/* What ran since the call began, metamethods or hooks, may have used the pool in coroutines that are gone. */
void connection_begin(lua_State *L, connection *conn, activity what) {
  conn->pool->L = conn->user = L;
  conn->in_hand = true;
  conn->used |= what >= PREPARING;
  conn->activity = what;
  if (what < STREAMING)
    conn->results = 0;
  conn->rejected = NOT_REJECTED;
  conn->result_bytes = 0;
}

int connection_waits(lua_State *L, connection *conn, const mp_wait *wait) {
  int64_t collect_ns = collect_time(conn);
  int64_t until_ns = collect_ns < wait->until_ns ? collect_ns : wait->until_ns;
  lua_pushinteger(L, wait->fd);
  if (until_ns == MP_NEVER) {
    lua_pushnil(L);
  } else {
    int64_t left_ns = until_ns - mp_loan_now(conn->loan);
    lua_pushnumber(L, left_ns > 0 ? (double)left_ns / MP_SECOND : 0);
  }
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  lua_getiuservalue(L, -1, POOL_WAIT);
  lua_replace(L, -2);
  guard_push(L, conn);
  conn->wait_fd = wait->fd;
  return 4;
}

int connection_failed(lua_State *L, connection *conn, mp_error *err) {
  bool statement = conn->activity >= QUERYING, checkout = conn->activity == CHECKING_OUT;
  if (conn->results > 0 && err->kind == MP_ERR_SERVER) {
    err->executed = MP_EXECUTED_YES; /* of a CALL, an earlier part ran */
    err->retryable = false;
  }
  conn->activity = IDLE;
  if (statement)
    scrub(err, conn);
  if (checkout)
    connection_give_back(L, conn, false);
  lua_pushnil(L);
  return 1 + push_failure(L, err);
}

/* nil and the results lie on the stack from `first` on. */
static int finish_query(lua_State *L, connection *conn, int first) {
  conn->activity = IDLE;
  if (!conn->streaming)
    once_end(L, conn);
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
    status = query_after_asking(L, conn, wait, err);
  if (conn->activity >= QUERYING && status == MP_DONE) {
    lua_pushnil(L);
    results_restore(L, 1, conn);
    status = results_read(L, 1, conn, wait, err);
    if (status == MP_WAIT)
      results_keep(L, 1, first + 1);
  }
  if (status == MP_WAIT)
    return connection_waits(L, conn, wait);
  if (conn->activity == CHECKING_OUT)
    connection_report(L, conn);
  if (status == MP_FAILED)
    return connection_failed(L, conn, err);
  if (conn->rejected)
    return results_refuse(L, conn, err);
  return finish(L, conn, first);
}

int connection_proceed(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err) {
  int values = proceed(L, conn, status, wait, err);
  conn->in_hand = false;
  return values;
}

/* An operation that came to its end after another coroutine had released its connection. */
void connection_settle(lua_State *L, connection *conn) {
  if (conn->release_pending && conn->activity == IDLE)
    connection_give_back(L, conn, false);
}

static int step(lua_State *L, connection *conn) {
  mp_wait wait;
  mp_error err;
  mp_status status = MP_DONE;
  if (!conn->loan || conn->activity == IDLE)
    return raise(L, "this connection was used or released within the wait function of its own operation");
  conn->pool->L = L;
  conn->in_hand = true;
  if (conn->activity >= STREAMING)
    return stream_step(L, conn, &wait, &err);
  if (conn->activity <= QUERYING)
    status = mp_loan_step(conn->loan, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* step(connection) */
int core_step(lua_State *L) {
  connection *conn = check_connection(L, "step");
  collect_if_due(L, conn);
  int results = step(L, conn);
  connection_settle(L, conn);
  return results;
}
