/* Cells of the text protocol as Lua values. */
#include <locale.h>
#include <stdlib.h>

#include "binding.h"

void push_unsigned(lua_State *L, uint64_t value) {
  char text[24];
  if (value > (uint64_t)largest_integer)
    lua_pushlstring(L, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
  else
    lua_pushinteger(L, (lua_Integer)value);
}

static void push_signed(lua_State *L, int64_t value) {
  char text[24];
  if (value > largest_integer || value < -largest_integer - 1)
    lua_pushlstring(L, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value));
  else
    lua_pushinteger(L, (lua_Integer)value);
}

/* The server writes digits only, no more than 64 bits hold. */
static uint64_t read_digits(const char *cell, size_t length) {
  uint64_t value = 0;
  for (size_t i = 0; i < length; i++)
    value = value * 10 + (uint64_t)(cell[i] - '0');
  return value;
}

static void push_integer(lua_State *L, const char *cell, size_t length) {
  if (length > 0 && *cell == '-')
    push_signed(L, (int64_t)(0 - read_digits(cell + 1, length - 1)));
  else
    push_signed(L, (int64_t)read_digits(cell, length));
}

/* strtod obeys the locale, the server does not. */
static double read_any_float(const char *cell) {
  char *end, text[64];
  double value = strtod(cell, &end);
  if (*end != '.')
    return value;
  snprintf(text, sizeof text, "%s", cell);
  text[end - cell] = localeconv()->decimal_point[0];
  return strtod(text, NULL);
}

/* With up to 15 digits, and without an exponent, one division rounds right: both operands are
   exact. */
static double read_float(const char *cell, size_t length) {
  static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  bool negative = length > 0 && *cell == '-', point = false;
  uint64_t digits = 0;
  unsigned decimals = 0;
  if (length - negative > 16 || length == negative)
    return read_any_float(cell);
  for (size_t i = negative; i < length; i++) {
    if (cell[i] == '.' && !point) {
      point = true;
    } else if (cell[i] >= '0' && cell[i] <= '9') {
      digits = digits * 10 + (uint64_t)(cell[i] - '0');
      decimals += point;
    } else {
      return read_any_float(cell);
    }
  }
  if (digits >= 1000000000000000 || decimals > 15)
    return read_any_float(cell);
  double value = (double)digits / powers[decimals];
  return negative ? -value : value;
}

static void push_bits(lua_State *L, const char *cell, size_t length) {
  uint64_t value = 0;
  for (size_t i = 0; i < length; i++)
    value = value << 8 | (unsigned char)cell[i];
  push_unsigned(L, value);
}

void push_cell(lua_State *L, mp_type type, const char *cell, size_t length) {
  switch (type) {
  case MP_TYPE_INTEGER:
    push_integer(L, cell, length);
    break;
  case MP_TYPE_UNSIGNED:
    push_unsigned(L, read_digits(cell, length));
    break;
  case MP_TYPE_FLOAT:
    lua_pushnumber(L, read_float(cell, length));
    break;
  case MP_TYPE_BIT:
    push_bits(L, cell, length);
    break;
  default:
    lua_pushlstring(L, cell, length);
  }
}

/* A cell of the binary protocol that is not NULL. */
void push_binary(lua_State *L, mp_type type, const mp_value *value) {
  switch (value->kind) {
  case MP_VALUE_INTEGER:
    push_signed(L, value->as.integer);
    break;
  case MP_VALUE_UNSIGNED:
    push_unsigned(L, (uint64_t)value->as.integer);
    break;
  case MP_VALUE_FLOAT:
    lua_pushnumber(L, value->as.number);
    break;
  default:
    push_cell(L, type, value->as.text.bytes, value->as.text.length);
  }
}
