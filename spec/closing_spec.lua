-- A coroutine that is closed while it waits, under each scheduler: what it had is free at once, without a garbage
-- collection, and the scheduler goes on.

local cqueues = require "cqueues"
local auxlib = require "cqueues.auxlib"
local eventually = require "spec.support.eventually"
local own = require "spec.support.scheduler"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local server = require "spec.support.server"
local waiting_calls = require "spec.support.waiting_calls"

local s

setup(function()
  s = server.start()
  waiting_calls.prepare(s)
end)

teardown(function()
  s:remove()
end)

after_each(function()
  collectgarbage "restart"
  pools.close()
end)

-- Each with start(co), which runs a coroutine until it has ended or is closed, and close(co).
local of_cqueues = schedulers.cqueues()
function of_cqueues.start(co)
  cqueues.running():wrap(auxlib.resume, co)
end

local of_luv = schedulers.luv()
function of_luv.start(co)
  assert(coroutine.resume(co))
end

function of_cqueues.close(co)
  assert(coroutine.close(co))
end
of_luv.close = of_cqueues.close

own.name, own.start = "a scheduler of the program's own", own.spawn
function own.close(co)
  own.forget(co)
  assert(coroutine.close(co))
end

local adapted = {
  { scheduler = of_cqueues, wait = of_cqueues.wait },
  { scheduler = of_luv, wait = of_luv.wait },
  { scheduler = own, wait = own.wait },
}

local waiting -- the coroutine to be closed, at its wait number `at`, and how many it has begun: { co =, at =, count = }

-- From the last of its waits it does not come back.
local function count(scheduler, f, ...)
  waiting.count = waiting.count + 1
  local at, result = waiting.count, f(...)
  while at >= waiting.at do
    scheduler.sleep(0.001)
  end
  return result
end

local function counting(scheduler, adapter)
  local wait = type(adapter) == "table" and adapter.wait or adapter
  return {
    forget = type(adapter) == "table" and adapter.forget or nil,
    wait = function(fd, seconds)
      if waiting and waiting.co == coroutine.running() then
        return count(scheduler, wait, fd, seconds)
      end
      return wait(fd, seconds)
    end,
  }
end

-- Runs the call in a coroutine and closes that at the k-th wait. Returns whether it had ended before.
local function close_at(k, scheduler, call, pool)
  local held = call.lends and assert(pool:checkout()) or nil
  local failure
  local co = coroutine.create(function()
    local ok, err = pcall(call.run, pool, function()
      count(scheduler, scheduler.sleep, 0.01)
    end, held)
    failure = not ok and err or nil
  end)
  waiting = { co = co, at = k, count = 0 }
  scheduler.start(co)
  eventually(function()
    return waiting.count >= k or coroutine.status(co) == "dead"
  end, scheduler.sleep)
  local finished = coroutine.status(co) == "dead"
  if not finished then
    scheduler.close(co)
  end
  waiting = nil
  assert(not failure, failure)
  if held then
    held:release()
  end
  return finished
end

-- One connection, and a checkout of five seconds: what had to wait for it would be seen.
local function check_free(pool)
  local stats = pool:stats()
  assert.same({ 0, 0 }, { stats.lent, stats.waiting })
  local began = cqueues.monotime()
  local value, err = pool:value "SELECT 7"
  assert.equal(7, value, err)
  assert.is_true(cqueues.monotime() - began < 2)
end

-- Returns whether the call had ended before its k-th wait.
local function check_closed_at(k, one, call)
  local options = s:options { max_size = 1, wait = counting(one.scheduler, one.wait) }
  for name, value in pairs(call.options or {}) do
    options[name] = value
  end
  local pool = pools.new(options)
  assert(pool:ping())
  collectgarbage "stop"
  local finished = close_at(k, one.scheduler, call, pool)
  if finished then
    collectgarbage()
  end
  check_free(pool)
  collectgarbage "restart"
  pool:close()
  return finished
end

for _, one in ipairs(adapted) do
  describe("under " .. one.scheduler.name .. ", closed at any wait,", function()
    for _, call in ipairs(waiting_calls.calls) do
      it(call.name .. " leaves its place free at once", function()
        one.scheduler.run(function()
          local k = 0
          repeat
            k = k + 1
          until check_closed_at(k, one, call)
          assert.is_true(k > 1 or call.name == "a checkout", "it never waited")
        end)
      end)
    end
  end)
end
