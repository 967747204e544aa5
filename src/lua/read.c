/* Results as Lua tables. While rows are read the stack holds the results so far, last the one
   that grows; between two waits they are kept in a user value of the connection. */
#include "binding.h"

/* ---- shapes ---- */

static column_type *types_of(const connection *conn) {
  return (column_type *)(void *)conn->described.data;
}

static void describe_column(connection *conn, unsigned index) {
  mp_column column = mp_loan_column(conn->loan, index);
  mp_buffer_add(&conn->described, column.name, column.name_length);
  types_of(conn)[index] = (column_type){
      .type = column.type, .sql_type = column.sql_type, .name_length = (unsigned)column.name_length};
}

static void describe(connection *conn, unsigned columns) {
  mp_buffer *described = &conn->described;
  size_t size = columns * sizeof(column_type);
  described->length = 0;
  if (size > described->capacity && !mp_buffer_grow(described, size))
    return;
  described->length = size;
  for (unsigned i = 0; i < columns; i++)
    describe_column(conn, i);
}

static bool is_described(const connection *conn) {
  const mp_buffer *now = &conn->described, *before = &conn->described_before;
  return now->length == before->length && memcmp(now->data, before->data, now->length) == 0;
}

/* The names of the columns, behind them those of their types, and last the metatable of results without
   warnings, once there was one: in a table that lasts as long as results look the same. Most do. */
static void keep_names(lua_State *L, int self, connection *conn) {
  int columns = (int)conn->columns;
  if (columns == 0 || conn->shape == SHAPE_VALUE || (conn->described_before.length > 0 && is_described(conn)))
    return;
  conn->described_before.length = 0;
  lua_createtable(L, 2 * columns + 1, 0);
  for (int i = 0; i < columns; i++) {
    mp_column column = mp_loan_column(conn->loan, (unsigned)i);
    lua_pushlstring(L, column.name, column.name_length);
    lua_rawseti(L, -2, i + 1);
    lua_pushstring(L, sql_type_name(column.sql_type));
    lua_rawseti(L, -2, columns + i + 1);
  }
  lua_setiuservalue(L, self, CONNECTION_NAMES);
  mp_buffer_add(&conn->described_before, conn->described.data, conn->described.length);
}

/* ---- what belongs to a result ---- */

/* What the function of a metatable holds. */
enum { NAMES = 1, COLUMN_COUNT, WARNING_COUNT, AFFECTED_ROWS, INSERT_ID, INFO, HELD = INFO };

/* An array of its own for whoever asks: from the names, or from the types behind them. */
static int push_array_of(lua_State *L, int offset) {
  int count = (int)lua_tointeger(L, lua_upvalueindex(COLUMN_COUNT));
  if (count == 0)
    return 0;
  lua_createtable(L, count, 0);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, lua_upvalueindex(NAMES), i + offset * count);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

/* result.columns, and so on. */
static int result_index(lua_State *L) {
  static const struct {
    const char *name;
    int place;
  } fields[] = {{"warning_count", WARNING_COUNT},
                {"affected_rows", AFFECTED_ROWS},
                {"insert_id", INSERT_ID},
                {"info", INFO}};
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(name, "columns") == 0)
    return push_array_of(L, 0);
  if (strcmp(name, "column_types") == 0)
    return push_array_of(L, 1);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (strcmp(name, fields[i].name) != 0)
      continue;
    lua_pushvalue(L, lua_upvalueindex(fields[i].place));
    return 1;
  }
  return 0;
}

static void push_change(lua_State *L, const mp_summary *summary) {
  push_unsigned(L, summary->affected_rows);
  push_unsigned(L, summary->insert_id);
  if (summary->info)
    lua_pushstring(L, summary->info);
  else
    lua_pushnil(L);
}

/* The names stand on top of the stack, and are taken. */
static void push_metatable(lua_State *L, const mp_summary *summary) {
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  lua_pushinteger(L, summary->columns);
  lua_pushinteger(L, summary->warning_count);
  if (summary->columns > 0)
    lua_settop(L, lua_gettop(L) + 3);
  else
    push_change(L, summary);
  lua_pushcclosure(L, result_index, HELD);
  lua_setfield(L, -2, "__index");
}

/* Of rows without warnings there is nothing to tell but their columns: such results share it. */
static void push_shared_metatable(lua_State *L, const mp_summary *summary) {
  int names = lua_gettop(L), place = 2 * (int)summary->columns + 1;
  lua_rawgeti(L, names, place);
  if (lua_isnil(L, -1)) {
    lua_settop(L, names);
    lua_pushvalue(L, names);
    push_metatable(L, summary);
    lua_pushvalue(L, -1);
    lua_rawseti(L, names, place);
  }
  lua_replace(L, names);
}

/* It goes into the metatable of the result on top of the stack, so that a JSON encoder sees an array. */
static void attach_summary(lua_State *L, int self, connection *conn, const mp_summary *summary) {
  lua_getiuservalue(L, self, CONNECTION_NAMES);
  if (summary->columns > 0 && summary->warning_count == 0)
    push_shared_metatable(L, summary);
  else
    push_metatable(L, summary);
  lua_setmetatable(L, -2);
  conn->warnings = summary->warning_count;
}

/* For the names and the converters of the columns, and what stands on them. */
static void check_room(lua_State *L, const connection *conn) {
  luaL_checkstack(L, 2 * (int)conn->columns + 16, "too many columns");
}

/* Looks at what the reply announced. */
static mp_summary look(lua_State *L, int self, connection *conn) {
  mp_summary summary;
  mp_loan_summary(conn->loan, &summary);
  conn->columns = summary.columns;
  conn->rows = 0;
  check_room(L, conn);
  describe(conn, summary.columns);
  if (conn->described.failed)
    luaL_error(L, "not enough memory");
  keep_names(L, self, conn);
  return summary;
}

/* For a stream: pushes the number of columns; the rows are fetched one by one. */
static void begin_stream(lua_State *L, int self, connection *conn) {
  lua_pushinteger(L, look(L, self, conn).columns);
  conn->streaming = true;
  conn->seeking = false;
}

/* Pushes the table that will take the rows, or nil where the first row, or its first cell, will stand. */
static void begin_result(lua_State *L, int self, connection *conn) {
  mp_summary summary = look(L, self, conn);
  if (conn->shape != SHAPE_RESULT) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, summary.columns > 0, 0);
  attach_summary(L, self, conn, &summary);
}

/* How many warnings there were is known behind the last row. */
static void update_warnings(lua_State *L, int self, connection *conn) {
  mp_summary summary;
  mp_loan_summary(conn->loan, &summary);
  if (conn->shape != SHAPE_RESULT || conn->columns == 0 || summary.warning_count == conn->warnings)
    return;
  summary.columns = conn->columns;
  attach_summary(L, self, conn, &summary);
}

/* ---- rows ---- */

static void push_of_pool(lua_State *L, int self, int value) {
  lua_getiuservalue(L, self, CONNECTION_POOL);
  lua_getiuservalue(L, -1, value);
  lua_replace(L, -2);
}

/* A single value needs none: then there are nils. */
static void push_names(lua_State *L, int self, connection *conn) {
  if (conn->shape == SHAPE_VALUE) {
    lua_settop(L, lua_gettop(L) + (int)conn->columns);
    return;
  }
  lua_getiuservalue(L, self, CONNECTION_NAMES);
  int names = lua_gettop(L);
  for (int i = 2; i <= (int)conn->columns; i++)
    lua_rawgeti(L, names, i);
  lua_rawgeti(L, names, 1);
  lua_replace(L, names); /* whose place is that of the first */
}

static void push_converters(lua_State *L, int self, connection *conn) {
  push_of_pool(L, self, POOL_TYPES);
  int types = lua_gettop(L);
  for (unsigned i = 1; i < conn->columns; i++)
    lua_rawgeti(L, types, types_of(conn)[i].sql_type);
  lua_rawgeti(L, types, types_of(conn)[0].sql_type);
  lua_replace(L, types);
}

/* Pushes what NULL becomes, then the names, then the converters. */
void row_push_names(lua_State *L, int self, connection *conn) {
  push_of_pool(L, self, POOL_NULL);
  if (conn->columns == 0)
    return;
  push_names(L, self, conn);
  if (conn->converting)
    push_converters(L, self, conn);
}

uint64_t row_size(const connection *conn, const mp_row *row) {
  uint64_t size = 8;
  for (unsigned i = 0; i < conn->columns; i++) {
    if (row->lengths)
      size += row->lengths[i];
    else
      size += row->values[i].kind == MP_VALUE_STRING ? row->values[i].as.text.length : 8;
  }
  return size;
}

/* Replaces the value on top by what the function makes of it. What that raises is kept for later:
   first the result must be read to its end. */
static void convert(lua_State *L, connection *conn, int converter) {
  if (conn->rejected || lua_isnil(L, converter))
    return;
  lua_pushvalue(L, converter);
  lua_insert(L, -2);
  conn->in_converter = true;
  int status = lua_pcall(L, 1, 1, 0);
  conn->in_converter = false;
  mp_loan_took_time(conn->loan);
  if (status == LUA_OK)
    return;
  conn->rejected = NOT_CONVERTED;
  lua_setiuservalue(L, 1, CONNECTION_RAISED);
  lua_pushnil(L);
}

static void push_value(lua_State *L, connection *conn, const mp_row *row, unsigned i, int null) {
  mp_type type = types_of(conn)[i].type;
  if (row->values ? row->values[i].kind == MP_VALUE_NULL : !row->cells[i]) {
    lua_pushvalue(L, null);
    return;
  }
  bool is_value = row->values ? push_binary(L, type, &row->values[i])
                              : push_cell(L, type, row->cells[i], row->lengths[i]);
  if (!is_value)
    conn->rejected = MALFORMED;
  if (conn->converting)
    convert(L, conn, null + 1 + (int)conn->columns + (int)i);
}

static void push_array(lua_State *L, connection *conn, const mp_row *row, int null) {
  lua_createtable(L, (int)conn->columns, 0);
  for (unsigned i = 0; i < conn->columns; i++) {
    push_value(L, conn, row, i, null);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

/* The names stand on the stack behind `null`. */
static void push_record(lua_State *L, connection *conn, const mp_row *row, int null) {
  lua_createtable(L, 0, (int)conn->columns);
  for (unsigned i = 0; i < conn->columns; i++) {
    lua_pushvalue(L, null + 1 + (int)i);
    push_value(L, conn, row, i, null);
    lua_rawset(L, -3);
  }
}

void row_push(lua_State *L, connection *conn, const mp_row *row, int null) {
  if (conn->array_rows)
    push_array(L, conn, row, null);
  else
    push_record(L, conn, row, null);
}

static void keep_row(lua_State *L, connection *conn, const mp_row *row, int result) {
  if (conn->shape == SHAPE_RESULT) {
    row_push(L, conn, row, result + 1);
    lua_rawseti(L, result, (int)conn->rows);
  } else if (conn->rows == 1) {
    if (conn->shape == SHAPE_VALUE)
      push_value(L, conn, row, 0, result + 1);
    else
      row_push(L, conn, row, result + 1);
    lua_replace(L, result);
  }
}

/* False when the rest is not worth reading: the result is too large, or there is no trust in what follows. */
static bool add_row(lua_State *L, connection *conn, const mp_row *row, int result) {
  if (conn->max_result_bytes > 0 && (conn->result_bytes += row_size(conn, row)) > conn->max_result_bytes) {
    lua_newtable(L); /* lets go of what there is */
    lua_replace(L, result);
    conn->rejected = TOO_LARGE;
    return conn->result_bytes - conn->max_result_bytes <= WORTH_DRAINING;
  }
  conn->rows++;
  if (!conn->rejected)
    keep_row(L, conn, row, result);
  return conn->rejected != MALFORMED;
}

/* What reading the rows of a result needs. Their table stands at `result`, behind it what
   row_push_names pushes. */
typedef struct reading {
  connection *conn;
  mp_wait *wait;
  mp_error *err;
  mp_status status;
} reading;

/* Reads up to so many rows; false when there are more. */
static bool read_some(lua_State *L, reading *from, int result, long long count) {
  mp_row row;
  for (; count > 0; count--) {
    from->status = mp_loan_fetch(from->conn->loan, &row, from->wait, from->err);
    if (from->status != MP_DONE || !(row.cells || row.values))
      return true;
    if (!add_row(L, from->conn, &row, result)) {
      mp_loan_lose(from->conn->loan);
      return true;
    }
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

/* The collector rests. Whatever is raised meanwhile, it must go on. */
static void read_all(lua_State *L, int self, reading *from, int result) {
  int count = lua_gettop(L) - result + 1;
  luaL_checkstack(L, count + 8, "too many columns");
  lua_pushcfunction(L, read_many);
  lua_pushvalue(L, self);
  lua_pushlightuserdata(L, from);
  for (int i = 0; i < count; i++)
    lua_pushvalue(L, result + i);
  int before_kb = collector_stop(L, from->conn->pool, from->conn->rows <= MANY_ROWS);
  int status = lua_pcall(L, count + 2, 0, 0);
  collector_go_on(L, from->conn->pool, before_kb);
  if (status != LUA_OK)
    lua_error(L);
}

#endif

/* What these throw away is garbage at once, and may be many times the rows: the collector must go on. */
static bool runs_converters(lua_State *L, const connection *conn, int result) {
  bool found = false;
  for (int i = 0; conn->converting && !found && i < (int)conn->columns; i++)
    found = !lua_isnil(L, result + 2 + (int)conn->columns + i);
  return found;
}

static mp_status read_rows(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  reading from = {.conn = conn, .wait = wait, .err = err};
  int result = lua_gettop(L);
  check_room(L, conn); /* after a wait the stack may be another one, or has shrunk */
  row_push_names(L, self, conn);
#ifdef LUA_GCISRUNNING
  if (conn->rows > MANY_ROWS || !read_some(L, &from, result, MANY_ROWS)) {
    if (lua_gc(L, LUA_GCISRUNNING, 0) && !runs_converters(L, conn, result))
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
            (unsigned long long)conn->max_result_bytes);
}

/* Ends a statement whose results were read and are not returned. */
int results_refuse(lua_State *L, connection *conn, mp_error *err) {
  rejection why = conn->rejected;
  conn->rejected = NOT_REJECTED;
  conn->activity = IDLE;
  conn->in_hand = false;
  if (why == NOT_CONVERTED) {
    lua_getiuservalue(L, 1, CONNECTION_RAISED);
    lua_pushnil(L);
    lua_setiuservalue(L, 1, CONNECTION_RAISED);
    connection_settle(L, conn);
    return lua_error(L);
  }
  if (why == MALFORMED)
    mp_loan_lose(conn->loan);
  describe_rejection(conn, why, err);
  lua_pushnil(L);
  return 1 + push_failure(L, err);
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
  int count = conn->results + (conn->activity == READING_ROWS);
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

/* Takes a query that has been answered through its rows and further results. On the stack are
   the results so far; in the end all of them. */
mp_status results_read(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  mp_status status = MP_DONE;
  if (conn->shape == SHAPE_STREAM) {
    begin_stream(L, self, conn);
    return MP_DONE;
  }
  while (status == MP_DONE) {
    bool more = true;
    if (conn->activity == SEEKING_RESULT)
      status = mp_loan_next_result(conn->loan, &more, wait, err);
    if (!more)
      break;
    if (status == MP_DONE && conn->activity != READING_ROWS) {
      begin_result(L, self, conn);
      conn->activity = READING_ROWS;
    }
    if (conn->activity != READING_ROWS)
      break;
    status = read_rows(L, self, conn, wait, err);
    if (status == MP_DONE && conn->rejected && mp_loan_id(conn->loan) == 0)
      break;
    if (status == MP_DONE) {
      update_warnings(L, self, conn);
      conn->results++;
      conn->activity = SEEKING_RESULT;
    }
  }
  return status;
}
