/* The call that is in progress: how it begins, waits and fails. */
#include "call.h"

#include <stdio.h>

#include "collect.h"
#include "connection.h"
#include "error.h"
#include "guard.h"
#include "hint.h"
#include "place.h"
#include "scrub.h"
#include "statement.h"

/* Metamethods or hooks that ran since the call began may have used the pool in coroutines that are gone by
   now: so L is noted anew. */
void call_begin(lua_State *L, connection *conn, activity what) {
  conn->pool->L = conn->call.user = L;
  conn->call.in_hand = true;
  conn->used |= what >= PREPARING;
  conn->activity = what;
  if (what < STREAMING)
    conn->result.finished = 0;
  conn->result.rejected = NOT_REJECTED;
  conn->result.bytes = 0;
}

/* A ticket is a light userdata: so it is no descriptor's number, nor a ticket of another pool. */
static void push_source(lua_State *L, const connection *conn, const mp_wait *wait) {
  if (wait->fd == MP_PARKED)
    lua_pushlightuserdata(L, conn->loan);
  else
    lua_pushinteger(L, wait->fd);
}

int call_push_wait(lua_State *L, connection *conn, const mp_wait *wait) {
  int64_t collect_ns = collect_time(conn);
  int64_t until_ns = collect_ns < wait->until_ns ? collect_ns : wait->until_ns;
  push_source(L, conn, wait);
  if (until_ns == MP_NEVER) {
    lua_pushnil(L);
  } else {
    int64_t left_ns = until_ns - mp_loan_now(conn->loan);
    lua_pushnumber(L, left_ns > 0 ? (double)left_ns / MP_SECOND : 0);
  }
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  lua_getiuservalue(L, -1, wait->fd == MP_PARKED ? POOL_PARK : POOL_WAIT);
  lua_replace(L, -2);
  guard_push(L, conn);
  conn->call.wait_fd = wait->fd;
  return 4;
}

/* Who cut the connection under the call knows more of it than the client library. */
static void name_cutter(const connection *conn, mp_error *err) {
  if (conn->call.release_pending && err->fatal)
    snprintf(err->message, sizeof err->message, "released at %s by another coroutine",
             place_to_tell(conn->ended.text));
  else if (conn->pool->is_cut && err->kind == MP_ERR_CLOSED)
    snprintf(err->message, sizeof err->message, "cut by pool:close at %s",
             place_to_tell(conn->pool->cut.text));
}

int call_push_failure(lua_State *L, connection *conn, mp_error *err) {
  bool statement = conn->activity >= PREPARING, checkout = conn->activity == CHECKING_OUT;
  bool sent = conn->activity >= QUERYING;
  if (conn->result.finished > 0 && err->kind == MP_ERR_SERVER) {
    err->executed = MP_EXECUTED_YES; /* of a CALL, an earlier part ran */
    err->retryable = false;
  }
  hint advice = hint_at(L, conn, err);
  conn->activity = IDLE;
  if (sent)
    scrub(err, conn);
  mp_error_follow(err, advice.text);
  if (!checkout)
    name_cutter(conn, err);
  if (checkout)
    connection_give_back(L, conn, false);
  lua_pushnil(L);
  if (!statement)
    return 1 + push_failure(L, err, 0);
  return statement_failed(L, conn, 1 + push_failed_statement(L, err));
}

/* An operation that came to its end after another coroutine had released its connection. */
void call_release_pending(lua_State *L, connection *conn) {
  if (conn->call.release_pending && conn->activity == IDLE)
    connection_give_back(L, conn, false);
}
