-- mypool under luv: mypool.new { wait = require "mypool.wait.luv", … }, in coroutines, while
-- uv.run() drives the loop.

local uv = require "luv"

local adapter = {}

local isyieldable = coroutine.isyieldable -- luacheck: ignore

local function resume(co, ready)
  if coroutine.status(co) == "suspended" then
    local ok, err = coroutine.resume(co, ready)
    if not ok then
      error(debug.traceback(co, err), 0)
    end
  end
end

local function start_timer(seconds, callback)
  if not seconds then
    return
  end
  local timer = uv.new_timer()
  timer:start(math.ceil(seconds * 1000), 0, callback)
  return timer
end

-- Not in the main program, nor within what C calls: a finalizer, say, or the function of table.sort.
local function may_yield(co, is_main)
  return co and not is_main and (not isyieldable or isyieldable())
end

-- Yields until `fd` is readable; returns true then, and nothing after `seconds` (nil: no limit).
-- The handle is closed at once, while the loop runs: one that is closed after its end would bring
-- luv down when the program ends.
function adapter.wait(fd, seconds)
  local co, is_main = coroutine.running()
  if not may_yield(co, is_main) then
    error("mypool.wait.luv: called where a coroutine cannot yield", 2)
  end
  local handle = assert(uv.new_poll(fd))
  local timer
  local function wake(ready)
    handle:close()
    if timer then
      timer:close()
    end
    resume(co, ready)
  end
  timer = start_timer(seconds, function()
    wake()
  end)
  handle:start("r", function()
    wake(true)
  end)
  return coroutine.yield()
end

return adapter
