/* The operations of a connection, as the Lua side calls them. */
#include "binding.h"

/* checkout(pool, function [, seconds]): a connection, for a call of this function. When that is not
   done at once: false, the connection, and what step returns. */
int core_checkout(lua_State *L) {
  pool_data *pool = check_pool(L, 1, luaL_checkstring(L, 2));
  int64_t timeout_ns = check_seconds(L, 3, "checkout", "seconds", pool->checkout_timeout_ns);
  if (pool->calling)
    return raise(L, "bad call of '%s' (this pool is in the middle of a call)", lua_tostring(L, 2));
  connection *conn = connection_new(L, pool);
  mp_wait wait;
  mp_error err;
  lua_replace(L, 1);
  lua_settop(L, 1);
  connection_report(L, conn);
  conn->taken = place_from(L, 2);
  lua_pushthread(L);
  lua_setiuservalue(L, 1, CONNECTION_OWNER); /* no other coroutine may take its address */
  mp_loan_set_owner(conn->loan, L);
  connection_begin(L, conn, CHECKING_OUT);
  mp_status status = mp_loan_checkout(conn->loan, timeout_ns, conn->taken.text, &wait, &err);
  if (status == MP_DONE) {
    conn->activity = IDLE;
    conn->in_hand = false;
    connection_report(L, conn);
    return 1;
  }
  if (status == MP_WAIT)
    collect_later(conn, timeout_ns);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, 1);
  return 2 + connection_proceed(L, conn, status, &wait, &err);
}

static void read_given(lua_State *L, int index, connection *conn, mp_query_options *options) {
  lua_getfield(L, index, "timeout");
  if (lua_isnumber(L, -1))
    options->timeout_ns = (int64_t)(lua_tonumber(L, -1) * MP_SECOND);
  lua_getfield(L, index, "idempotent");
  options->idempotent = lua_toboolean(L, -1);
  lua_getfield(L, index, "rows");
  if (lua_isstring(L, -1))
    conn->array_rows = strcmp(lua_tostring(L, -1), "array") == 0;
  lua_getfield(L, index, "max_result_bytes");
  if (lua_isnumber(L, -1))
    conn->max_result_bytes = (uint64_t)lua_tonumber(L, -1);
  lua_pushliteral(L, "raw"); /* of our own statements: values as the server has them, all of them */
  lua_rawget(L, index);
  if (lua_toboolean(L, -1)) {
    conn->converting = false;
    conn->max_result_bytes = 0;
  }
  lua_pop(L, 5);
}

/* Per-call options; the Lua side has looked at their names and types. A metamethod of theirs may do anything,
   so nothing that was read before still counts, not even that the connection is held. */
void read_options(lua_State *L, int index, connection *conn, mp_query_options *options,
                  const char *function) {
  conn->array_rows = conn->pool->array_rows;
  conn->converting = conn->pool->converting;
  conn->max_result_bytes = conn->pool->max_result_bytes;
  if (!lua_istable(L, index))
    return;
  read_given(L, index, conn, options);
  check_held(L, function);
}

/* Without a parameter and without a question mark the text goes out as it is. */
static const char *plain_text(lua_State *L, connection *conn, size_t *length) {
  const char *sql = lua_tolstring(L, 4, length);
  scrub_begin(conn);
  if (lua_gettop(L) > 4 || memchr(sql, '?', *length))
    return NULL;
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, 1, CONNECTION_SQL);
  return sql;
}

static mp_status send_encoded(connection *conn, mp_query_options options, const mp_sql_mode *mode,
                              mp_wait *wait, mp_error *err) {
  options.mode = mode;
  return mp_loan_query(conn->loan, conn->text.data, conn->text.length, &options, wait, err);
}

/* Keeps text and parameters until the session has answered. To make a table may run finalizers, which may use
   this connection: nothing has begun yet, and nothing that was known before still counts. */
static void keep_statement(lua_State *L, connection *conn) {
  int last = lua_gettop(L);
  lua_createtable(L, last - 3, 0);
  for (int i = 4; i <= last; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, last + 1, i - 3);
  }
  lua_setiuservalue(L, 1, CONNECTION_SQL);
  conn->kept = last - 3;
  check_held(L, "query");
  if (conn->streaming)
    refuse_within_stream(L);
}

static mp_status ask_first(lua_State *L, connection *conn, const mp_query_options *options, mp_wait *wait,
                           mp_error *err) {
  keep_statement(L, conn);
  conn->asked_for = *options;
  conn->asked_for.asked = true;
  connection_begin(L, conn, ASKING);
  return mp_loan_ask(conn->loan, options, wait, err);
}

/* Leaves on the stack, which begins with the connection, what was kept. */
static void restore_statement(lua_State *L, const connection *conn) {
  lua_getiuservalue(L, 1, CONNECTION_SQL);
  int kept = lua_gettop(L);
  luaL_checkstack(L, conn->kept, "too many parameters");
  for (int i = 1; i <= conn->kept; i++)
    lua_rawgeti(L, kept, i);
}

/* The session has told how it reads SQL text: sends the statement. May raise as a query does, with the
   connection at rest. */
mp_status query_after_asking(lua_State *L, connection *conn, mp_wait *wait, mp_error *err) {
  int top = lua_gettop(L);
  mp_sql_mode mode = mp_loan_sql_mode(conn->loan);
  conn->activity = IDLE;
  conn->in_hand = false;
  connection_settle(L, conn); /* another coroutine may have released it meanwhile */
  check_held(L, "query");
  restore_statement(L, conn);
  encode_statement(L, conn, top + 2, top + 3, lua_gettop(L), &mode);
  lua_settop(L, top);
  conn->in_hand = true;
  conn->activity = QUERYING;
  return send_encoded(conn, conn->asked_for, &mode, wait, err);
}

static mp_status send_query(lua_State *L, connection *conn, const mp_query_options *options, mp_wait *wait,
                            mp_error *err) {
  size_t length;
  const char *sql = plain_text(L, conn, &length);
  if (sql) {
    connection_begin(L, conn, QUERYING);
    return mp_loan_query(conn->loan, sql, length, options, wait, err);
  }
  mp_sql_mode mode = mp_loan_sql_mode(conn->loan);
  if (!encode_statement(L, conn, 4, 5, lua_gettop(L), &mode))
    return ask_first(L, conn, options, wait, err);
  connection_begin(L, conn, QUERYING);
  return send_encoded(conn, *options, &mode, wait, err);
}

enum { ONCE = 4 };

/* query(connection, shape, options or nil, sql, ...): shape is 0 for the whole result, 1 for its
   first row, 2 for the first cell of that, 3 for the number of columns, and then fetch; ONCE is added where
   the connection is lent for this statement alone. */
int core_query(lua_State *L) {
  static const char *const names[] = {"query", "one", "value", "rows"};
  int asked = (int)luaL_checkinteger(L, 2), shape_asked = asked & ~ONCE;
  luaL_argcheck(L, shape_asked >= 0 && shape_asked <= 3, 2, "no such shape");
  connection *conn = check_held(L, names[shape_asked]);
  mp_query_options options = {0};
  mp_wait wait;
  mp_error err;
  if (lua_type(L, 4) != LUA_TSTRING)
    return raise_type(L, names[shape_asked], "sql", "string", 4);
  if (!mp_loan_is_held(conn->loan))
    return luaL_error(L, "query: not checked out");
  if (conn->streaming)
    return refuse_within_stream(L);
  read_options(L, 3, conn, &options, names[shape_asked]);
  conn->shape = (shape)shape_asked;
  conn->once = NULL;
  if (asked & ONCE)
    once_begin(L, conn, names[shape_asked], 4);
  mp_status status = send_query(L, conn, &options, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* ping(connection) */
int core_ping(lua_State *L) {
  connection *conn = check_held(L, "ping");
  mp_wait wait;
  mp_error err;
  if (!mp_loan_is_held(conn->loan))
    return luaL_error(L, "ping: not checked out");
  connection_begin(L, conn, PINGING);
  mp_status status = mp_loan_ping(conn->loan, conn->pool->checkout_timeout_ns, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* reset(connection): back to the baseline, in the middle of the loan. */
int core_reset(lua_State *L) {
  connection *conn = check_held(L, "reset");
  mp_wait wait;
  mp_error err;
  if (!mp_loan_is_held(conn->loan))
    return luaL_error(L, "reset: not checked out");
  connection_begin(L, conn, RESETTING);
  mp_status status = mp_loan_reset(conn->loan, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* pause(connection, seconds): on any handle, also one without a session. */
int core_pause(lua_State *L) {
  connection *conn = check_held(L, "pause");
  int64_t duration_ns = check_seconds(L, 2, "pause", "seconds", 0);
  mp_wait wait;
  mp_error err;
  connection_begin(L, conn, PAUSING);
  mp_status status = mp_loan_pause(conn->loan, duration_ns, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* slot(connection): the number of its session's place in the pool; nil when it is lost. */
int core_slot(lua_State *L) {
  int slot = mp_loan_slot(check_held(L, "checkout")->loan);
  if (slot < 0)
    return 0;
  lua_pushinteger(L, slot);
  return 1;
}

/* fresh(connection): whether on_connect has not seen its session yet. */
int core_fresh(lua_State *L) {
  lua_pushboolean(L, mp_loan_is_fresh(check_held(L, "checkout")->loan));
  return 1;
}

/* record(connection, on): the statements that follow become part of the baseline. Returns nothing; at their
   end nil, error, errno, sqlstate where there is something wrong with it. */
int core_record(lua_State *L) {
  connection *conn = check_held(L, "checkout");
  mp_error err = {0};
  bool on = lua_toboolean(L, 2);
  mp_loan_record(conn->loan, on);
  if (on || mp_loan_check_baseline(conn->loan, &err) == MP_DONE)
    return 0;
  return push_failure(L, &err);
}
