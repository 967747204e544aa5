/* Cells of the text protocol as Lua values. */
#include <locale.h>
#include <stdlib.h>

#include "binding.h"

static void push_integer(lua_State *L, const char *cell, size_t length) {
  long long value = strtoll(cell, NULL, 10);
  if (value > largest_integer || value < -largest_integer - 1)
    lua_pushlstring(L, cell, length);
  else
    lua_pushinteger(L, (lua_Integer)value);
}

static void push_unsigned(lua_State *L, const char *cell, size_t length) {
  unsigned long long value = strtoull(cell, NULL, 10);
  if (value > (unsigned long long)largest_integer)
    lua_pushlstring(L, cell, length);
  else
    lua_pushinteger(L, (lua_Integer)value);
}

/* strtod obeys the locale, the server does not. */
static double read_float(const char *cell) {
  char *end, text[64];
  double value = strtod(cell, &end);
  if (*end != '.')
    return value;
  snprintf(text, sizeof text, "%s", cell);
  text[end - cell] = localeconv()->decimal_point[0];
  return strtod(text, NULL);
}

static void push_bits(lua_State *L, const char *cell, size_t length) {
  char text[24];
  unsigned long long value = 0;
  for (size_t i = 0; i < length; i++)
    value = value << 8 | (unsigned char)cell[i];
  snprintf(text, sizeof text, "%llu", value);
  push_unsigned(L, text, strlen(text));
}

void push_cell(lua_State *L, mp_type type, const char *cell, size_t length) {
  switch (type) {
  case MP_TYPE_INTEGER:
    push_integer(L, cell, length);
    break;
  case MP_TYPE_UNSIGNED:
    push_unsigned(L, cell, length);
    break;
  case MP_TYPE_FLOAT:
    lua_pushnumber(L, read_float(cell));
    break;
  case MP_TYPE_BIT:
    push_bits(L, cell, length);
    break;
  default:
    lua_pushlstring(L, cell, length);
  }
}

/* A cell of the binary protocol; NULL becomes what stands at stack index `null`. */
void push_binary(lua_State *L, mp_type type, const mp_value *value, int null) {
  char text[24];
  switch (value->kind) {
  case MP_VALUE_NULL:
    lua_pushvalue(L, null);
    break;
  case MP_VALUE_INTEGER:
  case MP_VALUE_UNSIGNED:
    snprintf(text, sizeof text, value->kind == MP_VALUE_INTEGER ? "%lld" : "%llu", (long long)value->as.integer);
    push_cell(L, type, text, strlen(text));
    break;
  case MP_VALUE_FLOAT:
    lua_pushnumber(L, value->as.number);
    break;
  default:
    push_cell(L, type, value->as.text.bytes, value->as.text.length);
  }
}
