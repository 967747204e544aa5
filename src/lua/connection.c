/* The connection class: the handle of a loan. */
#include "connection.h"

#include "class.h"
#include "left_open.h"
#include "place.h"
#include "pool.h"
#include "spare.h"
#include "state_end.h"
#include "statement.h"
#include "stream.h"
#include "warn.h"

/* ---- the state of a handle ---- */

connection *check_connection(lua_State *L, const char *function) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  if (!conn)
    raise_self(L, function, CONNECTION_CLASS, "conn", 1);
  return conn;
}

/* An operation that was begun and never finished: its coroutine was closed, or its wait function
   raised. Only its own coroutine can tell; to another it may still be going on. */
static void end_unfinished(lua_State *L, connection *conn, const char *function) {
  if (conn->activity == IDLE)
    return;
  if (conn->call.user != L)
    raise(L, "bad call of '%s' (another coroutine is using this connection: check out one for each)",
          function);
  statement_given_up(L, conn);
  mp_loan_lose(conn->loan);
  conn->activity = IDLE;
}

/* An error for want of memory leaves in_hand set. Then the collector runs, which it does not while it runs a
   finalizer: so the two can be told apart. */
static bool is_in_hand(lua_State *L, connection *conn) {
#ifdef LUA_GCISRUNNING
  if (conn->call.in_hand && lua_gc(L, LUA_GCISRUNNING, 0) == 1)
    conn->call.in_hand = false;
#else
  (void)L;
#endif
  return conn->call.in_hand;
}

/* Raises in the middle of a call: a converter runs there, and a finalizer may. */
static void check_outside_call(lua_State *L, connection *conn, const char *function) {
  statement_check_not_telling(L, conn->pool, function);
  if (conn->call.in_converter)
    raise(L, "bad call of '%s' (a converter cannot use the connection of its value)", function);
  if (conn->pool->calling || is_in_hand(L, conn))
    raise(L, "bad call of '%s' (this connection is in the middle of a call)", function);
}

connection *check_loan(lua_State *L, const char *function) {
  connection *conn = check_connection(L, function);
  check_outside_call(L, conn, function);
  if (!conn->loan)
    raise(L, "bad call of '%s' (this connection was released%s%s)", function, *conn->ended.text ? " at " : "",
          conn->ended.text);
  end_unfinished(L, conn, function);
  conn->pool->L = L;
  return conn;
}

connection *check_held(lua_State *L, const char *function) {
  connection *conn = check_loan(L, function);
  if (!mp_loan_is_held(conn->loan))
    luaL_error(L, "%s: not checked out", function);
  return conn;
}

static void report_what_was_left_open(lua_State *L, connection *conn) {
  if (!conn->pool->untold)
    return;
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  left_open_report(L, lua_gettop(L));
  statement_report(L, lua_gettop(L));
  lua_pop(L, 1);
}

/* Loans of the pool that are out for too long, or have ended in a transaction. May call the user's
   on_event. */
void connection_report(lua_State *L, connection *conn) {
  mp_holder overdue;
  report_what_was_left_open(L, conn);
  while (conn->pool->pool && mp_pool_next_overdue(conn->pool->pool, &overdue)) {
    lua_getiuservalue(L, 1, CONNECTION_POOL);
    report_overdue(L, lua_gettop(L), &overdue);
    lua_pop(L, 1);
  }
}

/* held(connection, function): raises for what is no connection, or none any more. */
static int core_held(lua_State *L) {
  check_held(L, luaL_checkstring(L, 2));
  return 0;
}

/* ---- its end ---- */

static void drop(lua_State *L, int value) {
  lua_pushnil(L);
  lua_setiuservalue(L, 1, value);
}

/* A handle that is kept after its loan must not keep what the loan needed: a whole coroutine, for one. */
static void drop_values(lua_State *L, const connection *conn) {
  drop(L, CONNECTION_OWNER);
  if (!conn->used)
    return;
  drop(L, CONNECTION_SQL);
  drop(L, CONNECTION_KEPT);
  drop(L, CONNECTION_RESULTS);
  if (conn->result.form.own_types)
    drop(L, CONNECTION_TYPES);
}

/* The handle is at index 1. */
void connection_give_back(lua_State *L, connection *conn, bool reset) {
  if (!conn->loan)
    return;
  conn->pool->L = L; /* the coroutine that used the pool last may be gone */
  statement_given_up(L, conn);
  if (conn->activity != IDLE && conn->call.wait_fd == MP_PARKED)
    pool_forget_wait(conn); /* another loan may be a ticket of this address */
  if (conn->activity != IDLE)
    mp_loan_abandon(conn->loan);
  conn->activity = IDLE;
  mp_loan_release(conn->loan, reset);
  mp_loan_free(conn->loan);
  conn->loan = NULL;
  statement_forget(conn);
  leftover_leave(&conn->self);
  drop_values(L, conn);
  spare_leave(L, conn);
}

/* A handle that is still being checked out nobody else has: it ends. */
void connection_abandon(lua_State *L, connection *conn) {
  bool is_useless = conn->activity == CHECKING_OUT || conn->call.release_pending;
  statement_given_up(L, conn);
  conn->pool->L = L;
  if (conn->activity != IDLE)
    pool_forget_wait(conn);
  conn->activity = IDLE;
  stream_end(conn);
  conn->call.in_hand = false;
  conn->abandoned = true;
  conn->pool->abandoned++;
  mp_loan_abandon(conn->loan);
  if (is_useless)
    connection_give_back(L, conn, false);
}

/* abandon(connection): its session goes back to the pool at once, in the middle of whatever goes on; the
   handle is then as after a lost connection. */
static int core_abandon(lua_State *L) {
  connection *conn = check_connection(L, "abandon");
  if (conn->loan)
    connection_abandon(L, conn);
  return 0;
}

/* The end of a loan that the program has used as it pleased. The user's on_event, which was told of overdue
   loans just before, may have ended it. */
static void end_loan(lua_State *L, connection *conn, bool reset) {
  if (!conn->loan)
    return;
  uint64_t left_open = mp_loan_is_in_transaction(conn->loan) ? mp_loan_id(conn->loan) : 0;
  connection_give_back(L, conn, reset);
  if (left_open == 0)
    return;
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  left_open_note(L, lua_gettop(L), conn->taken.text, left_open);
  lua_pop(L, 1);
}

static void end(lua_State *L, leftover *self) {
  connection *conn = (connection *)self;
  conn->pool->L = L;
  statement_forget(conn); /* of a whole state that ends, nobody is told */
  mp_loan_discard(conn->loan);
  connection_give_back(L, conn, false);
}

/* ---- its making ---- */

/* Pushes a handle without a session yet, of the pool at index 1. */
connection *connection_new(lua_State *L, pool_data *pool) {
  connection *conn = lua_newuserdatauv(L, sizeof *conn, CONNECTION_VALUES);
  memset(conn, 0, sizeof *conn);
  conn->self.class = CONNECTION_CLASS;
  conn->self.end = end;
  conn->pool = pool;
  lua_getiuservalue(L, 1, POOL_HANDLES);
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
static int core_connection(lua_State *L) {
  connection_new(L, check_pool(L, 1, luaL_checkstring(L, 2)));
  return 1;
}

/* ---- methods ---- */

static bool read_reset(lua_State *L) {
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
  if (conn->activity == IDLE || conn->call.user == L)
    return false;
  conn->call.release_pending = true;
  mp_loan_cut(conn->loan);
  return true;
}

/* connection:release([options]): gives the session back to the pool. Never waits; a second call
   does nothing. { reset = false } leaves the session as it is for the next borrower. */
static int connection_release(lua_State *L) {
  connection *conn = check_connection(L, "release");
  bool reset = read_reset(L);
  if (!conn->loan)
    return 0;
  check_outside_call(L, conn, "release");
  conn->ended = place_from(L, conn->pool->all, 1);
  connection_report(L, conn);
  if (!cut_other(L, conn))
    end_loan(L, conn, reset);
  report_what_was_left_open(L, conn);
  return 0;
}

/* give_back(connection, [lent]): as release, by the function of mypool's that checked it out; `lent`: for the
   program, which has used it as it pleased. */
static int core_give_back(lua_State *L) {
  connection *conn = check_connection(L, "release");
  bool lent = lua_toboolean(L, 2);
  if (!conn->loan)
    return 0;
  conn->ended = conn->taken;
  connection_report(L, conn);
  if (!cut_other(L, conn))
    (lent ? end_loan : connection_give_back)(L, conn, true);
  report_what_was_left_open(L, conn);
  return 0;
}

/* connection:discard(): closes the session instead of giving it back. */
static int connection_discard(lua_State *L) {
  connection *conn = check_connection(L, "discard");
  if (!conn->loan)
    return 0;
  check_outside_call(L, conn, "discard");
  conn->ended = place_from(L, conn->pool->all, 1);
  if (cut_other(L, conn))
    return 0;
  statement_given_up(L, conn);
  end(L, &conn->self);
  return 0;
}

/* connection:host(): the host that it leads to, as "name:port"; nil when the session is lost. */
static int connection_host(lua_State *L) {
  connection *conn = check_held(L, "host");
  lua_pushstring(L, mp_loan_host(conn->loan));
  return 1;
}

/* connection:id(): the server's CONNECTION_ID(); nil when the session is lost. */
static int connection_id(lua_State *L) {
  connection *conn = check_held(L, "id");
  uint64_t id = mp_loan_id(conn->loan);
  if (id == 0)
    lua_pushnil(L);
  else
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
  lua_pushboolean(L, mp_loan_is_in_transaction(conn->loan));
  return 1;
}

/* ---- metamethods ---- */

static int connection_close(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  if (conn && conn->loan) {
    check_outside_call(L, conn, "release");
    conn->ended = place_from(L, conn->pool->all, 1);
    connection_report(L, conn);
    if (!cut_other(L, conn))
      end_loan(L, conn, true);
    report_what_was_left_open(L, conn);
  }
  return 0;
}

/* A forgotten handle gives its session back, and says where it came from; not one whose coroutine
   was abandoned before it got a session, or that has none any more for such a reason. The words come last:
   memory for them may be missing. */
static int connection_gc(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  if (!conn || !conn->loan)
    return 0;
  bool was_forgotten = mp_loan_is_held(conn->loan) && !conn->abandoned && conn->activity != CHECKING_OUT;
  end_loan(L, conn, true);
  if (was_forgotten) {
    conn->pool->forgotten++;
    lua_pushfstring(L, "mypool: a connection checked out at %s was never released",
                    place_to_tell(conn->taken.text));
    warn(L, lua_tostring(L, -1));
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

static const luaL_Reg functions[] = {
    {"held", core_held},
    {"connection", core_connection},
    {"give_back", core_give_back},
    {"abandon", core_abandon},
    {NULL, NULL},
};

static const luaL_Reg methods[] = {
    {"release", connection_release},
    {"discard", connection_discard},
    {"host", connection_host},
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
  open_raising_class(L, RAISING_CONNECTION_CLASS, CONNECTION_CLASS, metamethods);
  luaL_setfuncs(L, functions, 0);
}
