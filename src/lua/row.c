/* One row as a Lua value. */
#include "row.h"

#include "cells.h"
#include "result.h"

static void push_of_pool(lua_State *L, int self, int value) {
  lua_getiuservalue(L, self, CONNECTION_POOL);
  lua_getiuservalue(L, -1, value);
  lua_replace(L, -2);
}

/* A single value needs no names: then nils stand for them. */
static void push_names(lua_State *L, int self, connection *conn) {
  if (conn->result.form.shape == SHAPE_VALUE) {
    lua_settop(L, lua_gettop(L) + (int)conn->result.columns);
    return;
  }
  lua_getiuservalue(L, self, CONNECTION_NAMES);
  int names = lua_gettop(L);
  for (int i = 2; i <= (int)conn->result.columns; i++)
    lua_rawgeti(L, names, i);
  lua_rawgeti(L, names, 1);
  lua_replace(L, names); /* whose place is that of the first */
}

/* Pushes the converter of a type, which is false or nil when it has none. */
static void push_converter(lua_State *L, int types, column_type column) {
  lua_rawgeti(L, types, column.sql_type);
  if (column.sql_type == MP_SQL_BOOLEAN && lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_rawgeti(L, types, column.type == MP_TYPE_BIT ? MP_SQL_BIT : MP_SQL_TINYINT);
  }
}

static void push_converters(lua_State *L, int self, connection *conn) {
  if (conn->result.form.own_types)
    lua_getiuservalue(L, self, CONNECTION_TYPES);
  else
    push_of_pool(L, self, POOL_TYPES);
  int types = lua_gettop(L);
  for (unsigned i = 1; i < conn->result.columns; i++)
    push_converter(L, types, column_types(conn)[i]);
  push_converter(L, types, column_types(conn)[0]);
  lua_replace(L, types);
}

/* Pushes what NULL becomes, then the names, then the converters. */
void row_push_names(lua_State *L, int self, connection *conn) {
  push_of_pool(L, self, POOL_NULL);
  if (conn->result.columns == 0)
    return;
  push_names(L, self, conn);
  if (conn->result.form.converting)
    push_converters(L, self, conn);
}

uint64_t row_size(const connection *conn, const mp_row *row) {
  uint64_t size = 8;
  for (unsigned i = 0; i < conn->result.columns; i++) {
    if (row->lengths)
      size += row->lengths[i];
    else
      size += row->values[i].kind == MP_VALUE_STRING ? row->values[i].as.text.length : 8;
  }
  return size;
}

/* The name of the column `i`, which stands on the stack behind `null`, but for a single value. */
static void push_name(lua_State *L, const connection *conn, int null, unsigned i) {
  lua_pushvalue(L, null + 1 + (int)i);
  if (!lua_isnil(L, -1))
    return;
  mp_column column = mp_loan_column(conn->loan, i);
  lua_pop(L, 1);
  lua_pushlstring(L, column.name, column.name_length);
}

/* Replaces the value on top by what the function makes of it, and of the column's name; one written in C gets
   no name: the second argument of tonumber is a base. What it raises is kept for later: first the result must
   be read to its end. */
static void convert(lua_State *L, connection *conn, int null, unsigned i) {
  int converter = null + 1 + (int)conn->result.columns + (int)i;
  if (conn->result.rejected || !lua_toboolean(L, converter))
    return;
  bool names = !lua_iscfunction(L, converter);
  lua_pushvalue(L, converter);
  lua_insert(L, -2);
  if (names)
    push_name(L, conn, null, i);
  conn->call.in_converter = true;
  int status = lua_pcall(L, names ? 2 : 1, 1, 0);
  conn->call.in_converter = false;
  mp_loan_took_time(conn->loan);
  if (status == LUA_OK)
    return;
  conn->result.rejected = NOT_CONVERTED;
  lua_setiuservalue(L, 1, CONNECTION_RAISED);
  lua_pushnil(L);
}

static void push_value(lua_State *L, connection *conn, const mp_row *row, unsigned i, int null) {
  mp_type type = column_types(conn)[i].type;
  if (row->values ? row->values[i].kind == MP_VALUE_NULL : !row->cells[i]) {
    lua_pushvalue(L, null);
    return;
  }
  bool is_value = row->values ? push_binary(L, type, &row->values[i])
                              : push_cell(L, type, row->cells[i], row->lengths[i]);
  if (!is_value)
    conn->result.rejected = MALFORMED;
  if (conn->result.form.converting)
    convert(L, conn, null, i);
}

static void push_array(lua_State *L, connection *conn, const mp_row *row, int null) {
  lua_createtable(L, (int)conn->result.columns, 0);
  for (unsigned i = 0; i < conn->result.columns; i++) {
    push_value(L, conn, row, i, null);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

/* The names stand on the stack behind `null`. */
static void push_record(lua_State *L, connection *conn, const mp_row *row, int null) {
  lua_createtable(L, 0, (int)conn->result.columns);
  for (unsigned i = 0; i < conn->result.columns; i++) {
    lua_pushvalue(L, null + 1 + (int)i);
    push_value(L, conn, row, i, null);
    lua_rawset(L, -3);
  }
}

void row_push(lua_State *L, connection *conn, const mp_row *row, int null) {
  if (conn->result.form.array_rows)
    push_array(L, conn, row, null);
  else
    push_record(L, conn, row, null);
}

void row_keep(lua_State *L, connection *conn, const mp_row *row, int result) {
  if (conn->result.form.shape == SHAPE_RESULT) {
    row_push(L, conn, row, result + 1);
    lua_rawseti(L, result, (int)conn->result.rows);
  } else if (conn->result.rows == 1) {
    if (conn->result.form.shape == SHAPE_VALUE)
      push_value(L, conn, row, 0, result + 1);
    else
      row_push(L, conn, row, result + 1);
    lua_replace(L, result);
  }
}
