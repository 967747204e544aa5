/* Lua's values as parameters of the binary protocol. */
#include "value.h"

#include <math.h>

#include "class.h"
#include "place.h"

static int raise_bad(lua_State *L, value_position at, const char *what, const char *wrong) {
  if (at.row > 0)
    return raise(L, "bad row %d, parameter %d (%s%s)", (int)at.row, at.parameter, what, wrong);
  return raise(L, "bad parameter %d (%s%s)", at.parameter, what, wrong);
}

static mp_value read_number(lua_State *L, int index, value_position at) {
  if (lua_isinteger(L, index))
    return (mp_value){.kind = MP_VALUE_INTEGER, .as.integer = lua_tointeger(L, index)};
  double number = lua_tonumber(L, index);
  if (!isfinite(number))
    raise_bad(L, at, "SQL has no ", isnan(number) ? "NaN" : "infinity");
  return (mp_value){.kind = MP_VALUE_FLOAT, .as.number = number};
}

static mp_value read_string(lua_State *L, int index, bool binary) {
  size_t length;
  const char *bytes = lua_tolstring(L, index, &length);
  binary = binary || !mp_is_text(bytes, length);
  return (mp_value){.kind = binary ? MP_VALUE_BINARY : MP_VALUE_STRING,
                    .as.text = {.bytes = bytes, .length = length}};
}

static mp_value read_binary(lua_State *L, int index, value_position at) {
  if (lua_istable(L, index) && is_class(L, index, NAMED_CLASS))
    raise_bad(L, at, "names are for query, one, value and rows", ": here values stand in order, for ?");
  if (!is_class(L, index, BINARY_CLASS))
    raise_bad(L, at, luaL_typename(L, index), " is no value of a prepared statement");
  lua_rawgeti(L, index, 1);
  if (lua_type(L, -1) != LUA_TSTRING)
    raise_bad(L, at, "binary holds no string", "");
  mp_value value = read_string(L, -1, true);
  lua_replace(L, index);
  return value;
}

mp_value value_read(lua_State *L, int index, value_position at) {
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    return (mp_value){.kind = MP_VALUE_NULL};
  case LUA_TBOOLEAN:
    return (mp_value){.kind = MP_VALUE_INTEGER, .as.integer = lua_toboolean(L, index)};
  case LUA_TNUMBER:
    return read_number(L, index, at);
  case LUA_TSTRING:
    return read_string(L, index, false);
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, index) == NULL)
      return (mp_value){.kind = MP_VALUE_NULL};
    /* fall through */
  default:
    return read_binary(L, index, at);
  }
}
