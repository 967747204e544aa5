/* The statements of the program: counted, and told of where it wants to know. */
#ifndef MYPOOL_LUA_STATEMENT_H
#define MYPOOL_LUA_STATEMENT_H

#include "binding.h"

/* What follows costs a statement that nobody wants to know of a comparison each. */

void statement_begin_account(lua_State *L, connection *conn);
void statement_account_result(connection *conn);
void statement_end_account(lua_State *L, connection *conn, int error);

/* One statement more; it is about to be sent. */
static inline void statement_count(lua_State *L, connection *conn) {
  conn->pool->statements++;
  if (conn->pool->tell_after_ns != MP_NEVER)
    statement_begin_account(L, conn);
}

/* The connection's statement is about to be sent. */
static inline void statement_sent(lua_State *L, connection *conn) {
  if (!conn->result.form.own && !conn->statement.is_many)
    statement_count(L, conn);
}

/* A result of it was read to its end; or it is a stream whose columns are known. */
static inline void statement_count_result(connection *conn) {
  if (conn->account)
    statement_account_result(conn);
}

/* So many rows of the stream were handed out. */
static inline void statement_count_rows(connection *conn, lua_Integer rows) {
  if (conn->account)
    conn->account->rows += rows;
}

/* The statement of the connection at index 1 has come to its end; statement_failed: its call returns so many
   values, from the top of the stack: nil, nil, error, …. Returns their number. */
static inline void statement_ended(lua_State *L, connection *conn) {
  if (conn->account)
    statement_end_account(L, conn, 0);
}

static inline int statement_failed(lua_State *L, connection *conn, int values) {
  if (conn->account)
    statement_end_account(L, conn, lua_gettop(L) - values + 3);
  return values;
}

/* Raises, for a call of this function, in the middle of one that is told of a statement of the pool. */
void statement_check_not_telling(lua_State *L, const pool_data *pool, const char *function);

/* Notes that nobody waits any more for the statement of the connection at index 1, if there is one. */
void statement_given_up(lua_State *L, connection *conn);

/* Nobody is told of it any more. */
void statement_forget(connection *conn);

/* Tells of those that were given up in the pool at this index. Calls functions of the program's. */
void statement_report(lua_State *L, int index);

void statement_open(lua_State *L);

#endif
