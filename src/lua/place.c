/* Finds the line of the user's program that a call comes from, and raises errors there. */
#include "place.h"

#include <stdarg.h>

#include "state_end.h"

/* By this address the registry keeps mypool's own Lua files: by the addresses of their names, which stay
   where they are as long as a function of the file lives. */
static const char own_files[] = "mypool.internal";

/* The file of the last caller that was none of ours is remembered: as a rule it calls again, and to look it
   up would cost as much as all else that a place takes. */
static bool is_own(lua_State *L, leftovers *all, const lua_Debug *frame) {
  if (frame->source == all->calling_file)
    return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, own_files);
  lua_rawgetp(L, -1, frame->source);
  bool own = lua_toboolean(L, -1);
  lua_pop(L, 2);
  if (!own)
    all->calling_file = frame->source;
  return own;
}

/* printf would cost as much as the rest of a checkout. */
static void write_place(code_place *place, const lua_Debug *frame) {
  char digits[12], *end = place->text + strlen(strcpy(place->text, frame->short_src));
  int count = 0;
  for (int line = frame->currentline; line > 0; line /= 10)
    digits[count++] = (char)('0' + line % 10);
  *end++ = ':';
  while (count > 0)
    *end++ = digits[--count];
  *end = '\0';
}

/* The first frame that is neither C nor one of ours. */
code_place place_from(lua_State *L, leftovers *all, int level) {
  lua_Debug frame;
  code_place place;
  *place.text = '\0';
  for (; lua_getstack(L, level, &frame); level++) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline > 0 && !is_own(L, all, &frame)) {
      write_place(&place, &frame);
      break;
    }
  }
  return place;
}

code_place place_of_caller(lua_State *L) {
  return place_from(L, leftovers_of(L), 1);
}

const char *place_to_tell(const char *place) {
  return *place ? place : "(a tail call: no place)";
}

int raise(lua_State *L, const char *format, ...) {
  va_list arguments;
  code_place place = place_of_caller(L);
  if (*place.text)
    lua_pushfstring(L, "%s: ", place.text);
  else
    lua_pushliteral(L, "");
  va_start(arguments, format);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  lua_concat(L, 2);
  return lua_error(L);
}

static const char *type_name(lua_State *L, int index) {
  if (luaL_getmetafield(L, index, "__name") && lua_type(L, -1) == LUA_TSTRING)
    return lua_tostring(L, -1);
  return lua_isnone(L, index) ? "no value" : luaL_typename(L, index);
}

int raise_type(lua_State *L, const char *function, const char *argument, const char *expected, int index) {
  return raise(L, "bad argument '%s' to '%s' (%s expected, got %s)", argument, function, expected,
               type_name(L, index));
}

int raise_self(lua_State *L, const char *function, const char *class, const char *name, int index) {
  if (lua_isuserdata(L, index))
    return raise_type(L, function, "self", class, index);
  return raise(L, "bad argument 'self' to '%s' (%s expected, got %s: call it with a colon, %s:%s(…))",
               function, class, type_name(L, index), name, function);
}

int64_t check_seconds(lua_State *L, int index, const char *function, const char *argument,
                      int64_t absent_ns) {
  if (lua_isnoneornil(L, index))
    return absent_ns;
  if (lua_type(L, index) != LUA_TNUMBER)
    raise_type(L, function, argument, "number of seconds", index);
  double seconds = lua_tonumber(L, index);
  if (!(seconds >= 0 && seconds <= 1e9))
    raise(L, "bad argument '%s' to '%s' (out of range: 0 to 1e9 seconds)", argument, function);
  return (int64_t)(seconds * MP_SECOND);
}

/* internal(): declares the calling file to be one of mypool's own. */
static int core_internal(lua_State *L) {
  lua_Debug frame;
  if (!lua_getstack(L, 1, &frame))
    return 0;
  lua_getinfo(L, "S", &frame);
  lua_rawgetp(L, LUA_REGISTRYINDEX, own_files);
  if (lua_isnil(L, -1)) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, own_files);
  }
  lua_getinfo(L, "f", &frame);
  lua_rawsetp(L, -2, frame.source);
  leftovers_of(L)->calling_file = NULL; /* that name may be gone, and this one be in its place */
  return 0;
}

/* place_to_tell(place or nil): as texts have it that cannot do without. */
static int core_place_to_tell(lua_State *L) {
  lua_pushstring(L, place_to_tell(luaL_optstring(L, 1, "")));
  return 1;
}

/* raise(message): an error at the place of the caller of mypool. */
static int core_raise(lua_State *L) {
  return raise(L, "%s", luaL_checkstring(L, 1));
}

/* raise_self(value, function, class, name): the value, which the method of this class was called on, is none
   of it; `name` stands for one in messages. */
static int core_raise_self(lua_State *L) {
  return raise_self(L, luaL_checkstring(L, 2), luaL_checkstring(L, 3), luaL_checkstring(L, 4), 1);
}

static const luaL_Reg functions[] = {
    {"raise_self", core_raise_self},
    {"internal", core_internal},
    {"place_to_tell", core_place_to_tell},
    {"raise", core_raise},
    {NULL, NULL},
};

void place_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
