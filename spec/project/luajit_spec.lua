-- The same sources serve LuaJIT: luajit_smoke.lua passes there.

local server = require "spec.servers.server"

-- The flags of a `make test` that runs this file are not those of the other build.
local clean = "env -u LD_PRELOAD -u ASAN_OPTIONS -u LSAN_OPTIONS -u MAKEFLAGS -u MFLAGS -u MAKELEVEL"
  .. " -u SANITIZE -u BUILD -u LUA -u LUA_VERSION "

local function run(command)
  local pipe <close> = assert(io.popen(command .. " 2>&1"))
  local printed = pipe:read "a"
  return pipe:close() == true, printed
end

describe("under LuaJIT", function()
  it("mypool builds, and works in plain mode and with a wait function that yields", function()
    if not run "command -v luajit && pkg-config --exists luajit" then
      pending "needs luajit and libluajit-5.1-dev"
      return
    end
    local _, commands = run(clean .. "make --dry-run --always-make LUA=luajit")
    assert.falsy(commands:find " %-o build/[^l]", "it would overwrite what was built for Lua 5.4")
    local built, log = run(clean .. "make LUA=luajit")
    assert(built, log)
    local ok, printed = run(
      clean
        .. ("MYPOOL_DSN='%s' LUA_PATH='./lua/?.lua;./lua/?/init.lua' LUA_CPATH='./build/luajit/?.so' "):format(
          server.shared():dsn()
        )
        .. "luajit spec/programs/luajit_smoke.lua"
    )
    assert(ok, printed)
    assert.match("LuaJIT [^\n]*: ok\n", printed)
    assert.match("a connection checked out at spec/programs/luajit_smoke.lua:%d+ was never released", printed)
  end)
end)
