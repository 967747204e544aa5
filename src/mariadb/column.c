/* The types of a column, as the server describes it. */
#include "column.h"

#include <string.h>

enum { CHARSET_BINARY = 63 };

static mp_type type_of(const MYSQL_FIELD *field) {
  switch (field->type) {
  case MYSQL_TYPE_TINY:
  case MYSQL_TYPE_SHORT:
  case MYSQL_TYPE_INT24:
  case MYSQL_TYPE_LONG:
  case MYSQL_TYPE_YEAR:
    return MP_TYPE_INTEGER;
  case MYSQL_TYPE_LONGLONG:
    return field->flags & UNSIGNED_FLAG ? MP_TYPE_UNSIGNED : MP_TYPE_INTEGER;
  case MYSQL_TYPE_FLOAT:
  case MYSQL_TYPE_DOUBLE:
    return MP_TYPE_FLOAT;
  case MYSQL_TYPE_BIT:
    return MP_TYPE_BIT;
  default:
    return MP_TYPE_STRING;
  }
}

/* Types that MariaDB sends as strings, with their names beside them. */
static mp_sql_type named_type(const MYSQL_FIELD *field, mp_sql_type otherwise) {
  static const struct {
    enum mariadb_field_attr_t attribute;
    const char *name;
    mp_sql_type type;
  } names[] = {
      {MARIADB_FIELD_ATTR_FORMAT_NAME, "json", MP_SQL_JSON},
      {MARIADB_FIELD_ATTR_DATA_TYPE_NAME, "uuid", MP_SQL_UUID},
      {MARIADB_FIELD_ATTR_DATA_TYPE_NAME, "inet4", MP_SQL_INET4},
      {MARIADB_FIELD_ATTR_DATA_TYPE_NAME, "inet6", MP_SQL_INET6},
  };
  MARIADB_CONST_STRING name;
  for (size_t i = 0; field->extension && i < sizeof names / sizeof *names; i++)
    if (mariadb_field_attr(&name, field, names[i].attribute) == 0 && name.length == strlen(names[i].name) &&
        memcmp(name.str, names[i].name, name.length) == 0)
      return names[i].type;
  return otherwise;
}

static mp_sql_type string_type(const MYSQL_FIELD *field) {
  bool binary = field->charsetnr == CHARSET_BINARY;
  if (field->flags & ENUM_FLAG)
    return MP_SQL_ENUM;
  if (field->flags & SET_FLAG)
    return MP_SQL_SET;
  switch (field->type) {
  case MYSQL_TYPE_STRING:
    return named_type(field, binary ? MP_SQL_BINARY : MP_SQL_CHAR);
  case MYSQL_TYPE_VARCHAR:
  case MYSQL_TYPE_VAR_STRING:
    return named_type(field, binary ? MP_SQL_VARBINARY : MP_SQL_VARCHAR);
  default:
    return named_type(field, binary ? MP_SQL_BLOB : MP_SQL_TEXT);
  }
}

static mp_sql_type sql_type_of(const MYSQL_FIELD *field) {
  switch (field->type) {
  case MYSQL_TYPE_NULL:
    return MP_SQL_NULL;
  case MYSQL_TYPE_TINY:
    return field->length == 1 ? MP_SQL_BOOLEAN : MP_SQL_TINYINT;
  case MYSQL_TYPE_SHORT:
    return MP_SQL_SMALLINT;
  case MYSQL_TYPE_INT24:
    return MP_SQL_MEDIUMINT;
  case MYSQL_TYPE_LONG:
    return MP_SQL_INT;
  case MYSQL_TYPE_LONGLONG:
    return MP_SQL_BIGINT;
  case MYSQL_TYPE_YEAR:
    return MP_SQL_YEAR;
  case MYSQL_TYPE_BIT:
    return field->length == 1 ? MP_SQL_BOOLEAN : MP_SQL_BIT;
  case MYSQL_TYPE_FLOAT:
    return MP_SQL_FLOAT;
  case MYSQL_TYPE_DOUBLE:
    return MP_SQL_DOUBLE;
  case MYSQL_TYPE_DECIMAL:
  case MYSQL_TYPE_NEWDECIMAL:
    return MP_SQL_DECIMAL;
  case MYSQL_TYPE_DATE:
  case MYSQL_TYPE_NEWDATE:
    return MP_SQL_DATE;
  case MYSQL_TYPE_TIME:
    return MP_SQL_TIME;
  case MYSQL_TYPE_DATETIME:
    return MP_SQL_DATETIME;
  case MYSQL_TYPE_TIMESTAMP:
    return MP_SQL_TIMESTAMP;
  case MYSQL_TYPE_ENUM:
    return MP_SQL_ENUM;
  case MYSQL_TYPE_SET:
    return MP_SQL_SET;
  case MYSQL_TYPE_JSON:
    return MP_SQL_JSON;
  case MYSQL_TYPE_GEOMETRY:
    return MP_SQL_GEOMETRY;
  default:
    return string_type(field);
  }
}

/* libmariadb copies the name of a prepared statement's column up to its first NUL, but keeps the length
   that the server gave. */
mp_column mp_column_of(const MYSQL_FIELD *field) {
  return (mp_column){.name = field->name,
                     .name_length = strnlen(field->name, field->name_length),
                     .type = type_of(field),
                     .sql_type = sql_type_of(field)};
}
