#ifndef MYPOOL_LUA_ROW_H
#define MYPOOL_LUA_ROW_H

#include "binding.h"

/* Pushes what NULL becomes, then the names of the columns, then the converters. */
void row_push_names(lua_State *L, int self, connection *conn);

/* Pushes the row as a table. row_push_names has pushed its values from index `null` on. */
void row_push(lua_State *L, connection *conn, const mp_row *row, int null);

/* Puts the row, or as much of it as the shape asks for, where the result stands, with the names behind it. */
void row_keep(lua_State *L, connection *conn, const mp_row *row, int result);

/* The size of the row in bytes, as max_result_bytes counts them. */
uint64_t row_size(const connection *conn, const mp_row *row);

#endif
