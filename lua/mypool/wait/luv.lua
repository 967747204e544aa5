-- mypool under luv: mypool.new { wait = require "mypool.wait.luv", … }, in coroutines, while
-- uv.run() drives the loop.

local uv = require "luv"
local core = require "mypool.core"
core.internal()

local adapter = {}
local waits = {} -- by descriptor or ticket: { co =, handle =, timer =, woken =, ready =, unparked = }
local early = {} -- tickets that were unparked before their coroutines had come to wait

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
local function stop(source, one)
  waits[source] = nil
  if one.handle then
    one.handle:close()
  end
  if one.timer then
    one.timer:close()
  end
end

local function wake(source, one, ready)
  stop(source, one)
  one.woken, one.ready = true, ready
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

-- Ends the wait of a coroutine that will not be resumed any more. The loop would go on with it, and refuse another
-- one.
function adapter.forget(source)
  local one = waits[source]
  early[source] = nil
  if one then
    stop(source, one)
  end
end

local function begin(source, seconds)
  local co, is_main = coroutine.running()
  must_yield(co, is_main)
  local one = { co = co }
  waits[source] = one
  one.timer = seconds and start_timer(seconds, function()
    wake(source, one)
  end)
  return one
end

local function yield(source, one)
  coroutine.yield()
  if not one.woken then
    stop(source, one)
    core.raise "mypool cannot wait here: something else than luv resumed this coroutine"
  end
  return one.ready
end

-- Yields until `fd` is readable; returns true then, and nothing after `seconds` (nil: no limit). Raises where a
-- coroutine cannot yield, and when something else resumed it.
function adapter.wait(fd, seconds)
  local one = begin(fd, seconds)
  one.handle = assert(uv.new_poll(fd))
  one.handle:start("r", function()
    wake(fd, one, true)
  end)
  return yield(fd, one)
end

-- ---- in memory ----

local LONG = 1e6 -- seconds: without a timer the loop would end while somebody is parked

-- As wait, until unpark(ticket).
function adapter.park(ticket, seconds)
  local one = begin(ticket, seconds or LONG)
  if early[ticket] then
    adapter.unpark(ticket)
    early[ticket] = nil
  end
  return yield(ticket, one)
end

-- Whoever has the ticket is resumed in the next turn of the loop.
function adapter.unpark(ticket)
  local one = waits[ticket]
  if not one then
    early[ticket] = true
  elseif not one.unparked then
    local turn = start_timer(0, function()
      wake(ticket, one, true)
    end)
    one.timer:close()
    one.timer, one.unparked = turn, true
  end
end

return adapter
