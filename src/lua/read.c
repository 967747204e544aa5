/* Results as Lua tables. While rows are read the stack holds the results so far, last the one
   that grows; between two waits they are kept in a user value of the connection. */
#include "read.h"

#include "call.h"
#include "collector.h"
#include "error.h"
#include "result.h"
#include "row.h"
#include "statement.h"
#include "stream.h"

/* False when the rest is not worth reading: the result is too large, or there is no trust in what follows. */
static bool add_row(lua_State *L, connection *conn, const mp_row *row, int result) {
  if (conn->result.form.max_bytes > 0 &&
      (conn->result.bytes += row_size(conn, row)) > conn->result.form.max_bytes) {
    lua_newtable(L); /* lets go of what there is */
    lua_replace(L, result);
    conn->result.rejected = TOO_LARGE;
    return conn->result.bytes - conn->result.form.max_bytes <= WORTH_DRAINING;
  }
  conn->result.rows++;
  if (!conn->result.rejected)
    row_keep(L, conn, row, result);
  return conn->result.rejected != MALFORMED;
}

/* The reading of a result's rows, which are added to the table at the index `result`; behind it stands what
   row_push_names pushes. */
typedef struct reading {
  connection *conn;
  mp_wait *wait;
  mp_error *err;
  mp_status status;
} reading;

/* Takes up to so many rows, beginning with the one that was fetched last; false when there are more. */
static bool read_some(lua_State *L, reading *from, int result, long long count) {
  connection *conn = from->conn;
  for (; count > 0; count--) {
    if (from->status != MP_DONE || !result_has_row(conn))
      return true;
    if (!add_row(L, conn, &conn->result.row, result)) {
      mp_loan_lose(conn->loan);
      return true;
    }
    from->status = mp_loan_fetch(conn->loan, &conn->result.row, from->wait, from->err);
  }
  return false;
}

enum { MANY_ROWS = 200 };

#ifdef LUA_GCISRUNNING

/* read_many(connection, reading, result, ...) */
static int read_many(lua_State *L) {
  read_some(L, lua_touserdata(L, 2), 3, LLONG_MAX);
  return 0;
}

/* Reads all further rows while the collector rests. Whatever is raised meanwhile, it must go on. */
static void read_all(lua_State *L, int self, reading *from, int result) {
  int count = lua_gettop(L) - result + 1;
  luaL_checkstack(L, count + 8, "too many columns");
  lua_pushcfunction(L, read_many);
  lua_pushvalue(L, self);
  lua_pushlightuserdata(L, from);
  for (int i = 0; i < count; i++)
    lua_pushvalue(L, result + i);
  int before_kb = collector_stop(L, from->conn->pool, from->conn->result.rows <= MANY_ROWS);
  int status = lua_pcall(L, count + 2, 0, 0);
  collector_go_on(L, from->conn->pool, before_kb);
  if (status != LUA_OK)
    lua_error(L);
}

#endif

/* A converter throws away its argument, which is garbage at once: that may be many times the rows, so the
   collector must go on. */
static bool has_converters(lua_State *L, const connection *conn, int result) {
  bool found = false;
  for (int i = 0; conn->result.form.converting && !found && i < (int)conn->result.columns; i++)
    found = lua_toboolean(L, result + 2 + (int)conn->result.columns + i);
  return found;
}

/* From the row that was fetched last to the end of its result. */
static mp_status read_rows(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  reading from = {.conn = conn, .wait = wait, .err = err};
  int result = lua_gettop(L);
  result_check_room(L, conn); /* after a wait the stack may be another one, or has shrunk */
  row_push_names(L, self, conn);
#ifdef LUA_GCISRUNNING
  if (conn->result.rows > MANY_ROWS || !read_some(L, &from, result, MANY_ROWS)) {
    if (lua_gc(L, LUA_GCISRUNNING, 0) && !has_converters(L, conn, result))
      read_all(L, self, &from, result);
    else
      read_some(L, &from, result, LLONG_MAX);
  }
#else
  while (!read_some(L, &from, result, MANY_ROWS))
    ;
#endif
  lua_settop(L, result);
  return from.status;
}

static void describe_rejection(const connection *conn, rejection why, mp_error *err) {
  *err = (mp_error){.executed = MP_EXECUTED_YES, .fatal = mp_loan_id(conn->loan) == 0};
  if (why == MALFORMED)
    mp_fail(err, MP_ERR_PROTOCOL, 0, "what came for a number is none");
  else
    mp_fail(err, MP_ERR_PROTOCOL, 0, "the result exceeds max_result_bytes (%llu)",
            (unsigned long long)conn->result.form.max_bytes);
}

/* Ends a statement whose results were read and are not returned. */
int reject_result(lua_State *L, connection *conn, mp_error *err) {
  rejection why = conn->result.rejected;
  conn->result.rejected = NOT_REJECTED;
  conn->activity = IDLE;
  conn->call.in_hand = false;
  if (why == NOT_CONVERTED) {
    lua_getiuservalue(L, 1, CONNECTION_RAISED);
    lua_pushnil(L);
    lua_setiuservalue(L, 1, CONNECTION_RAISED);
    if (!stream_is_open(conn))
      statement_ended(L, conn);
    call_release_pending(L, conn);
    return lua_error(L);
  }
  if (why == MALFORMED)
    mp_loan_lose(conn->loan);
  describe_rejection(conn, why, err);
  lua_pushnil(L);
  int values = 1 + push_failed_statement(L, err);
  return stream_is_open(conn) ? values : statement_failed(L, conn, values);
}

/* ---- across waits ---- */

void results_keep(lua_State *L, int self, int first) {
  int count = lua_gettop(L) - first + 1;
  if (count == 0)
    return;
  lua_createtable(L, count, 0);
  lua_insert(L, first);
  for (int i = count; i >= 1; i--)
    lua_rawseti(L, first, i);
  lua_setiuservalue(L, self, CONNECTION_RESULTS);
}

void results_restore(lua_State *L, int self, connection *conn) {
  int count = conn->result.finished + (conn->activity == READING_ROWS);
  if (count == 0)
    return;
  luaL_checkstack(L, count + 16, "too many results");
  lua_getiuservalue(L, self, CONNECTION_RESULTS);
  int kept = lua_gettop(L);
  for (int i = 1; i <= count; i++)
    lua_rawgeti(L, kept, i);
  lua_remove(L, kept);
}

/* ---- the course of a query ---- */

/* For a stream: pushes the number of columns, and arrays of their names and types; the rows are fetched one
   by one. */
static void begin_stream(lua_State *L, int self, connection *conn) {
  lua_pushinteger(L, result_look(L, self, conn).columns);
  result_push_columns(L, self, conn);
  statement_count_result(conn);
  stream_begin(conn);
}

static mp_status begin_rows(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  result_begin(L, self, conn);
  conn->activity = READING_ROWS;
  return mp_loan_fetch(conn->loan, &conn->result.row, wait, err);
}

static mp_status end_rows(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  result_update_warnings(L, self, conn);
  statement_count_result(conn);
  conn->result.finished++;
  conn->activity = SEEKING_RESULT;
  return mp_loan_next_result(conn->loan, &conn->result.more, wait, err);
}

/* The rest was not worth reading. */
static bool was_given_up(const connection *conn) {
  return conn->result.rejected && mp_loan_id(conn->loan) == 0;
}

static mp_status go_on_with_rows(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  mp_status status = read_rows(L, self, conn, wait, err);
  return status == MP_DONE && !was_given_up(conn) ? end_rows(L, self, conn, wait, err) : status;
}

static bool is_over(const connection *conn) {
  return was_given_up(conn) || (conn->activity == SEEKING_RESULT && !conn->result.more);
}

/* Takes a query through its rows and further results, from where it is: it has just been answered, a row has
   been fetched, or a further result sought. On the stack are the results so far; in the end all of them. */
mp_status results_read(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  mp_status status = MP_DONE;
  if (conn->result.form.shape == SHAPE_STREAM) {
    begin_stream(L, self, conn);
    return MP_DONE;
  }
  while (status == MP_DONE && !is_over(conn))
    status = (conn->activity == READING_ROWS ? go_on_with_rows : begin_rows)(L, self, conn, wait, err);
  return status;
}
