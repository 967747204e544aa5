-- Things that must end whatever ends the function that uses them, also when its coroutine is closed.

local core = require "mypool.core"
core.internal()

local scope = {}

local running, isyieldable = coroutine.running, coroutine.isyieldable -- luacheck: ignore

-- True when an operation of `conn` may wait here. In a coroutine that is being closed nothing can: no scheduler will
-- resume it.
function scope.may_wait(conn)
  local co, is_main = running()
  return not isyieldable or isyieldable() or not co or is_main or core.wait(conn) == core.poll
end

-- hold(value, f, ...): f(...). In Lua 5.4 and later `value` is closed afterwards, or when the coroutine is closed
-- within f; elsewhere that cannot be known, and f ends it.
function scope.hold(_, f, ...)
  return f(...)
end

if (loadstring or load) "local _ <close> = nil" then -- luacheck: ignore
  scope.hold = require("mypool.closing").hold
end

-- protect(conn, f, ...): pcall(f, ...) for a function of the program's that may wait, while nobody but mypool has
-- `conn`: it is given back if the coroutine is closed meanwhile.
local guard = {
  __close = function(self)
    if self.conn then
      core.abandon(self.conn)
    end
  end,
}

local function returned(self, ...)
  self.conn = nil
  return ...
end

local function call(self, f, ...)
  return returned(self, pcall(f, ...))
end

function scope.protect(conn, f, ...)
  local self = setmetatable({ conn = conn }, guard)
  return scope.hold(self, call, self, f, ...)
end

return scope
