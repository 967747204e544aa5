/* Connections and pools that the end of a Lua state leaves behind. Finalizers run in the reverse order of
   their making then, and what is made while they run gets none. Such connections and pools are ended by the
   last finalizer of ours, that of an object which was made before them all. */
#include "state_end.h"

/* By this address the registry keeps that object. */
static const char anchor[] = "mypool.leftovers";

static int leftovers_gc(lua_State *L) {
  leftovers *all = lua_touserdata(L, 1);
  while (all->connections)
    all->connections->end(L, all->connections);
  while (all->pools)
    all->pools->end(L, all->pools);
  return 0;
}

/* Once for a state, before anything else is made. */
void state_end_open(lua_State *L) {
  leftovers *all = lua_newuserdatauv(L, sizeof *all, 0);
  *all = (leftovers){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, leftovers_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, anchor);
}

leftovers *leftovers_of(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, anchor);
  leftovers *all = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return all;
}

void leftover_join(leftover **list, leftover *one) {
  one->next = *list;
  one->link = list;
  if (one->next)
    one->next->link = &one->next;
  *list = one;
}

void leftover_leave(leftover *one) {
  if (!one->link)
    return;
  *one->link = one->next;
  if (one->next)
    one->next->link = one->link;
  one->link = NULL;
}
