/* The connection class: the handle of a loan, and the operations that may wait. Each is begun
   by its function and continued by step. Both return

     fd, seconds, wait      call wait(fd, seconds), then step
     nil, ...               finished: the results, or nil, error, errno, sqlstate            */
#include "binding.h"

/* ---- the state of a handle ---- */

static connection *check_connection(lua_State *L, const char *function) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  if (!conn)
    raise_type(L, function, "self", "mypool.connection", 1);
  return conn;
}

/* An operation that was begun and never finished: its coroutine was closed, or its wait function
   raised. Only its own coroutine can tell; to another it may still be going on. */
static void settle_unfinished(lua_State *L, connection *conn, const char *function) {
  if (conn->activity == IDLE)
    return;
  if (conn->user != L)
    raise(L, "bad call of '%s' (another coroutine is using this connection)", function);
  mp_loan_lose(conn->loan);
  conn->activity = IDLE;
}

/* Where memory ran out the mark was left behind: while a finalizer runs the collector does not. */
static bool is_in_hand(lua_State *L, connection *conn) {
#ifdef LUA_GCISRUNNING
  if (conn->in_hand && lua_gc(L, LUA_GCISRUNNING, 0) == 1)
    conn->in_hand = false;
#else
  (void)L;
#endif
  return conn->in_hand;
}

/* A converter is called in the middle of a result; a finalizer may be. */
static void check_outside_call(lua_State *L, connection *conn, const char *function) {
  if (conn->in_converter)
    raise(L, "bad call of '%s' (a converter cannot use the connection of its value)", function);
  if (conn->pool->calling || is_in_hand(L, conn))
    raise(L, "bad call of '%s' (this connection is in the middle of a call)", function);
}

connection *check_held(lua_State *L, const char *function) {
  connection *conn = check_connection(L, function);
  check_outside_call(L, conn, function);
  if (!conn->loan)
    raise(L, "bad call of '%s' (this connection was released%s%s)", function, *conn->ended.text ? " at " : "",
          conn->ended.text);
  settle_unfinished(L, conn, function);
  conn->pool->L = L;
  return conn;
}

/* Loans of the pool that are out for too long. May call the user's on_event. */
static void report_overdue_loans(lua_State *L, connection *conn) {
  mp_holder overdue;
  while (conn->pool->pool && mp_pool_next_overdue(conn->pool->pool, &overdue)) {
    lua_getiuservalue(L, 1, CONNECTION_POOL);
    report_overdue(L, lua_gettop(L), &overdue);
    lua_pop(L, 1);
  }
}

/* What ran since the call began, metamethods or hooks, may have used the pool in coroutines that are gone. */
void connection_begin(lua_State *L, connection *conn, activity what) {
  conn->pool->L = conn->user = L;
  conn->in_hand = true;
  conn->used |= what >= PREPARING;
  conn->activity = what;
  conn->results = 0;
  conn->rejected = NOT_REJECTED;
  conn->result_bytes = 0;
}

/* held(connection, function): raises for what is no connection, or none any more. */
int core_held(lua_State *L) {
  check_held(L, luaL_checkstring(L, 2));
  return 0;
}

/* ---- outcomes ---- */

int connection_waits(lua_State *L, connection *conn, const mp_wait *wait) {
  lua_pushinteger(L, wait->fd);
  if (wait->until_ns == MP_NEVER) {
    lua_pushnil(L);
  } else {
    int64_t left_ns = wait->until_ns - mp_loan_now(conn->loan);
    lua_pushnumber(L, left_ns > 0 ? (double)left_ns / MP_SECOND : 0);
  }
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  lua_getiuservalue(L, -1, POOL_WAIT);
  lua_remove(L, -2);
  return 3;
}

int connection_failed(lua_State *L, connection *conn, mp_error *err) {
  bool statement = conn->activity >= QUERYING;
  if (conn->results > 0 && err->executed == MP_EXECUTED_NO)
    err->executed = MP_EXECUTED_YES; /* of a CALL, an earlier part ran */
  conn->activity = IDLE;
  if (statement)
    scrub(err, conn);
  lua_pushnil(L);
  return 1 + push_failure(L, err);
}

/* The results lie on the stack from `first` on. */
static int finish_query(lua_State *L, connection *conn, int first) {
  conn->activity = IDLE;
  lua_pushnil(L);
  lua_insert(L, first);
  return lua_gettop(L) - first + 1;
}

/* nil, and the number of the statement just prepared */
static int finish_prepare(lua_State *L, connection *conn) {
  conn->activity = IDLE;
  lua_pushnil(L);
  lua_pushinteger(L, (lua_Integer)mp_loan_prepared(conn->loan));
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
  if (conn->activity >= QUERYING && status == MP_DONE) {
    results_restore(L, 1, conn);
    status = results_read(L, 1, conn, wait, err);
    if (status == MP_WAIT)
      results_keep(L, 1, first);
  }
  if (status == MP_WAIT)
    return connection_waits(L, conn, wait);
  if (conn->activity == CHECKING_OUT)
    report_overdue_loans(L, conn);
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

static void end_loan(lua_State *L, connection *conn, bool reset);

/* An operation that came to its end after another coroutine had released its connection. */
void connection_settle(lua_State *L, connection *conn) {
  if (conn->release_pending && conn->activity == IDLE)
    end_loan(L, conn, false);
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
  int results = step(L, conn);
  connection_settle(L, conn);
  return results;
}

/* ---- operations ---- */

/* Pushes a handle without a session yet, of the pool at index 1. */
static connection *new_connection(lua_State *L, pool_data *pool) {
  connection *conn = lua_newuserdatauv(L, sizeof *conn, CONNECTION_VALUES);
  memset(conn, 0, sizeof *conn);
  conn->pool = pool;
  push_class(L, CONNECTION_CLASS);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, CONNECTION_POOL);
  conn->loan = mp_loan_new(pool->pool);
  if (!conn->loan)
    luaL_error(L, "not enough memory");
  leftover_join(&pool->all->connections, &conn->self);
  return conn;
}

/* connection(pool, function): a handle without a session, for a call of this function. */
int core_connection(lua_State *L) {
  new_connection(L, check_pool(L, 1, luaL_checkstring(L, 2)));
  return 1;
}

/* checkout(pool, function [, seconds]): a connection, for a call of this function. When that is not
   done at once: false, the connection, and what step returns. */
int core_checkout(lua_State *L) {
  pool_data *pool = check_pool(L, 1, luaL_checkstring(L, 2));
  int64_t timeout_ns = check_seconds(L, 3, "checkout", "seconds", pool->checkout_timeout_ns);
  if (pool->calling)
    return raise(L, "bad call of '%s' (this pool is in the middle of a call)", lua_tostring(L, 2));
  connection *conn = new_connection(L, pool);
  mp_wait wait;
  mp_error err;
  lua_replace(L, 1);
  lua_settop(L, 1);
  report_overdue_loans(L, conn);
  conn->taken = place_from(L, 2);
  lua_pushthread(L);
  lua_setiuservalue(L, 1, CONNECTION_OWNER); /* no other coroutine may take its address */
  mp_loan_set_owner(conn->loan, L);
  connection_begin(L, conn, CHECKING_OUT);
  mp_status status = mp_checkout(conn->loan, timeout_ns, conn->taken.text, &wait, &err);
  if (status == MP_DONE) {
    conn->activity = IDLE;
    conn->in_hand = false;
    report_overdue_loans(L, conn);
    return 1;
  }
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
static const char *statement_text(lua_State *L, connection *conn, size_t *length) {
  const char *sql = lua_tolstring(L, 4, length);
  conn->literals.length = conn->values.length = 0;
  if (lua_gettop(L) == 4 && !memchr(sql, '?', *length)) {
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, 1, CONNECTION_SQL);
    return sql;
  }
  encode_statement(L, conn, 4, 5, lua_gettop(L));
  *length = conn->text.length;
  return conn->text.data;
}

/* query(connection, shape, options or nil, sql, ...): shape is 0 for the whole result, 1 for its
   first row, 2 for the first cell of that, 3 for the number of columns, and then fetch. */
int core_query(lua_State *L) {
  static const char *const names[] = {"query", "one", "value", "rows"};
  int shape_asked = (int)luaL_checkinteger(L, 2);
  luaL_argcheck(L, shape_asked >= 0 && shape_asked <= 3, 2, "no such shape");
  connection *conn = check_held(L, names[shape_asked]);
  mp_query_options options = {0};
  size_t length;
  mp_wait wait;
  mp_error err;
  if (lua_type(L, 4) != LUA_TSTRING)
    return raise_type(L, names[shape_asked], "sql", "string", 4);
  if (!mp_loan_held(conn->loan))
    return luaL_error(L, "query: not checked out");
  if (conn->streaming)
    return refuse_within_stream(L);
  read_options(L, 3, conn, &options, names[shape_asked]);
  conn->shape = (shape)shape_asked;
  const char *sql = statement_text(L, conn, &length);
  connection_begin(L, conn, QUERYING);
  mp_status status = mp_query(conn->loan, sql, length, &options, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* ping(connection) */
int core_ping(lua_State *L) {
  connection *conn = check_held(L, "ping");
  mp_wait wait;
  mp_error err;
  if (!mp_loan_held(conn->loan))
    return luaL_error(L, "ping: not checked out");
  connection_begin(L, conn, PINGING);
  mp_status status = mp_ping(conn->loan, conn->pool->checkout_timeout_ns, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* reset(connection): back to the baseline, in the middle of the loan. */
int core_reset(lua_State *L) {
  connection *conn = check_held(L, "reset");
  mp_wait wait;
  mp_error err;
  if (!mp_loan_held(conn->loan))
    return luaL_error(L, "reset: not checked out");
  connection_begin(L, conn, RESETTING);
  mp_status status = mp_reset(conn->loan, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* pause(connection, seconds): on any handle, also one without a session. */
int core_pause(lua_State *L) {
  connection *conn = check_held(L, "pause");
  int64_t duration_ns = check_seconds(L, 2, "pause", "seconds", 0);
  mp_wait wait;
  mp_error err;
  connection_begin(L, conn, PAUSING);
  mp_status status = mp_pause(conn->loan, duration_ns, &wait, &err);
  return connection_proceed(L, conn, status, &wait, &err);
}

/* fresh(connection): whether on_connect has not seen its session yet. */
int core_fresh(lua_State *L) {
  lua_pushboolean(L, mp_loan_fresh(check_held(L, "checkout")->loan));
  return 1;
}

/* record(connection, on): the statements that follow become part of the baseline. */
int core_record(lua_State *L) {
  mp_loan_record(check_held(L, "checkout")->loan, lua_toboolean(L, 2));
  return 0;
}

/* ---- methods ---- */

static void forget(lua_State *L, int value) {
  lua_pushnil(L);
  lua_setiuservalue(L, 1, value);
}

/* A handle that is kept after its loan must not keep what the loan needed: a whole coroutine, for one. */
static void let_go(lua_State *L, const connection *conn) {
  forget(L, CONNECTION_OWNER);
  if (!conn->used)
    return;
  forget(L, CONNECTION_SQL);
  forget(L, CONNECTION_RESULTS);
}

/* The handle is at index 1. */
static void end_loan(lua_State *L, connection *conn, bool reset) {
  if (!conn->loan)
    return;
  conn->pool->L = L; /* the coroutine that used the pool last may be gone */
  if (conn->activity != IDLE)
    mp_loan_abandon(conn->loan);
  conn->activity = IDLE;
  mp_loan_release(conn->loan, reset);
  mp_loan_free(conn->loan);
  conn->loan = NULL;
  leftover_leave(&conn->self);
  let_go(L, conn);
  mp_buffer_free(&conn->text);
  mp_buffer_free(&conn->literals);
  mp_buffer_free(&conn->types);
  mp_buffer_free(&conn->described);
  mp_buffer_free(&conn->described_before);
  mp_buffer_free(&conn->values);
}

void connection_end(lua_State *L, connection *conn) {
  conn->pool->L = L;
  mp_loan_discard(conn->loan);
  end_loan(L, conn, false);
}

static bool wants_reset(lua_State *L) {
  bool reset = true;
  if (lua_isnoneornil(L, 2))
    return true;
  if (!lua_istable(L, 2))
    raise_type(L, "release", "options", "table", 2);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "reset") != 0)
      raise(L, "bad argument 'options' to 'release' (unknown option; there is only 'reset')");
    if (!lua_isboolean(L, -1))
      raise_type(L, "release", "reset", "boolean", -1);
    reset = lua_toboolean(L, -1);
  }
  return reset;
}

/* While another coroutine waits in an operation, its session can only be cut: that wakes it, and
   the loan ends when it has seen the error. */
static bool cut_other(lua_State *L, connection *conn) {
  if (conn->activity == IDLE || conn->user == L)
    return false;
  conn->release_pending = true;
  mp_loan_cut(conn->loan);
  return true;
}

/* connection:release([options]): gives the session back to the pool. Never waits; a second call
   does nothing. { reset = false } leaves the session as it is for the next borrower. */
static int connection_release(lua_State *L) {
  connection *conn = check_connection(L, "release");
  bool reset = wants_reset(L);
  if (!conn->loan)
    return 0;
  check_outside_call(L, conn, "release");
  conn->ended = place_of_caller(L);
  report_overdue_loans(L, conn);
  if (!cut_other(L, conn))
    end_loan(L, conn, reset);
  return 0;
}

/* give_back(connection): as release, for a handle that only on_connect has seen: its place is of no use. */
int core_give_back(lua_State *L) {
  connection *conn = check_connection(L, "release");
  report_overdue_loans(L, conn);
  if (!cut_other(L, conn))
    end_loan(L, conn, true);
  return 0;
}

/* connection:discard(): closes the session instead of giving it back. */
static int connection_discard(lua_State *L) {
  connection *conn = check_connection(L, "discard");
  if (!conn->loan)
    return 0;
  check_outside_call(L, conn, "discard");
  conn->ended = place_of_caller(L);
  if (cut_other(L, conn))
    return 0;
  connection_end(L, conn);
  return 0;
}

/* connection:id(): the server's CONNECTION_ID(); nil when the session is lost. */
static int connection_id(lua_State *L) {
  connection *conn = check_held(L, "id");
  uint64_t id = mp_loan_id(conn->loan);
  if (id == 0)
    return 0;
  lua_pushinteger(L, (lua_Integer)id);
  return 1;
}

/* connection:is_held(): whether it has neither been released nor discarded. */
static int connection_is_held(lua_State *L) {
  lua_pushboolean(L, check_connection(L, "is_held")->loan != NULL);
  return 1;
}

/* connection:in_transaction(): as the server last said. */
static int connection_in_transaction(lua_State *L) {
  connection *conn = check_held(L, "in_transaction");
  lua_pushboolean(L, mp_loan_in_transaction(conn->loan));
  return 1;
}

/* ---- metamethods ---- */

static int connection_close(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  if (conn && conn->loan) {
    check_outside_call(L, conn, "release");
    conn->ended = place_of_caller(L);
    report_overdue_loans(L, conn);
    if (!cut_other(L, conn))
      end_loan(L, conn, true);
  }
  return 0;
}

/* A forgotten handle gives its session back, and says where it came from; not one whose coroutine
   was abandoned before it got a session. The words come last: memory for them may be missing. */
static int connection_gc(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  if (!conn || !conn->loan)
    return 0;
  bool forgotten = mp_loan_held(conn->loan) && conn->activity != CHECKING_OUT;
  end_loan(L, conn, true);
  if (forgotten) {
    conn->pool->forgotten++;
    lua_pushfstring(L, "mypool: a connection checked out at %s was never released", conn->taken.text);
    lua_warning(L, lua_tostring(L, -1), 0);
  }
  return 0;
}

static int connection_tostring(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  if (conn && conn->loan)
    lua_pushfstring(L, "mypool.connection (id %d)", (int)mp_loan_id(conn->loan));
  else
    lua_pushliteral(L, "mypool.connection (released)");
  return 1;
}

static const luaL_Reg methods[] = {
    {"release", connection_release},
    {"discard", connection_discard},
    {"id", connection_id},
    {"is_held", connection_is_held},
    {"in_transaction", connection_in_transaction},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", connection_gc},
    {"__close", connection_close},
    {"__tostring", connection_tostring},
    {NULL, NULL},
};

void connection_open(lua_State *L) {
  open_class(L, CONNECTION_CLASS, methods, metamethods);
}
