-- mypool under luv: mypool.new { wait = require "mypool.wait.luv", … }, in coroutines, while
-- uv.run() drives the loop.

local uv = require "luv"
local core = require "mypool.core"
core.internal()

local adapter = {}
local waits = {} -- by descriptor: { co =, handle =, timer =, woken =, readable = }

local isyieldable = coroutine.isyieldable -- luacheck: ignore

local function must_yield(co, is_main)
  if not co or is_main then
    core.raise "mypool cannot wait here: outside of a coroutine (make one by coroutine.wrap)"
  elseif isyieldable and not isyieldable() then
    core.raise "mypool cannot wait here: inside of string.gsub, table.sort, require or another C function"
  end
end

-- The handle is closed at once, while the loop runs: one that is closed after its end would bring
-- luv down when the program ends.
local function stop(fd, one)
  waits[fd] = nil
  one.handle:close()
  if one.timer then
    one.timer:close()
  end
end

local function wake(fd, one, readable)
  stop(fd, one)
  one.woken, one.readable = true, readable
  local co = one.co
  if coroutine.status(co) == "suspended" then
    local ok, err = coroutine.resume(co)
    if not ok then
      error(debug.traceback(co, err), 0)
    end
  end
end

-- Timers of no time would come one after the other before the loop looks at anything else: an idle handle
-- has one turn of the loop.
local function start_timer(seconds, callback)
  if seconds <= 0 then
    local idle = uv.new_idle()
    idle:start(callback)
    return idle
  end
  local timer = uv.new_timer()
  timer:start(math.ceil(seconds * 1000), 0, callback)
  return timer
end

-- Ends the wait for `fd` of a coroutine that will not be resumed any more. The loop would go on with it, and
-- refuse another one.
function adapter.forget(fd)
  local one = waits[fd]
  if one then
    stop(fd, one)
  end
end

-- Yields until `fd` is readable; returns true then, and nothing after `seconds` (nil: no limit). Raises where a
-- coroutine cannot yield, and when something else resumed it.
function adapter.wait(fd, seconds)
  local co, is_main = coroutine.running()
  must_yield(co, is_main)
  local one = { co = co, handle = assert(uv.new_poll(fd)) }
  waits[fd] = one
  one.timer = seconds and start_timer(seconds, function()
    wake(fd, one)
  end)
  one.handle:start("r", function()
    wake(fd, one, true)
  end)
  coroutine.yield()
  if not one.woken then
    stop(fd, one)
    core.raise "mypool cannot wait here: something else than luv resumed this coroutine"
  end
  return one.readable
end

return adapter
