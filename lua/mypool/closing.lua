-- Operations and loans that must end also when their coroutine is closed in the middle: they stand in a <close>
-- variable. For Lua 5.4 and later; to LuaJIT, which knows no such variable, this file is not shown.

local core = require "mypool.core"
core.internal()
local step = core.step

local closing = {}

-- The function of run.lua, with what that does when the wait function has raised, but for the guard: that gives the
-- operation up when its coroutine is closed. (Nothing
-- closes the variables of a coroutine that ends by an error: so what the wait function raises is caught as well.)
function closing.run(go_on, give_up)
  return function(conn, fd, ...)
    if not fd then
      return ...
    end
    local seconds, wait, guard = ...
    local operation <close> = guard -- luacheck: ignore
    local ok, raised = pcall(wait, fd, seconds, conn)
    if not ok then
      give_up(conn, raised)
    end
    return go_on(conn, step(conn))
  end
end

-- hold(value, f, ...): calls f(...), then closes `value`; also when the coroutine is closed within f.
function closing.hold(value, f, ...)
  local held <close> = value -- luacheck: ignore
  return f(...)
end

return closing
