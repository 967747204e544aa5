/* Prepared statements: Lua's values as parameters of the binary protocol. The Lua side wraps
   the number of a statement in an object. */
#include "prepared.h"

#include "call.h"
#include "class.h"
#include "connection.h"
#include "execute.h"
#include "place.h"
#include "query.h"
#include "scrub.h"
#include "spare.h"
#include "step.h"
#include "stream.h"
#include "value.h"

/* prepare(connection, sql, function): its number, for a call of this function. */
static int core_prepare(lua_State *L) {
  const char *function = luaL_checkstring(L, 3);
  connection *conn = check_held(L, function);
  mp_wait wait;
  mp_error err;
  size_t length;
  if (lua_type(L, 2) != LUA_TSTRING)
    return raise_type(L, function, "sql", "string", 2);
  if (stream_is_open(conn))
    return busy_streaming(L, 2);
  lua_settop(L, 2);
  spare_take(L, conn);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 1, CONNECTION_SQL);
  const char *sql = lua_tolstring(L, 2, &length);
  call_begin(L, conn, PREPARING);
  scrub_begin(conn);
  mp_status status = mp_loan_prepare(conn->loan, sql, length, 0, &wait, &err);
  return after_call(L, conn, status, &wait, &err);
}

static void read_values(lua_State *L, connection *conn, int first, int wanted) {
  int given = lua_gettop(L) - first + 1;
  if (wanted >= 0 && given != wanted)
    raise(L, "wrong number of parameters (the statement has %d, got %d)", wanted, given);
  for (int i = 0; i < given; i++) {
    mp_value value = value_read(L, first + i, (value_position){.parameter = i + 1});
    mp_buffer_add(&conn->statement.values, (const char *)&value, sizeof value);
  }
  if (conn->statement.values.failed)
    luaL_error(L, "not enough memory");
}

/* The arguments of execute; behind them the values. */
enum { EXECUTE_SHAPE = 2, EXECUTE_OPTIONS = QUERY_OPTIONS, EXECUTE_NUMBER, EXECUTE_SQL };

/* For an error that comes in a later call, which must still be able to tell the values. */
static void keep_parameters(lua_State *L, connection *conn, int last) {
  if (conn->activity == IDLE && !stream_is_open(conn))
    return;
  lua_createtable(L, last - EXECUTE_SQL, 0);
  int kept = lua_gettop(L);
  for (int i = EXECUTE_SQL + 1; i <= last; i++) {
    lua_pushvalue(L, i);
    keep_string(L, kept);
  }
  lua_setiuservalue(L, 1, CONNECTION_KEPT);
}

/* execute(connection, shape, options or nil, number, sql, ...): the text is that which was prepared, for
   errors. */
static int core_execute(lua_State *L) {
  static const char *const names[] = {"execute", "one", "value", "rows"};
  mp_query_options options;
  result_form form;
  mp_wait wait;
  mp_error err;
  int shape_asked = (int)luaL_checkinteger(L, EXECUTE_SHAPE);
  luaL_argcheck(L, shape_asked >= 0 && shape_asked <= 3, EXECUTE_SHAPE, "no such shape");
  connection *conn = check_held(L, names[shape_asked]);
  uint64_t id = (uint64_t)luaL_checkinteger(L, EXECUTE_NUMBER);
  read_options(L, EXECUTE_OPTIONS, 0, conn, names[shape_asked], &options, &form);
  if (stream_is_open(conn))
    return busy_streaming(L, EXECUTE_SQL);
  scrub_begin(conn);
  lua_pushvalue(L, EXECUTE_SQL);
  lua_setiuservalue(L, 1, CONNECTION_SQL);
  read_values(L, conn, EXECUTE_SQL + 1, mp_loan_parameters(conn->loan, id));
  form.shape = (shape)shape_asked;
  conn->statement.options = options;
  query_take_form(L, conn, &form);
  mp_status status = execute_begin(L, conn, id, 0, &wait, &err);
  int last = lua_gettop(L), results = after_call(L, conn, status, &wait, &err);
  keep_parameters(L, conn, last);
  return results;
}

/* parameters(connection, number): how many the statement has; -1 when it is gone. */
static int core_parameters(lua_State *L) {
  connection *conn = check_held(L, "execute_many");
  lua_pushinteger(L, mp_loan_parameters(conn->loan, (uint64_t)luaL_checkinteger(L, 2)));
  return 1;
}

/* close_prepared(connection, number): on a released connection too, where there is nothing left
   to close. */
static int core_close_prepared(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  uint64_t id = (uint64_t)luaL_checkinteger(L, 2);
  if (conn && conn->loan && conn->activity == IDLE)
    mp_loan_close_prepared(conn->loan, id);
  return 0;
}

static const luaL_Reg functions[] = {
    {"prepare", core_prepare},
    {"execute", core_execute},
    {"parameters", core_parameters},
    {"close_prepared", core_close_prepared},
    {NULL, NULL},
};

void prepared_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
