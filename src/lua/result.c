/* A result as a Lua table: its columns, and what its metatable tells. */
#include "result.h"

#include "cells.h"
#include "types.h"

/* ---- shapes ---- */

static void describe_column(connection *conn, unsigned index) {
  mp_column column = mp_loan_column(conn->loan, index);
  mp_buffer_add(&conn->result.described, column.name, column.name_length);
  column_types(conn)[index] = (column_type){
      .type = column.type, .sql_type = column.sql_type, .name_length = (unsigned)column.name_length};
}

static void describe(connection *conn, unsigned columns) {
  mp_buffer *described = &conn->result.described;
  size_t size = columns * sizeof(column_type);
  described->length = 0;
  if (size > described->capacity && !mp_buffer_grow(described, size))
    return;
  described->length = size;
  for (unsigned i = 0; i < columns; i++)
    describe_column(conn, i);
}

static bool is_described(const connection *conn) {
  const mp_buffer *now = &conn->result.described, *before = &conn->result.described_before;
  return now->length == before->length && memcmp(now->data, before->data, now->length) == 0;
}

/* The names of the columns, behind them those of their types, and last the metatable of results without
   warnings, once there was one: in a table that lasts as long as results look the same. Most do. */
static void keep_names(lua_State *L, int self, connection *conn) {
  int columns = (int)conn->result.columns;
  if (columns == 0 || conn->result.form.shape == SHAPE_VALUE ||
      (conn->result.described_before.length > 0 && is_described(conn)))
    return;
  conn->result.described_before.length = 0;
  lua_createtable(L, 2 * columns + 1, 0);
  for (int i = 0; i < columns; i++) {
    mp_column column = mp_loan_column(conn->loan, (unsigned)i);
    lua_pushlstring(L, column.name, column.name_length);
    lua_rawseti(L, -2, i + 1);
    lua_pushstring(L, sql_type_name(column.sql_type));
    lua_rawseti(L, -2, columns + i + 1);
  }
  lua_setiuservalue(L, self, CONNECTION_NAMES);
  mp_buffer_add(&conn->result.described_before, conn->result.described.data, conn->result.described.length);
}

/* ---- what belongs to a result ---- */

/* The upvalues of result_index, the __index of a metatable. */
enum { NAMES = 1, COLUMN_COUNT, WARNING_COUNT, AFFECTED_ROWS, INSERT_ID, INFO, HELD = INFO };

/* Pushes an array of its own for whoever asks: of the names, or of the types behind them. */
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
    int upvalue;
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
    lua_pushvalue(L, lua_upvalueindex(fields[i].upvalue));
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

/* Rows without warnings have nothing to tell but their columns: such results share a metatable. */
static void push_shared_metatable(lua_State *L, const mp_summary *summary) {
  int names = lua_gettop(L), last = 2 * (int)summary->columns + 1;
  lua_rawgeti(L, names, last);
  if (lua_isnil(L, -1)) {
    lua_settop(L, names);
    lua_pushvalue(L, names);
    push_metatable(L, summary);
    lua_pushvalue(L, -1);
    lua_rawseti(L, names, last);
  }
  lua_replace(L, names);
}

/* The summary goes into the metatable of the result on top of the stack, so that a JSON encoder sees an
   array. */
static void attach_summary(lua_State *L, int self, connection *conn, const mp_summary *summary) {
  lua_getiuservalue(L, self, CONNECTION_NAMES);
  if (summary->columns > 0 && summary->warning_count == 0)
    push_shared_metatable(L, summary);
  else
    push_metatable(L, summary);
  lua_setmetatable(L, -2);
  conn->result.warnings = summary->warning_count;
}

/* Makes room on the stack for the names and the converters of the columns, and what stands on them. */
void result_check_room(lua_State *L, const connection *conn) {
  luaL_checkstack(L, 2 * (int)conn->result.columns + 16, "too many columns");
}

/* Looks at what the reply announced. */
mp_summary result_look(lua_State *L, int self, connection *conn) {
  mp_summary summary;
  mp_loan_summary(conn->loan, &summary);
  conn->result.columns = summary.columns;
  conn->result.rows = 0;
  result_check_room(L, conn);
  describe(conn, summary.columns);
  if (conn->result.described.failed)
    luaL_error(L, "not enough memory");
  keep_names(L, self, conn);
  return summary;
}

void result_push_columns(lua_State *L, int self, const connection *conn) {
  int columns = (int)conn->result.columns;
  if (columns == 0)
    return;
  lua_getiuservalue(L, self, CONNECTION_NAMES);
  int names = lua_gettop(L);
  for (int offset = 0; offset <= columns; offset += columns) {
    lua_createtable(L, columns, 0);
    for (int i = 1; i <= columns; i++) {
      lua_rawgeti(L, names, offset + i);
      lua_rawseti(L, -2, i);
    }
  }
  lua_remove(L, names);
}

/* Pushes the table that will take the rows, or nil where the first row, or its first cell, will stand. */
void result_begin(lua_State *L, int self, connection *conn) {
  mp_summary summary = result_look(L, self, conn);
  if (conn->result.form.shape != SHAPE_RESULT) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, summary.columns > 0, 0);
  attach_summary(L, self, conn, &summary);
}

/* The number of warnings is known behind the last row only. */
void result_update_warnings(lua_State *L, int self, connection *conn) {
  mp_summary summary;
  mp_loan_summary(conn->loan, &summary);
  if (conn->result.form.shape != SHAPE_RESULT || conn->result.columns == 0 ||
      summary.warning_count == conn->result.warnings)
    return;
  summary.columns = conn->result.columns;
  attach_summary(L, self, conn, &summary);
}
