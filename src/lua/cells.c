/* Cells of the text protocol as Lua values. */
#include "cells.h"

#include <math.h>

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

static bool push_integer(lua_State *L, const char *cell, size_t length) {
  uint64_t digits;
  bool negative = length > 0 && *cell == '-',
       is_number = mp_read_digits(cell + negative, length - negative, &digits);
  push_signed(L, (int64_t)(negative ? 0 - digits : digits));
  return is_number;
}

static bool push_natural(lua_State *L, const char *cell, size_t length) {
  uint64_t digits;
  bool is_number = mp_read_digits(cell, length, &digits);
  push_unsigned(L, digits);
  return is_number;
}

static bool push_float(lua_State *L, const char *cell, size_t length) {
  double value;
  bool is_number = mp_read_float(cell, length, &value);
  lua_pushnumber(L, value);
  return is_number;
}

static void push_bits(lua_State *L, const char *cell, size_t length) {
  uint64_t value = 0;
  for (size_t i = 0; i < length; i++)
    value = value << 8 | (unsigned char)cell[i];
  push_unsigned(L, value);
}

bool push_cell(lua_State *L, mp_type type, const char *cell, size_t length) {
  switch (type) {
  case MP_TYPE_INTEGER:
    return push_integer(L, cell, length);
  case MP_TYPE_UNSIGNED:
    return push_natural(L, cell, length);
  case MP_TYPE_FLOAT:
    return push_float(L, cell, length);
  case MP_TYPE_BIT:
    push_bits(L, cell, length);
    return true;
  default:
    lua_pushlstring(L, cell, length);
    return true;
  }
}

/* A cell of the binary protocol that is not NULL. */
bool push_binary(lua_State *L, mp_type type, const mp_value *value) {
  switch (value->kind) {
  case MP_VALUE_INTEGER:
    push_signed(L, value->as.integer);
    return true;
  case MP_VALUE_UNSIGNED:
    push_unsigned(L, (uint64_t)value->as.integer);
    return true;
  case MP_VALUE_FLOAT:
    lua_pushnumber(L, value->as.number);
    return true;
  default:
    return push_cell(L, type, value->as.text.bytes, value->as.text.length);
  }
}

/* number(text): the number that the text is, read as SQL would; nil for what is no number. */
static int core_number(lua_State *L) {
  size_t length;
  double number;
  const char *text = luaL_checklstring(L, 1, &length);
  if (!mp_read_float(text, length, &number))
    return 0;
  if (number == floor(number) && fabs(number) < 1e15)
    lua_pushinteger(L, (lua_Integer)number);
  else
    lua_pushnumber(L, number);
  return 1;
}

static const luaL_Reg functions[] = {
    {"number", core_number},
    {NULL, NULL},
};

void cells_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
