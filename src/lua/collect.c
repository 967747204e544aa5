/* Connections that the program has forgotten come back when their handles are collected. A full collection is
   dear, so a checkout has one after its first second in line, and the pool one a second at most. The checkout
   keeps its turn, and has the rest of its time for what comes back. */
#include "collect.h"

/* A checkout of less than two seconds must have some time left for what comes back, too. */
void collect_later(connection *conn, int64_t timeout_ns) {
  int64_t after_ns = timeout_ns / 2 < MP_SECOND ? timeout_ns / 2 : MP_SECOND;
  conn->call.collect_at_ns = mp_loan_now(conn->loan) + after_ns;
}

static bool may_collect(const connection *conn) {
  return conn->activity == CHECKING_OUT && conn->call.collect_at_ns > 0 && mp_loan_is_queued(conn->loan);
}

int64_t collect_time(const connection *conn) {
  return may_collect(conn) ? conn->call.collect_at_ns : MP_NEVER;
}

void collect_if_due(lua_State *L, connection *conn) {
  if (!may_collect(conn))
    return;
  int64_t now_ns = mp_loan_now(conn->loan);
  if (now_ns < conn->call.collect_at_ns)
    return;
  conn->call.collect_at_ns = 0;
  if (conn->pool->collected_ns > 0 && now_ns - conn->pool->collected_ns < MP_SECOND)
    return;
  conn->pool->collected_ns = now_ns;
  lua_gc(L, LUA_GCCOLLECT, 0);
}
