#ifndef MYPOOL_LUA_RESULT_H
#define MYPOOL_LUA_RESULT_H

#include "binding.h"

/* The types of the columns of the current result. */
static inline column_type *column_types(const connection *conn) {
  return (column_type *)(void *)conn->result.described.data;
}

/* True when the last fetch gave a row: else it has found the end of the result. */
static inline bool result_has_row(const connection *conn) {
  return conn->result.row.cells || conn->result.row.values;
}

/* Makes room on the stack for the names and the converters of the columns, and what stands on them. */
void result_check_room(lua_State *L, const connection *conn);

/* Looks at what the reply announced. */
mp_summary result_look(lua_State *L, int self, connection *conn);

/* Pushes arrays of the columns' names and of those of their types; nothing for a result without columns. */
void result_push_columns(lua_State *L, int self, const connection *conn);

/* Pushes the table that will take the rows, or nil where the first row, or its first cell, will stand. */
void result_begin(lua_State *L, int self, connection *conn);

/* Behind the last row, when it is known how many warnings there were. The result is on top of the stack. */
void result_update_warnings(lua_State *L, int self, connection *conn);

#endif
