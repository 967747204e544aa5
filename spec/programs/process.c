/* What specs of processes and signals need and Lua does not have. */
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- processes ---- */

/* fork(): 0 in the child, its number in the parent */
static int l_fork(lua_State *L) {
  lua_pushinteger(L, fork());
  return 1;
}

/* wait(pid): "exit", "signal" or "stop", and which */
static int l_wait(lua_State *L) {
  int status = 0;
  waitpid((pid_t)luaL_checkinteger(L, 1), &status, WUNTRACED);
  lua_pushstring(L, WIFEXITED(status) ? "exit" : WIFSTOPPED(status) ? "stop" : "signal");
  lua_pushinteger(L, WIFEXITED(status)    ? WEXITSTATUS(status)
                     : WIFSTOPPED(status) ? WSTOPSIG(status)
                                          : WTERMSIG(status));
  return 2;
}

/* kill(pid, signal): 0 is the calling process itself */
static int l_kill(lua_State *L) {
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  kill(pid ? pid : getpid(), (int)luaL_checkinteger(L, 2));
  return 0;
}

/* ---- signals ---- */

static volatile sig_atomic_t caught;

static void count(int number) {
  (void)number;
  caught++;
}

static lua_State *interrupted;

static void raise_interrupted(lua_State *L, lua_Debug *frame) {
  (void)frame;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted!");
}

/* As the lua program does at SIGINT. */
static void interrupt(int number) {
  (void)number;
  lua_sethook(interrupted, raise_interrupted, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* handle(signal, what [, flags]): "default", "ignore", "count" or "interrupt", which raises an error in the
   caller's coroutine. Without the flag SA_RESTART every call is interrupted. */
static int l_handle(lua_State *L) {
  static const char *const names[] = {"default", "ignore", "count", "interrupt", NULL};
  static void (*const handlers[])(int) = {SIG_DFL, SIG_IGN, count, interrupt};
  struct sigaction action = {.sa_handler = handlers[luaL_checkoption(L, 2, NULL, names)],
                             .sa_flags = (int)luaL_optinteger(L, 3, 0)};
  interrupted = L;
  sigaction((int)luaL_checkinteger(L, 1), &action, NULL);
  return 0;
}

/* disposition(signal): as handle calls it */
static int l_disposition(lua_State *L) {
  struct sigaction action;
  sigaction((int)luaL_checkinteger(L, 1), NULL, &action);
  lua_pushstring(L, action.sa_handler == SIG_DFL   ? "default"
                    : action.sa_handler == SIG_IGN ? "ignore"
                                                   : "count");
  return 1;
}

/* caught(): signals counted so far */
static int l_caught(lua_State *L) {
  lua_pushinteger(L, caught);
  return 1;
}

/* storm(microseconds): a SIGALRM that often; 0 ends it */
static int l_storm(lua_State *L) {
  suseconds_t every = (suseconds_t)luaL_checkinteger(L, 1);
  struct itimerval timer = {.it_interval = {.tv_usec = every}, .it_value = {.tv_usec = every}};
  setitimer(ITIMER_REAL, &timer, NULL);
  return 0;
}

int luaopen_spec_process(lua_State *L);

int luaopen_spec_process(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"fork", l_fork},
      {"wait", l_wait},
      {"kill", l_kill},
      {"handle", l_handle},
      {"disposition", l_disposition},
      {"caught", l_caught},
      {"storm", l_storm},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  lua_pushinteger(L, SIGALRM);
  lua_setfield(L, -2, "SIGALRM");
  lua_pushinteger(L, SIGINT);
  lua_setfield(L, -2, "SIGINT");
  lua_pushinteger(L, SA_RESTART);
  lua_setfield(L, -2, "SA_RESTART");
  lua_pushinteger(L, SIGPIPE);
  lua_setfield(L, -2, "SIGPIPE");
  lua_pushinteger(L, SIGSTOP);
  lua_setfield(L, -2, "SIGSTOP");
  lua_pushinteger(L, SIGKILL);
  lua_setfield(L, -2, "SIGKILL");
  return 1;
}
