-- mypool under cqueues: mypool.new { wait = require "mypool.wait.cqueues", … }

local auxlib = require "cqueues.auxlib"
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

-- Lets other coroutines of the controller run until `fd` is readable; returns true then, and nothing after
-- `seconds` (nil: no limit). Raises where cqueues could not resume the coroutine, and when something else did.
-- (Outside of all controllers cqueues.poll blocks.)
function adapter.wait(fd, seconds)
  local controller, directly = running()
  if controller and not (isyieldable() and (directly or is_passed_on(controller))) then
    refuse()
  end
  local readable = polled[fd] or readable_of(fd)
  local ready = cqueues.poll(readable, seconds)
  if controller and not was_resumed(controller, directly) then
    core.raise "mypool cannot wait here: something else than cqueues resumed this coroutine"
  end
  if ready == readable then
    return true
  end
end

-- cqueues remembers descriptors by number.
function adapter.forget(fd)
  polled[fd] = nil
  cqueues.cancel(fd)
end

return adapter
