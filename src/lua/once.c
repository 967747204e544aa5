/* Calls that a connection is lent for alone, as by pool:query: what their statement leaves behind in the
   session would be lost without a word. */
#include "once.h"

#include "call.h"
#include "connection.h"
#include "place.h"

/* A lock would be gone before the program could use it. The SQL stands at this index of the stack. */
static void check_locks(lua_State *L, connection *conn, const char *function, int index) {
  size_t length;
  const char *sql = lua_tolstring(L, index, &length);
  if (mp_sql_may_lock(sql, length) && mp_sql_is_locking(sql, length, mp_loan_sql_mode(conn->loan).reading))
    raise(L,
          "bad call of '%s' (it takes a lock, which is lost as its connection goes back to the pool: use "
          "pool:with or pool:checkout)",
          function);
}

static bool may_write(lua_State *L, const connection *conn, int index) {
  size_t length;
  const char *sql = lua_tolstring(L, index, &length);
  return !mp_sql_is_read_only(sql, length, mp_loan_sql_mode(conn->loan).reading);
}

/* While autocommit is off each statement leaves a transaction open: that matters when something was written.
   A transaction that was open before is the doing of somebody who has said that sessions stay as they are. */
void once_begin(lua_State *L, connection *conn, const char *function, int index) {
  check_locks(L, conn, function, index);
  bool matters =
      conn->pool->autocommit_off ? may_write(L, conn, index) : !mp_loan_is_in_transaction(conn->loan);
  conn->statement.once = matters ? function : NULL;
}

/* Raises when the statement, which has succeeded, has left a transaction open. Where no reset would undo it
   the session is closed. */
void once_end(lua_State *L, connection *conn) {
  const char *function = conn->statement.once;
  if (!function || !conn->loan || !mp_loan_is_in_transaction(conn->loan))
    return;
  conn->statement.once = NULL;
  conn->call.in_hand = false;
  if (conn->pool->keeps_state)
    mp_loan_lose(conn->loan);
  call_release_pending(L, conn);
  raise(L,
        "bad call of '%s' (it leaves a transaction open, which is undone as its connection goes back to the "
        "pool: "
        "use pool:transaction, pool:begin or pool:with)",
        function);
}

/* check_locks(connection, sql): the beginning of an execute_many, which ends its transaction itself. What is
   no SQL is refused later. */
static int core_check_locks(lua_State *L) {
  connection *conn = check_held(L, "execute_many");
  if (lua_type(L, 2) == LUA_TSTRING)
    check_locks(L, conn, "execute_many", 2);
  return 0;
}

/* end_once(connection): the end of a stream. */
static int core_end_once(lua_State *L) {
  once_end(L, check_connection(L, "rows"));
  return 0;
}

static const luaL_Reg functions[] = {
    {"check_locks", core_check_locks},
    {"end_once", core_end_once},
    {NULL, NULL},
};

void once_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
