/* Results as Lua tables. While rows are read the stack holds the results so far, last the one
   that grows; between two waits they are kept in a user value of the connection. */
#include "binding.h"

/* ---- shapes ---- */

static const column_type *types_of(const connection *conn) {
  return (const column_type *)(const void *)conn->types.data;
}

static void keep_types(connection *conn, unsigned columns) {
  conn->types.length = 0;
  for (unsigned i = 0; i < columns; i++) {
    mp_column column = mp_loan_column(conn->loan, i);
    column_type type = {.type = column.type, .sql_type = column.sql_type};
    mp_buffer_add(&conn->types, (const char *)&type, sizeof type);
  }
}

static void push_columns(lua_State *L, connection *conn, unsigned columns) {
  lua_createtable(L, (int)columns, 0);
  for (unsigned i = 0; i < columns; i++) {
    mp_column column = mp_loan_column(conn->loan, i);
    lua_pushlstring(L, column.name, column.name_length);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void push_column_types(lua_State *L, connection *conn) {
  lua_createtable(L, (int)conn->columns, 0);
  for (unsigned i = 0; i < conn->columns; i++) {
    lua_pushstring(L, sql_type_name(types_of(conn)[i].sql_type));
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void set_count(lua_State *L, const char *field, uint64_t count) {
  push_unsigned(L, count);
  lua_setfield(L, -2, field);
}

/* What belongs to the result goes into its metatable, so that a JSON encoder sees an array. */
static void attach_summary(lua_State *L, connection *conn, const mp_summary *summary) {
  lua_createtable(L, 0, 6);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  if (summary->columns > 0) {
    push_columns(L, conn, summary->columns);
    lua_setfield(L, -2, "columns");
    push_column_types(L, conn);
    lua_setfield(L, -2, "column_types");
  } else {
    set_count(L, "affected_rows", summary->affected_rows);
    set_count(L, "insert_id", summary->insert_id);
  }
  set_count(L, "warning_count", summary->warning_count);
  if (summary->info) {
    lua_pushstring(L, summary->info);
    lua_setfield(L, -2, "info");
  }
  lua_setmetatable(L, -2);
}

/* Looks at what the reply announced. */
static mp_summary look(lua_State *L, connection *conn) {
  mp_summary summary;
  mp_loan_summary(conn->loan, &summary);
  conn->columns = summary.columns;
  conn->rows = 0;
  luaL_checkstack(L, 2 * (int)summary.columns + 16, "too many columns");
  keep_types(conn, summary.columns);
  if (conn->types.failed)
    luaL_error(L, "not enough memory");
  return summary;
}

/* For a stream: pushes the number of columns; the rows are fetched one by one. */
static void begin_stream(lua_State *L, connection *conn) {
  lua_pushinteger(L, look(L, conn).columns);
  conn->streaming = true;
  conn->seeking = false;
}

/* Pushes the table that will take the rows. */
static void begin_result(lua_State *L, connection *conn) {
  mp_summary summary = look(L, conn);
  lua_newtable(L);
  if (conn->shape == SHAPE_RESULT)
    attach_summary(L, conn, &summary);
}

/* How many warnings there were is known behind the last row. */
static void update_warnings(lua_State *L, connection *conn) {
  mp_summary summary;
  if (conn->columns == 0 || !lua_getmetatable(L, -1))
    return;
  mp_loan_summary(conn->loan, &summary);
  set_count(L, "warning_count", summary.warning_count);
  lua_pop(L, 1);
}

static void replace_by_first(lua_State *L) {
  if (!lua_istable(L, -1))
    return;
  lua_rawgeti(L, -1, 1);
  lua_replace(L, -2);
}

/* one and value: the first row, or its first cell, instead of the table. */
static void finish_result(lua_State *L, connection *conn) {
  update_warnings(L, conn);
  if (conn->shape != SHAPE_RESULT)
    replace_by_first(L);
  if (conn->shape == SHAPE_VALUE)
    replace_by_first(L);
}

/* ---- rows ---- */

/* Pushes what NULL becomes, then the names, then the converters. */
void row_push_names(lua_State *L, int self, connection *conn) {
  lua_getiuservalue(L, self, CONNECTION_POOL);
  int pool = lua_gettop(L);
  lua_getiuservalue(L, pool, POOL_NULL);
  for (unsigned i = 0; i < conn->columns; i++) {
    mp_column column = mp_loan_column(conn->loan, i);
    lua_pushlstring(L, column.name, column.name_length);
  }
  if (conn->pool->converting) {
    lua_getiuservalue(L, pool, POOL_TYPES);
    int types = lua_gettop(L);
    for (unsigned i = 0; i < conn->columns; i++)
      lua_rawgeti(L, types, types_of(conn)[i].sql_type);
    lua_remove(L, types);
  }
  lua_remove(L, pool);
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
  if (row->values)
    push_binary(L, type, &row->values[i]);
  else
    push_cell(L, type, row->cells[i], row->lengths[i]);
  if (conn->pool->converting)
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

/* False when the result, or what is worth reading of it, is too large. */
static bool add_row(lua_State *L, connection *conn, const mp_row *row, int result) {
  if (conn->max_result_bytes > 0 && (conn->result_bytes += row_size(conn, row)) > conn->max_result_bytes) {
    lua_newtable(L); /* lets go of what there is */
    lua_replace(L, result);
    conn->rejected = TOO_LARGE;
    return conn->result_bytes - conn->max_result_bytes <= WORTH_DRAINING;
  }
  conn->rows++;
  if (conn->rejected || (conn->shape != SHAPE_RESULT && conn->rows > 1))
    return true;
  row_push(L, conn, row, result + 1);
  lua_rawseti(L, result, (int)conn->rows);
  return true;
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
static bool read_some(lua_State *L, reading *from, int result, lua_Integer count) {
  mp_row row;
  for (; count > 0; count--) {
    from->status = mp_fetch(from->conn->loan, &row, from->wait, from->err);
    if (from->status != MP_DONE || !(row.cells || row.values))
      return true;
    if (!add_row(L, from->conn, &row, result)) {
      mp_loan_lose(from->conn->loan);
      return true;
    }
  }
  return false;
}

#ifdef LUA_GCISRUNNING

/* read_many(connection, reading, result, ...) */
static int read_many(lua_State *L) {
  read_some(L, lua_touserdata(L, 2), 3, LUA_MAXINTEGER);
  return 0;
}

/* A collector at work would look at the growing table again and again, and find nothing to collect.
   So it rests, and makes up for it in the end. Whatever is raised meanwhile, it must go on. */
static void read_all(lua_State *L, int self, reading *from, int result) {
  int count = lua_gettop(L) - result + 1;
  luaL_checkstack(L, count + 8, "too many columns");
  lua_pushcfunction(L, read_many);
  lua_pushvalue(L, self);
  lua_pushlightuserdata(L, from);
  for (int i = 0; i < count; i++)
    lua_pushvalue(L, result + i);
  int before_kb = lua_gc(L, LUA_GCCOUNT, 0);
  lua_gc(L, LUA_GCSTOP, 0);
  int status = lua_pcall(L, count + 2, 0, 0);
  lua_gc(L, LUA_GCRESTART, 0);
  int grown_kb = lua_gc(L, LUA_GCCOUNT, 0) - before_kb;
  if (status != LUA_OK)
    lua_error(L);
  if (grown_kb > 0)
    lua_gc(L, LUA_GCSTEP, grown_kb);
}

#endif

enum { MANY_ROWS = 200 };

static mp_status read_rows(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  reading from = {.conn = conn, .wait = wait, .err = err};
  int result = lua_gettop(L);
  row_push_names(L, self, conn);
#ifdef LUA_GCISRUNNING
  if (!read_some(L, &from, result, MANY_ROWS)) {
    if (lua_gc(L, LUA_GCISRUNNING, 0))
      read_all(L, self, &from, result);
    else
      read_some(L, &from, result, LUA_MAXINTEGER);
  }
#else
  while (!read_some(L, &from, result, MANY_ROWS))
    ;
#endif
  lua_settop(L, result);
  return from.status;
}

/* Ends a statement whose results were read and are not returned. */
int results_refuse(lua_State *L, connection *conn, mp_error *err) {
  bool raised = conn->rejected == NOT_CONVERTED;
  conn->rejected = NOT_REJECTED;
  conn->activity = IDLE;
  if (raised) {
    lua_getiuservalue(L, 1, CONNECTION_RAISED);
    lua_pushnil(L);
    lua_setiuservalue(L, 1, CONNECTION_RAISED);
    connection_settle(L, conn);
    return lua_error(L);
  }
  *err = (mp_error){.executed = MP_EXECUTED_YES, .fatal = mp_loan_id(conn->loan) == 0};
  mp_fail(err, MP_ERR_PROTOCOL, 0, "the result exceeds max_result_bytes (%llu)",
          (unsigned long long)conn->max_result_bytes);
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
  luaL_checkstack(L, count + 4, "too many results");
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
    begin_stream(L, conn);
    return MP_DONE;
  }
  while (status == MP_DONE) {
    bool more = true;
    if (conn->activity == SEEKING_RESULT)
      status = mp_next_result(conn->loan, &more, wait, err);
    if (!more)
      break;
    if (status == MP_DONE && conn->activity != READING_ROWS) {
      begin_result(L, conn);
      conn->activity = READING_ROWS;
    }
    if (conn->activity != READING_ROWS)
      break;
    status = read_rows(L, self, conn, wait, err);
    if (status == MP_DONE && conn->rejected && mp_loan_id(conn->loan) == 0)
      break;
    if (status == MP_DONE) {
      finish_result(L, conn);
      conn->results++;
      conn->activity = SEEKING_RESULT;
    }
  }
  return status;
}
