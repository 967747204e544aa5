/* Rows as the server sends them: whatever their number, few are held at a time. */
#include "stream.h"

#include "call.h"
#include "connection.h"
#include "error.h"
#include "read.h"
#include "row.h"

static bool is_row(const mp_row *row) {
  return row->cells || row->values;
}

/* Reads what is left of the statement, further results too; gives the session up rather than
   read more than conn->stream.drain_limit. */
static mp_status drain(connection *conn, mp_wait *wait, mp_error *err) {
  for (;;) {
    mp_row row;
    bool more = true;
    mp_status status = MP_DONE;
    if (conn->stream.seeking)
      status = mp_loan_next_result(conn->loan, &more, wait, err);
    if (status != MP_DONE || !more)
      return status;
    conn->stream.seeking = false;
    status = mp_loan_fetch(conn->loan, &row, wait, err);
    if (status != MP_DONE)
      return status;
    conn->stream.seeking = !is_row(&row);
    conn->result.finished += conn->stream.seeking;
    if (conn->stream.seeking || (conn->stream.drained += row_size(conn, &row)) <= conn->stream.drain_limit)
      continue;
    mp_loan_lose(conn->loan);
    return MP_DONE;
  }
}

static void begin_draining(connection *conn, uint64_t limit) {
  conn->activity = DRAINING;
  conn->stream.drained = 0;
  conn->stream.drain_limit = limit;
}

static int end_stream(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err) {
  if (status == MP_WAIT)
    return call_waits(L, conn, wait);
  conn->stream.open = false;
  if (status == MP_FAILED)
    return call_failed(L, conn, err);
  conn->activity = IDLE;
  lua_pushnil(L);
  return 1;
}

enum { ROWS_AT_ONCE = 64 };

/* The rows that are here already come along: a call for each would cost as much as the row. Not where a
   converter may raise, which is for its row alone. */
static mp_status add_rows(lua_State *L, connection *conn, int rows, mp_wait *wait, mp_error *err) {
  mp_status status = MP_DONE;
  for (int i = 2; i <= ROWS_AT_ONCE && !conn->result.converting && mp_loan_has_row(conn->loan); i++) {
    mp_row row;
    status = mp_loan_fetch(conn->loan, &row, wait, err);
    if (status != MP_DONE || !is_row(&row))
      break;
    row_push(L, conn, &row, rows + 1);
    lua_rawseti(L, rows, i);
  }
  return status;
}

/* nil, and an array of rows: this one, and those behind it. */
static int push_rows(lua_State *L, connection *conn, const mp_row *row, mp_wait *wait, mp_error *err) {
  luaL_checkstack(L, 2 * (int)conn->result.columns + 16, "too many columns");
  lua_pushnil(L);
  lua_createtable(L, 1, 0);
  int rows = lua_gettop(L);
  row_push_names(L, 1, conn);
  row_push(L, conn, row, rows + 1);
  lua_rawseti(L, rows, 1);
  mp_status status = conn->result.rejected ? MP_DONE : add_rows(L, conn, rows, wait, err);
  lua_settop(L, rows);
  conn->activity = IDLE;
  if (conn->result.rejected)
    return reject_result(L, conn, err);
  return status == MP_FAILED ? end_stream(L, conn, status, wait, err) : 2;
}

static int step_stream(lua_State *L, connection *conn, mp_wait *wait, mp_error *err) {
  if (conn->activity == STREAMING) {
    mp_row row;
    mp_status status = mp_loan_fetch(conn->loan, &row, wait, err);
    if (status == MP_DONE && is_row(&row))
      return push_rows(L, conn, &row, wait, err);
    if (status != MP_DONE)
      return end_stream(L, conn, status, wait, err);
    conn->stream.seeking = true;
    conn->result.finished++;
    begin_draining(conn, UINT64_MAX);
  }
  return end_stream(L, conn, drain(conn, wait, err), wait, err);
}

/* Continues fetch or drain: nil and an array of rows; nil alone at the end. */
int stream_step(lua_State *L, connection *conn, mp_wait *wait, mp_error *err) {
  int values = step_stream(L, conn, wait, err);
  conn->call.in_hand = false;
  return values;
}

/* While a stream is open its connection can do nothing else. Returns what an operation that was
   refused returns. */
int busy_streaming(lua_State *L) {
  mp_error err = {.phase = MP_PHASE_SEND, .executed = MP_EXECUTED_NO};
  mp_fail(&err, MP_ERR_PROTOCOL, MP_CR_OUT_OF_SYNC, "rows are being read one by one: end that loop first");
  lua_pushnil(L);
  return 1 + push_failure(L, &err);
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
  return stream_step(L, conn, &wait, &err);
}

/* drain(connection): the end of a stream that is left early. */
static int core_drain(lua_State *L) {
  connection *conn = check_held(L, "rows");
  mp_wait wait;
  mp_error err;
  if (!conn->stream.open)
    return 0;
  call_begin(L, conn, DRAINING);
  begin_draining(conn, WORTH_DRAINING);
  return stream_step(L, conn, &wait, &err);
}

static const luaL_Reg functions[] = {
    {"fetch", core_fetch},
    {"drain", core_drain},
    {NULL, NULL},
};

void stream_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
