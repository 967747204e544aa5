/* Prepared statements: Lua's values as parameters of the binary protocol. The Lua side wraps
   the number of a statement in an object. */
#include "prepared.h"

#include <math.h>

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

/* The position of a value, for messages: the row is 0 outside of execute_many. */
typedef struct position {
  int row, parameter;
} position;

static int raise_bad(lua_State *L, position at, const char *what, const char *wrong) {
  if (at.row > 0)
    return raise(L, "bad row %d, parameter %d (%s%s)", at.row, at.parameter, what, wrong);
  return raise(L, "bad parameter %d (%s%s)", at.parameter, what, wrong);
}

static mp_value number_value(lua_State *L, int index, position at) {
  double number = lua_tonumber(L, index);
  if (lua_isinteger(L, index))
    return (mp_value){.kind = MP_VALUE_INTEGER, .as.integer = lua_tointeger(L, index)};
  if (!isfinite(number))
    raise_bad(L, at, "SQL has no ", isnan(number) ? "NaN" : "infinity");
  return (mp_value){.kind = MP_VALUE_FLOAT, .as.number = number};
}

static mp_value string_value(lua_State *L, int index, bool binary) {
  size_t length;
  const char *bytes = lua_tolstring(L, index, &length);
  binary = binary || !mp_is_text(bytes, length);
  return (mp_value){.kind = binary ? MP_VALUE_BINARY : MP_VALUE_STRING,
                    .as.text = {.bytes = bytes, .length = length}};
}

static bool is_null(lua_State *L, int index) {
  return lua_isnil(L, index) || (lua_islightuserdata(L, index) && !lua_touserdata(L, index));
}

/* Puts the string within mypool.binary in its place: the program may change the table meanwhile. */
static mp_value binary_value(lua_State *L, int index, position at) {
  if (lua_istable(L, index) && is_class(L, index, NAMED_CLASS))
    raise_bad(L, at, "names are for query, one, value and rows", ": here values stand in order, for ?");
  if (!is_class(L, index, BINARY_CLASS))
    raise_bad(L, at, luaL_typename(L, index), " is no value of a prepared statement");
  lua_rawgeti(L, index, 1);
  if (lua_type(L, -1) != LUA_TSTRING)
    raise_bad(L, at, "binary holds no string", "");
  mp_value value = string_value(L, -1, true);
  lua_replace(L, index);
  return value;
}

static mp_value value_of(lua_State *L, int index, position at) {
  if (is_null(L, index))
    return (mp_value){.kind = MP_VALUE_NULL};
  switch (lua_type(L, index)) {
  case LUA_TBOOLEAN:
    return (mp_value){.kind = MP_VALUE_INTEGER, .as.integer = lua_toboolean(L, index)};
  case LUA_TNUMBER:
    return number_value(L, index, at);
  case LUA_TSTRING:
    return string_value(L, index, false);
  default:
    return binary_value(L, index, at);
  }
}

static void read_values(lua_State *L, connection *conn, int first, int wanted) {
  int given = lua_gettop(L) - first + 1;
  if (wanted >= 0 && given != wanted)
    raise(L, "wrong number of parameters (the statement has %d, got %d)", wanted, given);
  for (int i = 0; i < given; i++) {
    mp_value value = value_of(L, first + i, (position){.parameter = i + 1});
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

/* ---- many rows ---- */

static int raise_key(lua_State *L, int number, int key) {
  enum { LONGEST = 60 };
  if (lua_type(L, key) != LUA_TSTRING)
    return raise(L, "bad row %d (a row is an array; this one has a %s as a key)", number,
                 luaL_typename(L, key));
  size_t length;
  const char *name = lua_tolstring(L, key, &length);
  lua_pushlstring(L, name, length < LONGEST ? length : LONGEST);
  return raise(L, "bad row %d (a row is an array; this one has the key '%s')", number, lua_tostring(L, -1));
}

/* The position that the key at this index stands for. */
static int check_key(lua_State *L, int index, int number, int wanted) {
  lua_Integer key = lua_isinteger(L, index) ? lua_tointeger(L, index) : 0;
  if (key >= 1 && key <= wanted)
    return (int)key;
  if (key < 1)
    raise_key(L, number, index);
  else
    raise(L, "bad row %d (the statement has %d parameters, got a value for number %d)", number, wanted,
          (int)(key < INT_MAX ? key : INT_MAX));
  return 0;
}

/* About how many bytes the value has: never 0. Raises for what is no value. */
static size_t check_value(lua_State *L, int index, position at) {
  int type = lua_type(L, index);
  if (type == LUA_TSTRING)
    return lua_rawlen(L, index) + 1;
  if (type == LUA_TNUMBER && isfinite(lua_tonumber(L, index)))
    return 8;
  lua_pushvalue(L, index);
  mp_value value = value_of(L, lua_gettop(L), at);
  lua_pop(L, 1);
  return value.kind >= MP_VALUE_STRING ? value.as.text.length + 1 : 8;
}

static void fill_with_nulls(lua_State *L, int cells, int at, int count) {
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, cells, at + i);
    if (lua_isnil(L, -1)) {
      lua_pushlightuserdata(L, NULL);
      lua_rawseti(L, cells, at + i);
    }
    lua_pop(L, 1);
  }
}

/* row(cells, row, parameters, at, number): puts the values of the array `row`, in which NULLs may be missing,
   into `cells` behind the first `at`, for as many parameters. Returns about how many bytes they have. The
   number is for messages. */
static int core_row(lua_State *L) {
  int wanted = (int)luaL_checkinteger(L, 3), at = (int)luaL_checkinteger(L, 4);
  int number = (int)luaL_checkinteger(L, 5), count = 0;
  size_t size = 0;
  luaL_checktype(L, 1, LUA_TTABLE);
  if (!lua_istable(L, 2))
    return raise(L, "bad row %d (table expected, got %s)", number, luaL_typename(L, 2));
  if (is_class(L, 2, NAMED_CLASS))
    return raise(L, "bad row %d (names are for query, one, value and rows: a row is an array, for ?)",
                 number);
  lua_settop(L, 2);
  for (lua_pushnil(L); lua_next(L, 2); count++) {
    int key = check_key(L, 3, number, wanted);
    size += check_value(L, 4, (position){.row = number, .parameter = key});
    lua_rawseti(L, 1, at + key);
  }
  if (count == 0 && luaL_getmetafield(L, 2, "__index"))
    return raise(L, "bad row %d (it has no values of its own, and its metatable is not asked)", number);
  if (count < wanted)
    fill_with_nulls(L, 1, at, wanted);
  lua_pushinteger(L, (lua_Integer)size);
  return 1;
}

/* The arguments of execute_many; behind them an array that keeps the strings alive. */
enum { MANY_CELLS = 3, MANY_AT, MANY_ROWS, MANY_FIRST, MANY_KEPT };

static void read_cells(lua_State *L, connection *conn, int rows, int wanted) {
  int at = (int)luaL_checkinteger(L, MANY_AT), first = (int)luaL_checkinteger(L, MANY_FIRST);
  luaL_argcheck(L, at >= 0 && at + (uint64_t)rows * (uint64_t)wanted <= lua_rawlen(L, MANY_CELLS), MANY_ROWS,
                "too many");
  for (int i = 0; i < rows * wanted; i++) {
    position here = {.row = first + i / wanted, .parameter = 1 + i % wanted};
    lua_rawgeti(L, MANY_CELLS, at + i + 1);
    mp_value value = value_of(L, lua_gettop(L), here);
    mp_buffer_add(&conn->statement.values, (const char *)&value, sizeof value);
    keep_string(L, MANY_KEPT);
  }
}

/* execute_many(connection, number, cells, at, rows, first): so many rows of the cells that `row` filled,
   behind the first `at`; `first` is the number of their first row, for messages. */
static int core_execute_many(lua_State *L) {
  luaL_checktype(L, MANY_CELLS, LUA_TTABLE);
  int rows = (int)luaL_checkinteger(L, MANY_ROWS);
  luaL_argcheck(L, rows > 0, MANY_ROWS, "out of range");
  lua_settop(L, MANY_FIRST);
  lua_createtable(L, rows, 0); /* from here on no finalizer runs */
  connection *conn = check_held(L, "execute_many");
  uint64_t id = (uint64_t)luaL_checkinteger(L, 2);
  mp_wait wait;
  mp_error err;
  if (stream_is_open(conn))
    return busy_streaming(L, 0);
  int wanted = mp_loan_parameters(conn->loan, id);
  scrub_begin(conn);
  if (wanted > 0)
    read_cells(L, conn, rows, wanted);
  if (conn->statement.values.failed)
    return luaL_error(L, "not enough memory");
  lua_setiuservalue(L, 1, CONNECTION_KEPT);
  query_take_form(L, conn, &(result_form){.shape = SHAPE_RESULT});
  conn->statement.options = (mp_query_options){0};
  mp_status status = execute_begin(L, conn, id, (size_t)rows, &wait, &err);
  return after_call(L, conn, status, &wait, &err);
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
    {"row", core_row},
    {"execute_many", core_execute_many},
    {"parameters", core_parameters},
    {"close_prepared", core_close_prepared},
    {NULL, NULL},
};

void prepared_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
