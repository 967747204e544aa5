/* The rows of execute_many that travel together. A batch has a copy of their values, as the program may use
   its tables again: as the binary protocol has them, and as Lua has them where they go another way. */
#include "bulk.h"

#include "call.h"
#include "class.h"
#include "connection.h"
#include "error.h"
#include "execute.h"
#include "place.h"
#include "query.h"
#include "scrub.h"
#include "step.h"
#include "stream.h"
#include "value.h"

/* So much travels together: enough to hide the round trip, little enough for max_allowed_packet. */
enum { MOST_ROWS = 1000, MOST_VALUES = 128 * 1024, MOST_BYTES = 1024 * 1024, LEAST_ROOM = 16 };

static const char BATCH_CLASS[] = "mypool.batch";

/* Its user value is the array of Lua's values, row behind row, which keeps their strings alive. */
typedef struct batch {
  leftover self;     /* first; in no list */
  lua_Integer first; /* number of its first row */
  int parameters;    /* of a row */
  int rows, room;
  size_t bytes;      /* about so many */
  mp_value values[]; /* room for so many rows */
} batch;

static batch *check_batch(lua_State *L, int index) {
  batch *of = test_class(L, index, BATCH_CLASS);
  luaL_argcheck(L, of, index, "batch expected");
  return of;
}

/* For so many rows, or for as many as may travel together. */
static int room_for(lua_Integer rows, int parameters) {
  int most = MOST_VALUES / parameters < MOST_ROWS ? MOST_VALUES / parameters : MOST_ROWS;
  if (rows > most)
    rows = most;
  return rows > 1 ? (int)rows : 1;
}

static bool is_full(const batch *of) {
  return of->rows == room_for(MOST_ROWS, of->parameters) || of->bytes >= MOST_BYTES;
}

/* Pushes a batch without rows, and without its user value. */
static batch *new_batch(lua_State *L, int parameters, int room) {
  size_t values = (size_t)parameters * (size_t)room;
  batch *made = lua_newuserdatauv(L, sizeof *made + values * sizeof *made->values, 1);
  *made = (batch){.self.class = BATCH_CLASS, .parameters = parameters, .room = room};
  return made;
}

/* Pushes one with more room, for the rows of the batch at index 1, and takes its user value. */
static batch *grow(lua_State *L, const batch *from) {
  batch *grown = new_batch(L, from->parameters, room_for((lua_Integer)from->room * 4, from->parameters));
  memcpy(grown->values, from->values, (size_t)from->rows * (size_t)from->parameters * sizeof *from->values);
  grown->first = from->first;
  grown->rows = from->rows;
  grown->bytes = from->bytes;
  lua_getiuservalue(L, 1, 1);
  lua_setiuservalue(L, -2, 1);
  return grown;
}

/* batch(parameters, first, rows): an empty batch, which begins with the row of number `first`, for so many
   rows; without `rows` for any number. */
static int core_batch(lua_State *L) {
  int parameters = (int)luaL_checkinteger(L, 1);
  lua_Integer first = luaL_checkinteger(L, 2), rows = luaL_optinteger(L, 3, LEAST_ROOM);
  luaL_argcheck(L, parameters > 0, 1, "out of range");
  batch *made = new_batch(L, parameters, room_for(rows, parameters));
  made->first = first;
  lua_createtable(L, parameters * made->room, 0);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

/* ---- its rows ---- */

static int raise_key(lua_State *L, lua_Integer number, int key) {
  enum { LONGEST = 60 };
  if (lua_type(L, key) != LUA_TSTRING)
    return raise(L, "bad row %d (a row is an array; this one has a %s as a key)", (int)number,
                 luaL_typename(L, key));
  size_t length;
  const char *name = lua_tolstring(L, key, &length);
  lua_pushlstring(L, name, text_cut(name, length, LONGEST));
  return raise(L, "bad row %d (a row is an array; this one has the key '%s')", (int)number,
               lua_tostring(L, -1));
}

/* The position that the key at this index stands for. */
static int check_key(lua_State *L, int index, lua_Integer number, int wanted) {
  lua_Integer key = lua_isinteger(L, index) ? lua_tointeger(L, index) : 0;
  if (key >= 1 && key <= wanted)
    return (int)key;
  if (key < 1)
    raise_key(L, number, index);
  else
    raise(L, "bad row %d (the statement has %d parameters, got a value for number %d)", (int)number, wanted,
          (int)(key < INT_MAX ? key : INT_MAX));
  return 0;
}

static void check_row(lua_State *L, int row, lua_Integer number) {
  if (!lua_istable(L, row))
    raise(L, "bad row %d (table expected, got %s)", (int)number, luaL_typename(L, row));
  if (is_class(L, row, NAMED_CLASS))
    raise(L, "bad row %d (names are for query, one, value and rows: a row is an array, for ?)", (int)number);
}

/* Puts a mypool.binary of our own in the place of the program's, which may change. */
static mp_value copy_binary(lua_State *L, value_position at) {
  int index = lua_gettop(L);
  mp_value value = value_read(L, index, at);
  lua_createtable(L, 1, 0);
  lua_insert(L, index);
  lua_rawseti(L, index, 1);
  push_class(L, BINARY_CLASS);
  lua_setmetatable(L, index);
  return value;
}

/* The value on top of the stack. */
static mp_value take_value(lua_State *L, value_position at) {
  return lua_type(L, -1) == LUA_TTABLE ? copy_binary(L, at) : value_read(L, lua_gettop(L), at);
}

/* The values that the row does not have, of those behind the first `before` cells. */
static void fill_with_nulls(lua_State *L, int cells, int before, mp_value *values, int wanted) {
  for (int i = 1; i <= wanted; i++) {
    lua_rawgeti(L, cells, before + i);
    if (lua_isnil(L, -1)) {
      lua_pushlightuserdata(L, NULL);
      lua_rawseti(L, cells, before + i);
      values[i - 1] = (mp_value){.kind = MP_VALUE_NULL};
    }
    lua_pop(L, 1);
  }
}

/* Adds the array at index `row`, in which NULLs may be missing. */
static void add_row(lua_State *L, batch *to, int cells, int row) {
  lua_Integer number = to->first + to->rows;
  int before = to->rows * to->parameters, count = 0;
  mp_value *values = to->values + before;
  check_row(L, row, number);
  for (lua_pushnil(L); lua_next(L, row); count++) {
    int key = check_key(L, lua_gettop(L) - 1, number, to->parameters);
    mp_value value = take_value(L, (value_position){.row = number, .parameter = key});
    to->bytes += value.kind >= MP_VALUE_STRING ? value.as.text.length + 1 : 8;
    values[key - 1] = value;
    lua_rawseti(L, cells, before + key);
  }
  if (count == 0 && luaL_getmetafield(L, row, "__index"))
    raise(L, "bad row %d (it has no values of its own, and its metatable is not asked)", (int)number);
  if (count < to->parameters)
    fill_with_nulls(L, cells, before, values, to->parameters);
  to->rows++;
}

/* batch_add(batch, row): the batch with this row, which may be another one, and whether it is full. */
static int core_batch_add(lua_State *L) {
  batch *to = check_batch(L, 1);
  lua_settop(L, 2);
  luaL_argcheck(L, !is_full(to), 1, "full");
  if (to->rows == to->room) {
    to = grow(L, to);
    lua_replace(L, 1);
  }
  lua_getiuservalue(L, 1, 1);
  add_row(L, to, 3, 2);
  lua_pushvalue(L, 1);
  lua_pushboolean(L, is_full(to));
  return 2;
}

/* batch_fill(batch, rows): takes those rows that come next of an array without a metatable, until there is no
   room for more. Returns how many the batch has. */
static int core_batch_fill(lua_State *L) {
  batch *to = check_batch(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_getiuservalue(L, 1, 1);
  while (to->rows < to->room && !is_full(to)) {
    lua_rawgeti(L, 2, (int)to->first + to->rows);
    add_row(L, to, 3, 4);
    lua_settop(L, 3);
  }
  lua_pushinteger(L, to->rows);
  return 1;
}

/* batch_row(batch, number): the values of this row of the batch, counted from 1. */
static int core_batch_row(lua_State *L) {
  const batch *of = check_batch(L, 1);
  int number = (int)luaL_checkinteger(L, 2), count = of->parameters;
  luaL_argcheck(L, number >= 1 && number <= of->rows, 2, "out of range");
  luaL_checkstack(L, count + 4, "too many parameters");
  lua_getiuservalue(L, 1, 1);
  int cells = lua_gettop(L);
  for (int i = 1; i <= count; i++)
    lua_rawgeti(L, cells, (number - 1) * count + i);
  return count;
}

/* length(rows): how many rows an array has that has neither holes, other keys nor a metatable; else nil. */
static int core_length(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer length = (lua_Integer)lua_rawlen(L, 1), count = 0;
  if (lua_getmetatable(L, 1))
    return 0;
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    if (key < 1 || key > length)
      return 0;
    count++;
  }
  if (count < length)
    return 0;
  lua_pushinteger(L, length);
  return 1;
}

/* ---- their execution ---- */

enum { MANY_BATCH = 3, MANY_SKIPPED, MANY_ROWS };

/* execute_many(connection, number, batch, skipped, rows): so many rows of the batch, behind the first
   `skipped`. */
static int core_execute_many(lua_State *L) {
  const batch *of = check_batch(L, MANY_BATCH);
  lua_Integer skipped = luaL_checkinteger(L, MANY_SKIPPED), rows = luaL_checkinteger(L, MANY_ROWS);
  luaL_argcheck(L, skipped >= 0 && rows > 0 && skipped + rows <= of->rows, MANY_ROWS, "out of range");
  connection *conn = check_held(L, "execute_many");
  uint64_t id = (uint64_t)luaL_checkinteger(L, 2);
  mp_wait wait;
  mp_error err;
  if (stream_is_open(conn))
    return busy_streaming(L, 0);
  scrub_begin(conn);
  if (mp_loan_parameters(conn->loan, id) == of->parameters)
    mp_buffer_add(&conn->statement.values, (const char *)(of->values + skipped * of->parameters),
                  (size_t)(rows * of->parameters) * sizeof *of->values);
  if (conn->statement.values.failed)
    return luaL_error(L, "not enough memory");
  lua_getiuservalue(L, MANY_BATCH, 1);
  lua_setiuservalue(L, 1, CONNECTION_KEPT);
  query_take_form(L, conn, &(result_form){.shape = SHAPE_RESULT});
  conn->statement.options = (mp_query_options){0};
  mp_status status = execute_begin(L, conn, id, (size_t)rows, &wait, &err);
  return after_call(L, conn, status, &wait, &err);
}

static const luaL_Reg functions[] = {
    {"batch", core_batch},
    {"batch_add", core_batch_add},
    {"batch_fill", core_batch_fill},
    {"batch_row", core_batch_row},
    {"length", core_length},
    {"execute_many", core_execute_many},
    {NULL, NULL},
};

void bulk_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
