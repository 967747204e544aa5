-- A scheduler of a page, as a program might bring its own: tasks are coroutines, and while one waits for a
-- file descriptor the others run.
--
--     local pool = mypool.new { …, wait = scheduler.wait }       -- or scheduler.parking: who is in line is parked
--     scheduler.run(function() … end, function() … end)

local core = require "mypool.core"
local monotime = require("cqueues").monotime

local scheduler = {}
local tasks = {} -- by coroutine: { fd =, ticket =, time = }, of which each may be missing
local unparked = {} -- by ticket

-- The wait function. Outside of a task it blocks.
function scheduler.wait(fd, seconds)
  local task = tasks[coroutine.running()]
  if not task then
    return core.poll(fd, seconds)
  end
  task.fd, task.time = fd, seconds and monotime() + seconds
  return coroutine.yield()
end

local function park(ticket, seconds)
  local task = tasks[coroutine.running()]
  if not task then
    return core.poll(-1, unparked[ticket] and 0 or seconds)
  end
  task.ticket, task.time = ticket, seconds and monotime() + seconds
  local woken = coroutine.yield()
  unparked[ticket] = nil
  return woken
end

local function unpark(ticket)
  unparked[ticket] = true
end

local function forget(source)
  unparked[source] = nil
end

scheduler.parking = { wait = scheduler.wait, forget = forget, park = park, unpark = unpark }

-- Lets the other tasks run for so long.
function scheduler.sleep(seconds)
  tasks[coroutine.running()].time = monotime() + seconds
  coroutine.yield()
end

-- Lets the other tasks run until the condition holds; raises after ten seconds.
function scheduler.await(condition)
  local deadline = monotime() + 10
  while not condition() do
    if monotime() > deadline then
      error("waited in vain", 2)
    end
    scheduler.sleep(0.002)
  end
end

local function resume(thread, ...)
  tasks[thread].fd, tasks[thread].ticket, tasks[thread].time = nil, nil, nil
  local ok, err = coroutine.resume(thread, ...)
  if coroutine.status(thread) == "dead" then
    tasks[thread] = nil
  end
  if not ok then
    error(err, 0)
  end
end

-- Resumes what is ready; returns whether anything was.
local function turn()
  local ready = {}
  for thread, task in pairs(tasks) do
    if task.fd and core.poll(task.fd, 0) or unparked[task.ticket or 0] then
      ready[#ready + 1] = { thread, true }
    elseif task.time and monotime() >= task.time then
      ready[#ready + 1] = { thread }
    end
  end
  for _, one in ipairs(ready) do
    if tasks[one[1]] then
      resume(one[1], one[2])
    end
  end
  return #ready > 0
end

local function idle()
  for _, task in pairs(tasks) do
    if task.fd then
      return core.poll(task.fd, 0.002)
    end
  end
  os.execute "sleep 0.002"
end

-- Makes a task of a coroutine that has not begun.
function scheduler.spawn(thread)
  tasks[thread] = { time = 0 }
end

-- Never resumes it again.
function scheduler.forget(thread)
  tasks[thread] = nil
end

-- Makes tasks of the functions and runs until all have ended. Raises what one of them raises; the others are
-- then forgotten.
function scheduler.run(...)
  for _, f in ipairs { ... } do
    scheduler.spawn(coroutine.create(f))
  end
  local ok, err = pcall(function()
    while next(tasks) do
      if not turn() then
        idle()
      end
    end
  end)
  tasks, unparked = {}, {}
  if not ok then
    error(err, 0)
  end
end

return scheduler
