/* Bulk execution: a prepared statement for many rows at once, by array binding (MariaDB
   Connector/C, "Bulk Insert (Column-wise Binding)"). All values of a column go as one type, the
   widest that a row needs; NULL is an indicator beside the value. */
#include "bulk.h"

#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_ROOM = MP_FLOAT_ROOM };

/* Values of a column are `stride` apart. */
typedef struct bulk_column {
  const mp_value *first;
  size_t stride, rows;
} bulk_column;

static const mp_value *cell(const bulk_column *column, size_t row) {
  return &column->first[row * column->stride];
}

/* Beyond, a double cannot tell an integer from its neighbours. */
static bool is_exact_as_double(const mp_value *value) {
  const int64_t limit = INT64_C(1) << 53;
  return value->kind != MP_VALUE_INTEGER || (value->as.integer >= -limit && value->as.integer <= limit);
}

/* Large integers beside floats go as text, so that all stay exact. */
static mp_value_kind widest(const bulk_column *column) {
  mp_value_kind kind = MP_VALUE_INTEGER;
  bool exact = true;
  for (size_t row = 0; row < column->rows; row++) {
    const mp_value *value = cell(column, row);
    exact &= is_exact_as_double(value);
    if (value->kind > kind)
      kind = value->kind;
  }
  return kind == MP_VALUE_FLOAT && !exact ? MP_VALUE_STRING : kind;
}

/* One block of memory for each column, so that there is one thing to free. */
static void *reserve(MYSQL_BIND *bind, size_t rows, size_t per_row) {
  char *block = calloc(rows, per_row + 1);
  bind->buffer = block;
  bind->u.indicator = block ? block + rows * per_row : NULL;
  return block;
}

static void note_nulls(MYSQL_BIND *bind, const bulk_column *column) {
  for (size_t row = 0; row < column->rows; row++)
    bind->u.indicator[row] =
        cell(column, row)->kind == MP_VALUE_NULL ? STMT_INDICATOR_NULL : STMT_INDICATOR_NONE;
}

static bool bind_integers(MYSQL_BIND *bind, const bulk_column *column) {
  int64_t *values = reserve(bind, column->rows, sizeof *values);
  if (!values)
    return false;
  bind->buffer_type = MYSQL_TYPE_LONGLONG;
  for (size_t row = 0; row < column->rows; row++)
    values[row] = cell(column, row)->as.integer;
  return true;
}

static double as_double(const mp_value *value) {
  return value->kind == MP_VALUE_INTEGER ? (double)value->as.integer : value->as.number;
}

static bool bind_doubles(MYSQL_BIND *bind, const bulk_column *column) {
  double *values = reserve(bind, column->rows, sizeof *values);
  if (!values)
    return false;
  bind->buffer_type = MYSQL_TYPE_DOUBLE;
  for (size_t row = 0; row < column->rows; row++)
    values[row] = as_double(cell(column, row));
  return true;
}

/* A number among strings becomes one, in the place that its row has for it. */
static void set_string(const mp_value *value, char *room, const char **bytes, unsigned long *length) {
  *bytes = room;
  if (value->kind == MP_VALUE_INTEGER) {
    *length = (unsigned long)snprintf(room, NUMBER_ROOM, "%lld", (long long)value->as.integer);
  } else if (value->kind == MP_VALUE_FLOAT) {
    *length = (unsigned long)mp_write_float(room, value->as.number);
  } else if (value->kind != MP_VALUE_NULL) {
    *bytes = value->as.text.bytes;
    *length = (unsigned long)value->as.text.length;
  }
}

static bool bind_strings(MYSQL_BIND *bind, const bulk_column *column, bool binary) {
  size_t rows = column->rows;
  const char **strings = reserve(bind, rows, sizeof *strings + sizeof(unsigned long) + NUMBER_ROOM);
  if (!strings)
    return false;
  unsigned long *lengths = (unsigned long *)(void *)(strings + rows);
  char *room = (char *)(lengths + rows);
  bind->buffer_type = binary ? MYSQL_TYPE_BLOB : MYSQL_TYPE_VAR_STRING;
  bind->length = lengths;
  for (size_t row = 0; row < rows; row++)
    set_string(cell(column, row), room + row * NUMBER_ROOM, &strings[row], &lengths[row]);
  return true;
}

static bool bind_column(MYSQL_BIND *bind, const bulk_column *column) {
  mp_value_kind kind = widest(column);
  bool bound;
  if (kind == MP_VALUE_INTEGER)
    bound = bind_integers(bind, column);
  else if (kind == MP_VALUE_FLOAT)
    bound = bind_doubles(bind, column);
  else
    bound = bind_strings(bind, column, kind == MP_VALUE_BINARY);
  if (bound)
    note_nulls(bind, column);
  return bound;
}

bool mp_bulk_is_supported(const mp_session *session) {
  unsigned long extended = 0;
  mariadb_get_infov(session->mysql, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES, &extended);
  return extended & (unsigned long)(MARIADB_CLIENT_STMT_BULK_OPERATIONS >> 32);
}

bool mp_bulk_bind(prepared *statement, const mp_value *values, size_t rows) {
  bool complete = true;
  for (unsigned i = 0; i < statement->parameters; i++) {
    bulk_column column = {.first = values + i, .stride = statement->parameters, .rows = rows};
    complete &= bind_column(&statement->binds[i], &column);
  }
  return complete;
}

void mp_bulk_unbind(prepared *statement) {
  for (unsigned i = 0; i < statement->parameters; i++)
    free(statement->binds[i].buffer);
}
