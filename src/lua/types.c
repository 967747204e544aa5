/* The names of SQL's types. */
#include "types.h"

static const char *const names[MP_SQL_TYPES] = {
    [MP_SQL_NULL] = "null",         [MP_SQL_TINYINT] = "tinyint",
    [MP_SQL_SMALLINT] = "smallint", [MP_SQL_MEDIUMINT] = "mediumint",
    [MP_SQL_INT] = "int",           [MP_SQL_BIGINT] = "bigint",
    [MP_SQL_YEAR] = "year",         [MP_SQL_BIT] = "bit",
    [MP_SQL_BOOLEAN] = "boolean",   [MP_SQL_FLOAT] = "float",
    [MP_SQL_DOUBLE] = "double",     [MP_SQL_DECIMAL] = "decimal",
    [MP_SQL_DATE] = "date",         [MP_SQL_TIME] = "time",
    [MP_SQL_DATETIME] = "datetime", [MP_SQL_TIMESTAMP] = "timestamp",
    [MP_SQL_CHAR] = "char",         [MP_SQL_VARCHAR] = "varchar",
    [MP_SQL_BINARY] = "binary",     [MP_SQL_VARBINARY] = "varbinary",
    [MP_SQL_TEXT] = "text",         [MP_SQL_BLOB] = "blob",
    [MP_SQL_ENUM] = "enum",         [MP_SQL_SET] = "set",
    [MP_SQL_JSON] = "json",         [MP_SQL_UUID] = "uuid",
    [MP_SQL_INET4] = "inet4",       [MP_SQL_INET6] = "inet6",
    [MP_SQL_GEOMETRY] = "geometry",
};

static bool is_same(const char *name, const char *given) {
  for (; *name && (*given | 0x20) == *name; name++, given++)
    ;
  return *name == *given;
}

int sql_type_number(const char *name) {
  for (int type = 0; type < MP_SQL_TYPES; type++)
    if (is_same(names[type], name))
      return type;
  return -1;
}

const char *sql_type_name(mp_sql_type type) {
  return names[type];
}

/* Leaves the numbers by their names in the table on top of the stack. */
void types_open(lua_State *L) {
  lua_createtable(L, 0, MP_SQL_TYPES);
  for (int type = 0; type < MP_SQL_TYPES; type++) {
    lua_pushinteger(L, type);
    lua_setfield(L, -2, names[type]);
  }
  lua_setfield(L, -2, "sql_types");
}
