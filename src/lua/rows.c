/* Results as Lua tables. While rows are read the stack holds the results so far, last the one
   that grows; between two waits they are kept in a user value of the connection. */
#include "binding.h"

/* ---- shapes ---- */

static void keep_types(connection *conn, unsigned columns) {
  conn->types.length = 0;
  for (unsigned i = 0; i < columns; i++) {
    mp_type type = mp_loan_column(conn->loan, i).type;
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

static void set_count(lua_State *L, const char *field, uint64_t count) {
  char text[24];
  int length = snprintf(text, sizeof text, "%llu", (unsigned long long)count);
  push_cell(L, MP_TYPE_UNSIGNED, text, (size_t)length);
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
  luaL_checkstack(L, (int)summary.columns + 8, "too many columns");
  keep_types(conn, summary.columns);
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

/* Pushes what NULL becomes, then the names. */
void row_push_names(lua_State *L, int self, connection *conn) {
  lua_getiuservalue(L, self, CONNECTION_POOL);
  lua_getiuservalue(L, -1, POOL_NULL);
  lua_replace(L, -2);
  for (unsigned i = 0; i < conn->columns; i++) {
    mp_column column = mp_loan_column(conn->loan, i);
    lua_pushlstring(L, column.name, column.name_length);
  }
}

static void push_value(lua_State *L, connection *conn, const mp_row *row, unsigned i, int null) {
  const mp_type *types = (const mp_type *)(const void *)conn->types.data;
  if (row->values)
    push_binary(L, types[i], &row->values[i], null);
  else if (row->cells[i])
    push_cell(L, types[i], row->cells[i], row->lengths[i]);
  else
    lua_pushvalue(L, null);
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

static void add_row(lua_State *L, connection *conn, const mp_row *row, int result) {
  conn->rows++;
  if (conn->shape != SHAPE_RESULT && conn->rows > 1)
    return;
  row_push(L, conn, row, result + 1);
  lua_rawseti(L, result, (int)conn->rows);
}

static mp_status read_rows(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err) {
  int result = lua_gettop(L);
  mp_row row;
  mp_status status;
  row_push_names(L, self, conn);
  while ((status = mp_fetch(conn->loan, &row, wait, err)) == MP_DONE && (row.cells || row.values))
    add_row(L, conn, &row, result);
  lua_settop(L, result);
  return status;
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
    if (status == MP_DONE) {
      finish_result(L, conn);
      conn->results++;
      conn->activity = SEEKING_RESULT;
    }
  }
  return status;
}
