-- mypool under cqueues: mypool.new { wait = require "mypool.wait.cqueues", … }

local auxlib = require "cqueues.auxlib"
local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local core = require "mypool.core"
core.internal()

local adapter = {}

local running = cqueues.running
local isyieldable = coroutine.isyieldable -- luacheck: ignore
local user_value = debug.getuservalue or debug.getfenv -- luacheck: ignore
local auxlib_source = debug.getinfo(auxlib.wrap, "S").source

-- ---- who resumes the coroutine that runs ----

-- The coroutine of the controller that is being run, which keeps all of its own in a table; nil when it is not found.
local function find_resumed(controller)
  local threads = user_value(controller)
  for _, thread in pairs(type(threads) == "table" and threads or {}) do
    local co = type(thread) == "userdata" and user_value(thread)
    if type(co) == "thread" and coroutine.status(co) == "normal" then
      return co
    end
  end
end

-- The coroutine that auxlib has resumed within another one; nil when something else has. (What runs there is
-- coroutine.resume, called by a function of auxlib's that has the coroutine in `co`.)
local function resumed_by_auxlib(co)
  local caller = debug.getinfo(co, 1, "Sf")
  if not caller or caller.source ~= auxlib_source then
    return nil
  end
  local name, value = debug.getlocal(co, 1, 1)
  for i = 1, 255 do
    if name == "co" or not name and i > 1 then
      break
    end
    name, value = debug.getupvalue(caller.func, i)
  end
  return value
end

-- True when all between the controller and the coroutine that runs pass on what it yields.
local function is_passed_on(controller)
  local co, last = find_resumed(controller), coroutine.running()
  if not co then
    return true -- as far as can be told
  end
  while co and co ~= last do
    co = resumed_by_auxlib(co)
  end
  return co ~= nil
end

-- ---- the adapter ----

local polled = {} -- by descriptor: what cqueues polls for it, as a wait would else make a table

local function readable_of(fd)
  local readable = { pollfd = fd, events = "r" }
  polled[fd] = readable
  return readable
end

local function refuse()
  if isyieldable() then
    core.raise "mypool cannot wait here: cqueues does not resume this coroutine (make it by cqueues.auxlib.wrap)"
  end
  core.raise "mypool cannot wait here: inside of string.gsub, table.sort, require or another C function"
end

-- True when this coroutine was resumed by the controller it has waited in. `directly`: by itself.
local function was_resumed(controller, directly)
  local now, still = running()
  return now == controller and (still or not directly and is_passed_on(now))
end

-- (Outside of all controllers cqueues.poll blocks.)
local function poll(what, seconds)
  local controller, directly = running()
  if controller and not (isyieldable() and (directly or is_passed_on(controller))) then
    refuse()
  end
  local ready = cqueues.poll(what, seconds)
  if controller and not was_resumed(controller, directly) then
    core.raise "mypool cannot wait here: something else than cqueues resumed this coroutine"
  end
  return ready == what or nil
end

-- Lets other coroutines of the controller run until `fd` is readable; returns true then, and nil after
-- `seconds` (nil: no limit). Raises where cqueues could not resume the coroutine, and when something else did.
function adapter.wait(fd, seconds)
  return poll(polled[fd] or readable_of(fd), seconds)
end

-- ---- in memory ----

local parked = {} -- by ticket: { condition =, controller =, woken = }
local early = {} -- tickets that were unparked before their coroutines had come to wait
local spare = {} -- what is to be parked next

-- As wait, until unpark(ticket).
function adapter.park(ticket, seconds)
  local one = table.remove(spare) or { condition = condition.new() }
  one.controller, one.woken = running(), false
  parked[ticket] = one
  local was_early = early[ticket]
  early[ticket] = nil
  local woken = poll(one.condition, was_early and 0 or seconds) or was_early
  parked[ticket] = nil
  spare[#spare + 1] = one
  return woken
end

local function signal(one)
  one.condition:signal()
end

-- Whoever has the ticket comes back, as soon as the controller comes to that. A collection, which may end loans, may
-- come right before cqueues has noted what a coroutine waits for: then nobody hears the signal, and another has to
-- follow.
function adapter.unpark(ticket)
  local one = parked[ticket]
  if not one then
    early[ticket] = true
  elseif not one.woken then
    local heard = one.condition:signal()
    if heard == 0 and one.controller then
      one.controller:wrap(signal, one)
    end
    one.woken = true
  end
end

-- cqueues remembers descriptors by number.
function adapter.forget(source)
  local one = parked[source]
  early[source], parked[source] = nil, nil
  if one then
    signal(one)
  elseif type(source) == "number" then
    polled[source] = nil
    cqueues.cancel(source)
  end
end

return adapter
