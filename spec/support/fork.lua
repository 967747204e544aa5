-- fork(2) and waitpid(2), which no Lua library of ours has. Returns nil when there is no compiler.

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local library = folder .. "/../../build/spec/fork.so"

local source = [[
#include <lauxlib.h>
#include <sys/wait.h>
#include <unistd.h>
static int l_fork(lua_State *L) { lua_pushinteger(L, fork()); return 1; }
static int l_wait(lua_State *L) {
  int status = -1;
  waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0);
  lua_pushinteger(L, status);
  return 1;
}
int luaopen_fork(lua_State *L) {
  static const luaL_Reg functions[] = {{"fork", l_fork}, {"wait", l_wait}, {0, 0}};
  luaL_newlib(L, functions);
  return 1;
}
]]

local function compile()
  local headers = "$(lua=${LUA:-lua5.4}; pkg-config --cflags ${lua##*/} || pkg-config --cflags lua)"
  local command = "mkdir -p '%s' && cc -shared -fPIC " .. headers .. " -x c - -o '%s' 2>/dev/null"
  local cc = io.popen(command:format(library:match "^(.*)/", library), "w")
  cc:write(source)
  return cc:close()
end

-- Where package.loadlib finds luaopen_fork.
return compile() and library or nil
