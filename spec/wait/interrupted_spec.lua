-- Interruptions: whatever happens to coroutines, wait functions and pools in the middle of a call, nothing hangs, and
-- no slot is lost.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"
local sleep = require "spec.support.sleep"
local times = require "spec.support.times"

local s = fixture.server()

after_each(pools.close)

local function collect()
  collectgarbage()
  collectgarbage()
end

-- All slots are there: as many connections as max_size can be lent at once, and each works.
local function assert_all_slots(pool, count)
  collect()
  local conns = {}
  for i = 1, count do
    conns[i] = assert(pool:checkout())
    assert.equal(i, (conns[i]:value("SELECT ?", i)))
  end
  for i = 1, count do
    conns[i]:release()
  end
  assert.equal(0, pool:stats().lent)
end

describe("under a scheduler", function()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 3, wait = scheduler.wait, checkout_timeout = 10 })
  end)

  it("queries of several coroutines run at the same time", function()
    local started = cqueues.monotime()
    scheduler.run(table.unpack(times(3, function()
      assert.equal(0, pool:value "SELECT SLEEP(1.5)")
    end)))
    assert.is_true(cqueues.monotime() - started < 4)
    assert.equal(3, pool:stats().opened)
  end)

  it("a full pool serves the waiting in the order of their coming", function()
    local small = pools.new(s:options { max_size = 1, wait = scheduler.wait, checkout_timeout = 10 })
    local order = {}
    scheduler.run(function()
      local conn = assert(small:checkout())
      for i = 1, 7 do
        scheduler.spawn(coroutine.create(function()
          local own <close> = assert(small:checkout())
          order[#order + 1] = i
          assert.equal(i, (own:value("SELECT ?", i)))
        end))
        scheduler.await(function()
          return small:stats().waiting == i
        end)
      end
      conn:release()
      local late <close> = assert(small:checkout()) -- who comes later waits behind them
      order[#order + 1] = "late"
      assert.is_true(late:ping())
    end)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, "late" }, order)
    assert.equal(0, small:stats().waiting)
    pools.has_opened(1, small)
  end)

  it("many more coroutines than connections all get their own answers", function()
    local answers = 0
    scheduler.run(table.unpack(times(60, function(i)
      for j = 1, 5 do
        assert.equal(i * 1000 + j, (pool:value("SELECT ?", i * 1000 + j)))
        answers = answers + 1
      end
    end)))
    assert.equal(300, answers)
    assert.same({ 0, 0 }, { pool:stats().lent, pool:stats().waiting })
    pools.has_opened(3, pool)
  end)

  it("a checkout that waited in vain says who holds the connections", function()
    scheduler.run(function()
      local a, b, c = pool:checkout(), pool:checkout(), pool:checkout()
      local conn, err = pool:checkout(0.1)
      assert.is_nil(conn)
      assert.equal("exhausted", err.kind)
      local lent = "3 of 3 connections are lent: spec/wait/interrupted_spec.lua:"
      assert.is_truthy(err.message:find(lent, 1, true), err.message)
      assert.is_truthy(a and b and c)
    end)
    assert.equal(0, pool:stats().waiting)
    assert_all_slots(pool, 3)
  end)

  it("a connection that two coroutines use at once raises in the second", function()
    scheduler.run(function()
      local conn = assert(pool:checkout())
      local first
      scheduler.spawn(coroutine.create(function()
        first = conn:value "SELECT 1 + SLEEP(0.2)"
      end))
      scheduler.sleep(0.05)
      for name, arguments in pairs { query = { "SELECT 2" }, value = { "SELECT 2" }, ping = {}, begin = {}, id = {} } do
        local text = "bad call of '%s' (another coroutine is using this connection: check out one for each)"
        mistake(text:format(name), function()
          conn[name](conn, table.unpack(arguments))
        end)
      end
      scheduler.await(function()
        return first
      end)
      assert.equal(1, first)
      assert.equal(2, (conn:value "SELECT 2"))
      conn:release()
    end)
    assert_all_slots(pool, 3)
    pools.has_opened(3, pool)
  end)

  for how, finish in pairs {
    ["released"] = function(conn)
      conn:release()
    end,
    ["at the end of its block"] = function(conn)
      local block <close> = conn -- luacheck: ignore
    end,
  } do
    it("a connection that another coroutine waits on is lost to it, and costs no slot, when it is " .. how, function()
      scheduler.run(function()
        local conn = assert(pool:checkout())
        local outcome
        scheduler.spawn(coroutine.create(function()
          outcome = { conn:value "SELECT SLEEP(20)" }
        end))
        scheduler.sleep(0.05)
        finish(conn)
        scheduler.await(function()
          return outcome
        end)
        assert.is_nil(outcome[1])
        assert.equal("lost", outcome[2].kind)
        mistake("released", function()
          conn:ping()
        end)
      end)
      assert_all_slots(pool, 3)
    end)
  end

  -- Runs f as far as the middle of its statement, where its scheduler forgets it. Returns its coroutine.
  local function leave_in_the_middle(f)
    local thread = coroutine.create(f)
    scheduler.spawn(thread)
    scheduler.run(function()
      scheduler.await(function()
        return pool:stats().lent == 1
      end)
      scheduler.sleep(0.02)
      scheduler.forget(thread)
    end)
    return thread
  end

  it("a coroutine that is abandoned in the middle of a query costs no slot", function()
    for _ = 1, 4 do
      leave_in_the_middle(function()
        pool:query "SELECT SLEEP(20)"
      end)
      collect()
    end
    assert.equal(0, pool:stats().lent)
    assert_all_slots(pool, 3)
  end)

  it("a statement that nobody waits for any more is stopped on the server", function()
    local thread = coroutine.create(function()
      pool:query "SELECT 'forgotten', SLEEP(60)"
    end)
    scheduler.spawn(thread)
    local function is_running()
      return 0 < pool:value "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT ''forgotten%'"
    end
    scheduler.run(function()
      scheduler.await(is_running)
      scheduler.forget(thread)
      thread = nil -- luacheck: ignore
      collect()
      scheduler.await(function()
        return not is_running()
      end)
    end)
    assert_all_slots(pool, 3)
    if dialect.has "COM_RESET_CONNECTION" then
      assert.equal(0, pool:stats().discarded)
    end
  end)

  it("a coroutine that is closed in the middle of a block gives its connection back", function()
    local thread = leave_in_the_middle(function()
      local conn <close> = assert(pool:checkout())
      conn:query "SELECT SLEEP(20)"
    end)
    assert.is_true(coroutine.close(thread))
    assert.equal(0, pool:stats().lent)
    assert_all_slots(pool, 3)
  end)

  it("a coroutine that is abandoned while it waits for a connection is not served", function()
    local thread = coroutine.create(function()
      pool:query "SELECT 1"
    end)
    scheduler.run(function()
      local a, b, c = pool:checkout(), pool:checkout(), pool:checkout()
      scheduler.spawn(thread)
      scheduler.await(function()
        return pool:stats().waiting == 1
      end)
      scheduler.forget(thread)
      thread = nil -- luacheck: ignore
      collect()
      assert.equal(0, pool:stats().waiting)
      local served
      scheduler.spawn(coroutine.create(function()
        served = pool:value "SELECT 1"
      end))
      scheduler.await(function()
        return pool:stats().waiting == 1
      end)
      a:release()
      scheduler.await(function()
        return served
      end)
      b:release()
      c:release()
    end)
    assert_all_slots(pool, 3)
  end)

  it("a coroutine that is abandoned while it connects leaves the connection to the next", function()
    for _ = 1, 3 do
      local thread = coroutine.create(function()
        pool:query "SELECT 1"
      end)
      assert(coroutine.resume(thread)) -- not a task of the scheduler, so its wait blocks
      assert.equal("dead", coroutine.status(thread))
    end
    local blocked = pools.new(s:options { max_size = 2, wait = coroutine.yield })
    for _ = 1, 4 do
      local thread = coroutine.create(function()
        blocked:checkout()
      end)
      assert(coroutine.resume(thread))
      thread = nil -- luacheck: ignore
      collect()
    end
    assert.equal(0, blocked:stats().lent)
    assert.is_true(blocked:stats().size <= 2)
    local thread = coroutine.create(function()
      return blocked:value "SELECT 7"
    end)
    local ok, fd
    repeat
      ok, fd = coroutine.resume(thread)
      assert.is_true(ok, fd)
      sleep(0.005)
    until coroutine.status(thread) == "dead"
    assert.equal(7, fd)
    assert.equal(0, blocked:stats().lent)
  end)

  it("a wait that comes back early does no harm", function()
    local hasty = pools.new(s:options { max_size = 1, wait = function() end })
    for i = 1, 5 do
      assert.equal(i, hasty:value("SELECT ? + SLEEP(0.02)", i))
    end
    pools.has_opened(1, hasty)
  end)

  it("the wait function is told an fd and the seconds that are left, and the connection", function()
    local calls = {}
    local spied = pools.new(s:options {
      query_timeout = 5,
      wait = function(...)
        calls[#calls + 1] = table.pack(...)
        return require("mypool.core").poll(...)
      end,
    })
    assert.equal(0, spied:value "SELECT SLEEP(0.05)")
    assert.is_true(#calls > 0)
    for _, call in ipairs(calls) do
      assert.equal(3, call.n)
      assert.equal("userdata", type(call[3]))
      assert.equal("integer", math.type(call[1]))
      assert.is_true(call[2] > 0 and call[2] <= 10)
    end
  end)

  describe("a wait function that raises", function()
    local failing, armed

    before_each(function()
      armed = false
      failing = pools.new(s:options {
        max_size = 2,
        wait = function(fd, seconds)
          if armed then
            error("the loop has ended", 0)
          end
          return require("mypool.core").poll(fd, seconds)
        end,
      })
    end)

    it("in a checkout raises there and loses no slot", function()
      for _ = 1, 5 do
        failing:evict()
        armed = true
        assert.same({ false, "the loop has ended" }, { pcall(failing.checkout, failing) })
        armed = false
        collect()
        assert.equal(0, failing:stats().lent)
        assert.is_true(failing:ping())
      end
      assert_all_slots(failing, 2)
    end)

    it("in a query raises there; the connection is lost, its slot is not", function()
      for _ = 1, 5 do
        local conn = assert(failing:checkout())
        armed = true
        assert.same({ false, "the loop has ended" }, { pcall(conn.query, conn, "SELECT SLEEP(0.01)") })
        armed = false
        local result, err = conn:query "SELECT 1"
        assert.is_nil(result)
        assert.equal("lost", err.kind)
        conn:release()
      end
      assert_all_slots(failing, 2)
    end)

    it("in a call of the pool's raises there and loses no slot", function()
      for name, arguments in pairs {
        query = { "SELECT SLEEP(0.01)" },
        one = { "SELECT SLEEP(0.01)" },
        value = { "SELECT SLEEP(0.01)" },
        begin = {},
        transaction = { function() end },
        ping = {},
      } do
        assert.is_true(failing:ping())
        armed = true
        pcall(failing[name], failing, table.unpack(arguments))
        armed = false
        collect()
        assert.equal(0, failing:stats().lent, name)
      end
      assert_all_slots(failing, 2)
    end)

    it("in a transaction's function raises there and loses no slot", function()
      s:sql "CREATE OR REPLACE TABLE app.things (n INT) ENGINE=InnoDB"
      local ok, message = pcall(failing.transaction, failing, function(tx)
        assert(tx:query "INSERT INTO things VALUES (1)")
        armed = true
        tx:query "SELECT SLEEP(0.01)"
      end)
      armed = false
      assert.same({ false, "the loop has ended" }, { ok, message })
      assert_all_slots(failing, 2)
      assert.equal(0, failing:value "SELECT COUNT(*) FROM things")
    end)
  end)

  describe("pool:close", function()
    it("with a grace waits until all is given back", function()
      local result
      scheduler.run(function()
        local conn = assert(pool:checkout())
        result = conn:value "SELECT 1 + SLEEP(0.2)"
        conn:release()
      end, function()
        scheduler.await(function()
          return pool:stats().lent == 1
        end)
        assert.is_true(pool:close(10))
        assert.equal(1, result)
        assert.equal(0, pool:stats().size)
      end)
    end)

    it("cuts what is still lent when the grace is over", function()
      local failure
      scheduler.run(function()
        local conn = assert(pool:checkout())
        failure = select(2, conn:value "SELECT 'cut', SLEEP(20)")
        conn:release()
      end, function()
        scheduler.await(function()
          return #s:sql "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT ''cut%'" == 1
        end)
        assert.is_true(pool:close(0.1))
      end)
      assert.same({ "closed", "unknown", true }, { failure.kind, failure.executed, failure.fatal })
      assert.equal(0, pool:stats().size)
    end)

    it("fails the waiting with the kind closed", function()
      local kinds = {}
      scheduler.run(function()
        local conns = { pool:checkout(), pool:checkout(), pool:checkout() }
        scheduler.await(function()
          return pool:stats().waiting == 2
        end)
        pool:close()
        for i = 1, 3 do
          conns[i]:release()
        end
      end, table.unpack(times(2, function()
        scheduler.await(function()
          return pool:stats().lent == 3
        end)
        local _, err = pool:checkout()
        kinds[#kinds + 1] = err.kind
      end)))
      assert.same({ "closed", "closed" }, kinds)
    end)
  end)
end)

describe("an error in the middle of a loan", function()
  it("loses no slot, whether or not the handle is released", function()
    local pool = pools.new(s:options { max_size = 2 })
    for _ = 1, 5 do
      assert.is_false(pcall(function()
        local conn = assert(pool:checkout())
        conn:query "START TRANSACTION"
        error "x"
      end))
      assert.is_false(pcall(function()
        local conn <close> = assert(pool:checkout())
        conn:query "START TRANSACTION"
        error "x"
      end))
      collect()
    end
    assert_all_slots(pool, 2)
  end)
end)
