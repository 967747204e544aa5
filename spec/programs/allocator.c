/* Lua 5.4 with an allocator that fails on purpose: allocator SCRIPT [ARGUMENT...]. The script gets a
   module `allocator` with two functions:

     fail(n, lasting)   the n-th allocation from now fails, with those behind it if `lasting` is true
     failed()           ends that; returns whether an allocation failed

   allocator --load STRIDE loads mypool in one state after the other, of which each fails at a later
   allocation, and prints how many did.

   Behind each block lie bytes that nobody may write: where somebody did, the program ends at once. So it
   finds what is pushed beyond the end of a stack. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
  bool armed, lasting;
  long long count, until;
} plan;

/* Lua answers a failure with a collection, and asks once more: that fails as well. */
static bool is_to_fail(void) {
  if (!plan.armed)
    return false;
  plan.count++;
  return plan.count >= plan.until && (plan.lasting || plan.count <= plan.until + 1);
}

enum { GUARD = 256, MARK = 0xA5 };

static void check_guard(const void *block, size_t size) {
  const unsigned char *guard = (const unsigned char *)block + size;
  for (int i = 0; i < GUARD; i++) {
    if (guard[i] == MARK)
      continue;
    fprintf(stderr, "somebody wrote behind a block of %zu bytes\n", size);
    abort();
  }
}

/* Lua counts on it that a block can be made smaller. */
static void *allocate(void *unused, void *block, size_t old_size, size_t new_size) {
  (void)unused;
  if (block)
    check_guard(block, old_size);
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  bool grows = !block || new_size > old_size;
  char *moved = grows && is_to_fail() ? NULL : realloc(block, new_size + GUARD);
  if (moved)
    memset(moved + new_size, MARK, GUARD);
  return moved;
}

static int allocator_fail(lua_State *L) {
  plan.until = luaL_checkinteger(L, 1);
  plan.lasting = lua_toboolean(L, 2);
  plan.count = 0;
  plan.armed = true;
  return 0;
}

static int allocator_failed(lua_State *L) {
  plan.armed = false;
  lua_pushboolean(L, plan.count >= plan.until);
  return 1;
}

static int open_allocator(lua_State *L) {
  static const luaL_Reg functions[] = {{"fail", allocator_fail}, {"failed", allocator_failed}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

static int run(lua_State *L, int count, char **words) {
  luaL_openlibs(L);
  luaL_requiref(L, "allocator", open_allocator, 0);
  if (luaL_loadfile(L, words[1]) != LUA_OK)
    return LUA_ERRRUN;
  for (int i = 2; i < count; i++)
    lua_pushstring(L, words[i]);
  return lua_pcall(L, count - 2, 0, 0);
}

/* False when there is nothing left that could fail. */
static bool load_with_failure(long long n) {
  lua_State *L = lua_newstate(allocate, NULL);
  luaL_openlibs(L);
  plan.until = n;
  plan.count = 0;
  plan.armed = true;
  int status = luaL_dostring(L, "require 'mypool'");
  plan.armed = false;
  bool failed = plan.count >= n;
  if (!failed && status != LUA_OK)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  if (failed && luaL_dostring(L, "assert(require 'mypool.core'.error_metatable) require 'mypool'") != LUA_OK)
    printf("loading it again after failure %lld: %s\n", n, lua_tostring(L, -1));
  lua_close(L);
  return failed;
}

static int load(int stride) {
  long long n = 1, failures = 0;
  for (; stride > 0 && load_with_failure(n); n += stride)
    failures++;
  printf("failures\t%lld\n", failures);
  return stride > 0 ? 0 : 2;
}

int main(int count, char **words) {
  if (count == 3 && strcmp(words[1], "--load") == 0)
    return load(atoi(words[2]));
  lua_State *L = count > 1 ? lua_newstate(allocate, NULL) : NULL;
  if (!L)
    return 2;
  int status = run(L, count, words);
  if (status != LUA_OK)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return status == LUA_OK ? 0 : 1;
}
