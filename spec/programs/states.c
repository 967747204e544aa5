/* Several threads, each with Lua states of its own, one after the other: states SCRIPT THREADS ROUNDS
   [ARGUMENT...]. The script gets the arguments behind the number of its thread. Prints what failed. */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 64 };

static int word_count;
static char **words;
static pthread_barrier_t begin;
static atomic_int failures;

static int run(lua_State *L, int thread) {
  luaL_openlibs(L);
  if (luaL_loadfile(L, words[1]) != LUA_OK)
    return LUA_ERRRUN;
  lua_pushinteger(L, thread);
  for (int i = 4; i < word_count; i++)
    lua_pushstring(L, words[i]);
  return lua_pcall(L, word_count - 3, 0, 0);
}

static void run_state(int thread) {
  lua_State *L = luaL_newstate();
  if (!L || run(L, thread) != LUA_OK) {
    atomic_fetch_add(&failures, 1);
    fprintf(stderr, "thread %d: %s\n", thread, L ? lua_tostring(L, -1) : "no memory");
  }
  if (L)
    lua_close(L);
}

static void *run_thread(void *number) {
  pthread_barrier_wait(&begin); /* the first pools of all are made at once */
  for (int round = 0; round < atoi(words[3]); round++)
    run_state(*(int *)number);
  return NULL;
}

int main(int count, char **arguments) {
  pthread_t threads[THREADS];
  int numbers[THREADS], wanted = count > 3 ? atoi(arguments[2]) : 0;
  word_count = count;
  words = arguments;
  if (wanted < 1 || wanted > THREADS)
    return 2;
  pthread_barrier_init(&begin, NULL, (unsigned)wanted);
  for (int i = 0; i < wanted; i++) {
    numbers[i] = i + 1;
    if (pthread_create(&threads[i], NULL, run_thread, &numbers[i]) != 0)
      return 2;
  }
  for (int i = 0; i < wanted; i++)
    pthread_join(threads[i], NULL);
  return failures == 0 ? 0 : 1;
}
