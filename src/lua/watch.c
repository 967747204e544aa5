/* The class of a watch, for adapters of event loops that wait for nothing but their own sockets. */
#include "watch.h"

#include <errno.h>

#include "os/watch.h"

#include "class.h"

typedef struct watch {
  leftover self;   /* first; in no list */
  mp_watch *watch; /* NULL before and after its life */
} watch;

static mp_watch *check_watch(lua_State *L) {
  watch *self = test_class(L, 1, WATCH_CLASS);
  if (!self || !self->watch)
    luaL_error(L, "mypool.watch expected, got %s", luaL_typename(L, 1));
  return self->watch;
}

static int push_failure_of_system(lua_State *L) {
  lua_pushnil(L);
  lua_pushstring(L, strerror(errno));
  return 2;
}

/* new_watch(): an empty set; nil and why there is none. */
static int core_new_watch(lua_State *L) {
  watch *self = lua_newuserdatauv(L, sizeof *self, 0);
  *self = (watch){.self.class = WATCH_CLASS};
  push_class(L, WATCH_CLASS);
  lua_setmetatable(L, -2);
  self->watch = mp_watch_new();
  return self->watch ? 1 : push_failure_of_system(L);
}

/* watch:listen(): the path of the socket to connect to; nil and why there is none. */
static int watch_listen(lua_State *L) {
  char path[MP_WATCH_PATH];
  if (!mp_watch_listen(check_watch(L), path))
    return push_failure_of_system(L);
  lua_pushstring(L, path);
  return 1;
}

/* watch:start(): true, when it is connected; nil and why it cannot be. */
static int watch_start(lua_State *L) {
  if (!mp_watch_start(check_watch(L)))
    return push_failure_of_system(L);
  lua_pushboolean(L, 1);
  return 1;
}

/* watch:arm(fd): true, or nil and why not. */
static int watch_arm(lua_State *L) {
  if (!mp_watch_arm(check_watch(L), (int)luaL_checkinteger(L, 2)))
    return push_failure_of_system(L);
  lua_pushboolean(L, 1);
  return 1;
}

/* watch:disarm(fd) */
static int watch_disarm(lua_State *L) {
  mp_watch_disarm(check_watch(L), (int)luaL_checkinteger(L, 2));
  return 0;
}

/* watch:next(): a descriptor that is readable; nil when there is none any more. */
static int watch_next(lua_State *L) {
  int fd = mp_watch_next(check_watch(L));
  if (fd < 0)
    return 0;
  lua_pushinteger(L, fd);
  return 1;
}

/* watch:go_on(): after the last of them. */
static int watch_go_on(lua_State *L) {
  mp_watch_go_on(check_watch(L));
  return 0;
}

/* Lua 5.1 has none. */
extern int lua_isyieldable(lua_State *L) __attribute__((weak));

/* is_yieldable(): whether this coroutine may yield here, as far as can be told. coroutine.isyieldable, which
   nginx takes away. */
static int core_is_yieldable(lua_State *L) {
  lua_pushboolean(L, !lua_isyieldable || lua_isyieldable(L));
  return 1;
}

static int watch_gc(lua_State *L) {
  watch *self = test_class(L, 1, WATCH_CLASS);
  if (self) {
    mp_watch_free(self->watch);
    self->watch = NULL;
  }
  return 0;
}

static const luaL_Reg functions[] = {
    {"new_watch", core_new_watch},
    {"is_yieldable", core_is_yieldable},
    {NULL, NULL},
};

static const luaL_Reg methods[] = {
    {"listen", watch_listen}, {"start", watch_start}, {"arm", watch_arm}, {"disarm", watch_disarm},
    {"next", watch_next},     {"go_on", watch_go_on}, {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", watch_gc},
    {NULL, NULL},
};

void watch_open(lua_State *L) {
  open_class(L, WATCH_CLASS, methods, metamethods);
  luaL_setfuncs(L, functions, 0);
}
