/* Rows as the server sends them: whatever their number, few are held at a time. */
#include "stream.h"

#include "call.h"
#include "connection.h"
#include "error.h"
#include "read.h"
#include "result.h"
#include "row.h"
#include "statement.h"

static mp_status fetch(connection *conn, mp_wait *wait, mp_error *err) {
  conn->stream.seeking = false;
  return mp_loan_fetch(conn->loan, &conn->result.row, wait, err);
}

static mp_status seek(connection *conn, mp_wait *wait, mp_error *err) {
  conn->stream.seeking = true;
  conn->result.finished++;
  return mp_loan_next_result(conn->loan, &conn->result.more, wait, err);
}

/* Gives the session up rather than read more. */
static bool give_up_beyond_limit(connection *conn) {
  if (!result_has_row(conn) ||
      (conn->stream.drained += row_size(conn, &conn->result.row)) <= conn->stream.drain_limit)
    return false;
  mp_loan_lose(conn->loan);
  return true;
}

/* Reads what is left of the statement, further results too, from where it is: a row has been fetched, or a
   further result sought. */
static mp_status drain(connection *conn, mp_wait *wait, mp_error *err) {
  mp_status status = MP_DONE;
  while (status == MP_DONE) {
    bool is_over = conn->stream.seeking ? !conn->result.more : give_up_beyond_limit(conn);
    if (is_over)
      break;
    bool next_row = conn->stream.seeking || result_has_row(conn);
    status = (next_row ? fetch : seek)(conn, wait, err);
  }
  return status;
}

static void begin_draining(connection *conn, uint64_t limit) {
  conn->activity = DRAINING;
  conn->stream.drained = 0;
  conn->stream.drain_limit = limit;
}

static int end_stream(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err) {
  if (status == MP_WAIT)
    return call_push_wait(L, conn, wait);
  conn->stream.open = false;
  if (status == MP_FAILED)
    return call_push_failure(L, conn, err);
  conn->activity = IDLE;
  statement_ended(L, conn);
  lua_pushnil(L);
  return 1;
}

enum { ROWS_AT_ONCE = 64 };

/* The rows that are here already come along: a call for each would cost as much as the row. Not where a
   converter may raise, which is for its row alone. */
static mp_status add_rows(lua_State *L, connection *conn, int rows, mp_wait *wait, mp_error *err) {
  mp_status status = MP_DONE;
  for (int i = 2; i <= ROWS_AT_ONCE && !conn->result.form.converting && mp_loan_has_row(conn->loan); i++) {
    status = fetch(conn, wait, err);
    if (status != MP_DONE || !result_has_row(conn))
      break;
    row_push(L, conn, &conn->result.row, rows + 1);
    lua_rawseti(L, rows, i);
  }
  return status;
}

/* nil, and an array of rows: the one that was fetched, and those behind it. */
static int push_rows(lua_State *L, connection *conn, mp_wait *wait, mp_error *err) {
  luaL_checkstack(L, 2 * (int)conn->result.columns + 16, "too many columns");
  lua_pushnil(L);
  lua_createtable(L, 1, 0);
  int rows = lua_gettop(L);
  row_push_names(L, 1, conn);
  row_push(L, conn, &conn->result.row, rows + 1);
  lua_rawseti(L, rows, 1);
  mp_status status = conn->result.rejected ? MP_DONE : add_rows(L, conn, rows, wait, err);
  lua_settop(L, rows);
  statement_count_rows(conn, (lua_Integer)lua_rawlen(L, rows));
  conn->activity = IDLE;
  if (conn->result.rejected)
    return reject_result(L, conn, err);
  return status == MP_FAILED ? end_stream(L, conn, status, wait, err) : 2;
}

static int proceed(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err) {
  bool streaming = conn->activity == STREAMING;
  if (status == MP_DONE && streaming && result_has_row(conn))
    return push_rows(L, conn, wait, err);
  if (status == MP_DONE && streaming)
    begin_draining(conn, UINT64_MAX);
  if (status == MP_DONE)
    status = drain(conn, wait, err);
  return end_stream(L, conn, status, wait, err);
}

int stream_after(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err) {
  int values = proceed(L, conn, status, wait, err);
  conn->call.in_hand = false;
  return values;
}

mp_status fail_streaming(mp_error *err) {
  *err = (mp_error){.phase = MP_PHASE_SEND, .executed = MP_EXECUTED_NO};
  return mp_fail(err, MP_ERR_PROTOCOL, MP_CR_OUT_OF_SYNC,
                 "rows are being read one by one: end that loop first");
}

int busy_streaming(lua_State *L, int sql) {
  mp_error err;
  fail_streaming(&err);
  lua_pushnil(L);
  return 1 + push_failure(L, &err, sql);
}

/* fetch(connection): the next rows of the stream that query began. Where it was given up that is an error,
   not its end. */
static int core_fetch(lua_State *L) {
  connection *conn = check_held(L, "rows");
  mp_wait wait;
  mp_error err;
  if (!conn->stream.open && mp_loan_id(conn->loan) != 0)
    return 0;
  call_begin(L, conn, STREAMING);
  mp_status status = fetch(conn, &wait, &err);
  return stream_after(L, conn, status, &wait, &err);
}

/* drain(connection, unread): the end of a stream that is left early, with so many of the rows that were
   fetched not taken. */
static int core_drain(lua_State *L) {
  connection *conn = check_held(L, "rows");
  mp_wait wait;
  mp_error err;
  if (!conn->stream.open)
    return 0;
  statement_count_rows(conn, -luaL_checkinteger(L, 2));
  call_begin(L, conn, DRAINING);
  begin_draining(conn, WORTH_DRAINING);
  mp_status status = fetch(conn, &wait, &err);
  return stream_after(L, conn, status, &wait, &err);
}

static const luaL_Reg functions[] = {
    {"fetch", core_fetch},
    {"drain", core_drain},
    {NULL, NULL},
};

void stream_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
