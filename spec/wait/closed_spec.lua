-- A coroutine that is closed while it waits, under each scheduler: what it had is free at once, without a garbage
-- collection, and the scheduler goes on.

local cqueues = require "cqueues"
local auxlib = require "cqueues.auxlib"
local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local own = require "spec.support.scheduler"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local waiting_calls = require "spec.support.waiting_calls"

local s = fixture.server()

setup(function()
  waiting_calls.prepare(s)
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
  { scheduler = own, wait = own.parking, how = ", who parks," },
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
  adapter = type(adapter) == "table" and adapter or { wait = adapter }
  local function counted(wait)
    return wait
      and function(source, seconds)
        if waiting and waiting.co == coroutine.running() then
          return count(scheduler, wait, source, seconds)
        end
        return wait(source, seconds)
      end
  end
  return {
    wait = counted(adapter.wait),
    forget = adapter.forget,
    park = counted(adapter.park),
    unpark = adapter.unpark,
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
  assert.is_true(cqueues.monotime() - began < 4.5)
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
  describe(("under %s%s closed at any wait,"):format(one.scheduler.name, one.how or ","), function()
    for _, call in ipairs(waiting_calls.calls) do
      it(call.name .. " leaves its place free at once", function()
        dialect.needs(call.name:find "^a reset" and "COM_RESET_CONNECTION", pending)
        one.scheduler.run(function()
          local k = 0
          repeat
            k = k + 1
          until check_closed_at(k, one, call)
          assert.is_true(k > 1 or call.may_not_wait or call.name == "a checkout", "it never waited")
        end)
      end)
    end
  end)
end

-- ---- what is left ----

describe("when the coroutine of a call was closed", function()
  local function new(options)
    options = options or {}
    options.max_size, options.wait = options.max_size or 1, own.wait
    return pools.new(s:options(options))
  end

  -- Runs f until it waits, for a while, and closes its coroutine.
  local function close_within(f)
    local co = coroutine.create(f)
    own.spawn(co)
    own.sleep(0.03)
    assert.equal("suspended", coroutine.status(co))
    own.close(co)
  end

  local function run(f)
    return function()
      own.run(f)
    end
  end

  local function lost(result, err)
    assert.is_nil(result)
    assert.equal("lost", err.kind)
  end

  it(
    "a connection that somebody still has is as after a loss, and its transaction",
    run(function()
      local pool = new()
      local conn = assert(pool:checkout())
      local statement = assert(conn:prepare "SELECT 1")
      local tx = assert(conn:begin())
      close_within(function()
        tx:query "DO SLEEP(20)"
      end)
      assert.equal(7, (pool:value "SELECT 7"))
      assert.is_true(conn:is_held())
      assert.is_nil(conn:id())
      lost(conn:query "SELECT 1")
      lost(conn:one "SELECT 1")
      lost(conn:ping())
      lost(conn:reset())
      lost(statement:execute())
      lost(tx:query "SELECT 1")
      assert.is_true(tx:rollback())
      conn:release()
      assert.equal(0, pool:stats().lent)
    end)
  )

  it(
    "a stream that somebody still has raises, and does not end",
    run(function()
      local pool = new()
      local rows = "SELECT REPEAT('x', 100000), SLEEP(IF(seq = 1, 0, 20)) FROM seq_1_to_3"
      local stream = assert(pool:rows(rows))
      local err
      close_within(function()
        for _ in stream do -- luacheck: ignore
        end
      end)
      assert.equal(7, (pool:value "SELECT 7"))
      err = select(2, pcall(stream))
      assert.equal("lost", err.kind)
      assert.is_nil(stream())
    end)
  )

  it(
    "its statement ends on the server, though nobody uses the pool",
    run(function()
      local pool = new()
      close_within(function()
        pool:query "SELECT SLEEP(20), 'closed'"
      end)
      local observer = pools.new(s:options())
      own.await(function()
        local going_on = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(20)%'"
        return observer:value(going_on) == 0
      end)
    end)
  )

  for _, reset in ipairs { "always", "never" } do
    it(
      "its transaction is undone, also without resets: " .. reset,
      run(function()
        local pool = new { reset = reset }
        assert(pool:query "DELETE FROM t")
        close_within(function()
          pool:transaction(function(tx)
            assert(tx:query "INSERT INTO t VALUES (1)")
            own.sleep(20)
          end)
        end)
        assert.equal(0, pool:stats().lent)
        pool:with(function(conn)
          assert.is_false(conn:in_transaction())
          assert.equal(0, (conn:value "SELECT COUNT(*) FROM t"))
        end)
      end)
    )
  end

  it(
    "a nested transaction takes the one around it along: half of it must not be committed",
    run(function()
      local pool = new()
      assert(pool:query "DELETE FROM t")
      local tx = assert(pool:begin())
      assert(tx:query "INSERT INTO t VALUES (1)")
      close_within(function()
        tx:transaction(function(inner)
          assert(inner:query "INSERT INTO t VALUES (2)")
          own.sleep(20)
        end)
      end)
      lost(tx:commit())
      assert.equal(0, (pool:value "SELECT COUNT(*) FROM t"))
    end)
  )

  it(
    "a connection that another coroutine had released is given back",
    run(function()
      local pool = new()
      local conn = assert(pool:checkout())
      local co = coroutine.create(function()
        conn:query "SELECT SLEEP(20)"
      end)
      own.spawn(co)
      own.sleep(0.03)
      conn:release()
      own.close(co)
      assert.is_false(conn:is_held())
      assert.equal(7, (pool:value "SELECT 7"))
    end)
  )

  it(
    "a pool that it was closing is closed, and can be closed again",
    run(function()
      local pool = new()
      local conn = assert(pool:checkout())
      close_within(function()
        pool:close(20)
      end)
      assert.equal("closed", select(2, pool:checkout()).kind)
      assert.equal(1, (conn:value "SELECT 1"))
      pool:close()
      assert.equal("closed", select(2, conn:value "SELECT 1").kind)
      conn:release()
    end)
  )
end)
