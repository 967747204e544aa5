-- mypool under luv: mypool.new { wait = require "mypool.wait.luv", … }, in coroutines, while
-- uv.run() drives the loop.

local uv = require "luv"
local core = require "mypool.core"
core.internal()

local adapter = {}
local waits = {} -- by descriptor: a function that ends the wait

local isyieldable = coroutine.isyieldable -- luacheck: ignore

local function resume(co)
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
  if not seconds then
    return
  end
  if seconds <= 0 then
    local idle = uv.new_idle()
    idle:start(callback)
    return idle
  end
  local timer = uv.new_timer()
  timer:start(math.ceil(seconds * 1000), 0, callback)
  return timer
end

local function must_yield(co, is_main)
  if not co or is_main then
    core.raise "mypool cannot wait here: outside of a coroutine (make one by coroutine.wrap)"
  elseif isyieldable and not isyieldable() then
    core.raise "mypool cannot wait here: inside of string.gsub, table.sort, require or another C function"
  end
end

-- Ends the wait for `fd` of a coroutine that will not be resumed any more. The loop would go on with it, and
-- refuse another one.
function adapter.forget(fd)
  local stop = waits[fd]
  if stop then
    stop()
  end
end

-- Yields until `fd` is readable; returns true then, and nothing after `seconds` (nil: no limit). Raises where a
-- coroutine cannot yield, and when something else resumed it.
-- The handle is closed at once, while the loop runs: one that is closed after its end would bring
-- luv down when the program ends.
function adapter.wait(fd, seconds)
  local co, is_main = coroutine.running()
  must_yield(co, is_main)
  local handle = assert(uv.new_poll(fd))
  local timer, woken, readable
  local function stop()
    waits[fd] = nil
    handle:close()
    if timer then
      timer:close()
    end
  end
  local function wake(...)
    stop()
    woken, readable = true, ...
    resume(co)
  end
  waits[fd] = stop
  timer = start_timer(seconds, function()
    wake()
  end)
  handle:start("r", function()
    wake(true)
  end)
  coroutine.yield()
  if not woken then
    stop()
    core.raise "mypool cannot wait here: something else than luv resumed this coroutine"
  end
  return readable
end

return adapter
