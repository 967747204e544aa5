-- Random programs whose coroutines end in the middle of calls: closed, or by what their wait function raised, at
-- any step. The collector rests meanwhile, so all that they had must be free at once. In a process of its own:
--
--   require "spec.programs.closed_coroutines" { socket = …, seed = 1, seconds = 5 }
--
-- Program after program until the time is over, each with the next seed, or the one of MYPOOL_SEED. Prints the
-- seed of each before it runs, and in the end how many programs and ended coroutines there were.

local core = require "mypool.core"
local cqueues = require "cqueues"
local mypool = require "mypool"
local waiting_calls = require "spec.support.waiting_calls"

local chance

local function reseed(seed)
  math.randomseed(seed)
  function chance(n)
    return math.random(n) == 1
  end
end

-- ---- a scheduler that ends coroutines ----

local tasks -- by coroutine: { fd =, time = }
local ended -- how many

local function wait(fd, seconds)
  local task = tasks[coroutine.running()]
  if not task or not coroutine.isyieldable() then
    return core.poll(fd, seconds)
  end
  if chance(12) then
    ended = ended + 1
    error("on purpose: before", 0)
  end
  task.fd, task.time = fd, seconds and cqueues.monotime() + seconds
  if coroutine.yield() then
    ended = ended + 1
    error("on purpose: thrown in", 0)
  end
  if chance(3) then
    return "garbage", {}, 7 -- as a wait function may return
  end
  return true
end

local function pause()
  local task = tasks[coroutine.running()]
  if task then
    task.fd, task.time = nil, cqueues.monotime() + math.random() / 500
    coroutine.yield()
  end
end

local function resume(co, throw)
  local ok, err = coroutine.resume(co, throw)
  if coroutine.status(co) == "dead" then
    tasks[co] = nil
  end
  assert(ok or tostring(err):find "on purpose" or mypool.is_error(err), err)
end

local function is_ready(task)
  if task.fd and core.poll(task.fd, 0) then
    return true
  end
  return task.time and cqueues.monotime() >= task.time
end

-- A coroutine is closed, thrown into, resumed too early, or when it is ready.
local function turn(co, task)
  if chance(40) then
    ended = ended + 1
    tasks[co] = nil
    assert(coroutine.close(co))
  elseif chance(60) and task.fd then
    resume(co, "throw")
  elseif is_ready(task) or task.fd and chance(20) then
    resume(co)
  end
end

local function run_all()
  while next(tasks) do
    local list = {}
    for co, task in pairs(tasks) do
      list[#list + 1] = { co, task }
    end
    for _, one in ipairs(list) do
      turn(one[1], one[2])
    end
    core.poll(0, 0.0002)
  end
end

-- ---- a program ----

local calls = {}
for _, call in ipairs(waiting_calls.calls) do
  -- What a coroutine leaves behind that ends by itself is not looked for here.
  if not call.lends and not call.options and call.name ~= "a checkout" then
    calls[#calls + 1] = call
  end
end

-- The handles that a call keeps are released, where it comes to its end.
local function lending(pool)
  local kept = {}
  local function checkout(_, ...)
    local conn, err = pool:checkout(...)
    kept[#kept + 1] = conn
    return conn, err
  end
  local stand_in = setmetatable({ checkout = checkout }, {
    __index = function(_, name)
      return function(_, ...)
        return pool[name](pool, ...)
      end
    end,
    __close = function()
      for _, conn in ipairs(kept) do
        conn:release()
      end
    end,
  })
  return stand_in
end

-- A failure of a call is one of the interruptions' doing, or that of a full pool.
local function task_of(pool)
  return function()
    for _ = 1, math.random(3) do
      local lent <close> = lending(pool)
      local call = calls[math.random(#calls)]
      if chance(2) then
        pcall(call.run, lent, pause)
      else
        call.run(lent, pause)
      end
    end
  end
end

local function check_free(pool, size)
  local stats = pool:stats()
  assert(stats.lent == 0 and stats.waiting == 0, ("lent %d, waiting %d"):format(stats.lent, stats.waiting))
  local began, conns = cqueues.monotime(), {}
  for i = 1, size do
    conns[i] = assert(pool:checkout())
    assert(conns[i]:value("SELECT ?", i) == i)
    assert(conns[i]:value "SELECT @a" == nil and not conns[i]:in_transaction())
  end
  assert(cqueues.monotime() - began < 4, "a checkout waited")
  for _, conn in ipairs(conns) do
    conn:release()
  end
end

local function one_program(socket)
  local size = math.random(3)
  local pool = mypool.new {
    socket = socket,
    user = "app",
    password = "secret",
    database = "app",
    max_size = size,
    checkout_timeout = 10,
    wait = wait,
  }
  tasks, ended = {}, 0
  collectgarbage "stop"
  for _ = 1, math.random(6) do
    tasks[coroutine.create(task_of(pool))] = { time = 0 }
  end
  run_all()
  check_free(pool, size)
  collectgarbage "restart"
  assert(pool:stats().forgotten == 0)
  pool:close()
  return ended
end

return function(given)
  local only = math.tointeger(tonumber(os.getenv "MYPOOL_SEED"))
  local deadline = cqueues.monotime() + given.seconds
  local seed, programs, count = only or given.seed, 0, 0
  repeat
    print("seed " .. seed)
    io.stdout:flush()
    reseed(seed)
    count = count + one_program(given.socket)
    programs, seed = programs + 1, seed + 1
  until only or cqueues.monotime() > deadline
  print(("%d programs, %d coroutines ended"):format(programs, count))
end
