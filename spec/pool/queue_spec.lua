-- The queue for connections, on a server: in order, within deadlines, and at no cost for those who gave up.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"

local s = fixture.server()
local scheduler = schedulers.cqueues()
local run, sleep, now = scheduler.run, scheduler.sleep, cqueues.monotime

after_each(pools.close)

local function new(options)
  options.wait = scheduler.wait
  return pools.new(s:options(options))
end

local function new_over(r, options)
  options.port, options.wait = r.port, scheduler.wait
  return pools.new(s:tcp_options(options))
end

local open_files = require "spec.support.descriptors"

-- Functions for run: the first takes the only connection, until is_over(); the others follow one by one.
local function behind_a_holder(pool, is_over, functions)
  local tasks = {
    function()
      local conn = assert(pool:checkout())
      eventually(is_over, sleep)
      conn:release()
    end,
  }
  for i, f in ipairs(functions) do
    tasks[i + 1] = function()
      sleep(0.02)
      while pool:stats().waiting < i - 1 do
        sleep(0.001)
      end
      f()
    end
  end
  return tasks
end

describe("the queue", function()
  it("serves in the order of coming", function()
    local pool = new { max_size = 1 }
    local served, functions = {}, {}
    for i = 1, 50 do
      functions[i] = function()
        local conn <close> = assert(pool:checkout())
        served[#served + 1] = i
        assert.equal(i, (conn:value("SELECT ?", i)))
      end
    end
    run(table.unpack(behind_a_holder(pool, function()
      return pool:stats().waiting == 50
    end, functions)))
    for i = 1, 50 do
      assert.equal(i, served[i])
    end
    pools.has_opened(1, pool)
  end)

  it("lets nobody who comes later take what was handed to another", function()
    local pool = new { max_size = 1 }
    local served = {}
    run(function()
      local conn = assert(pool:checkout())
      sleep(0.05)
      conn:release()
      conn = assert(pool:checkout()) -- at once, and yet after those who wait
      served[#served + 1] = "again"
      conn:release()
    end, function()
      sleep(0.01)
      local conn = assert(pool:checkout())
      served[#served + 1] = "first"
      conn:release()
    end)
    assert.same({ "first", "again" }, served)
  end)

  it("keeps each waiter's own time limit", function()
    local pool = new { max_size = 1 }
    local waited, ended, tasks = {}, 0, {}
    tasks[1] = function()
      local conn = assert(pool:checkout())
      eventually(function()
        return ended == 5
      end, sleep)
      conn:release()
    end
    tasks[2] = function()
      sleep(0.01)
      assert(pool:checkout(60)):release()
    end
    for i = 1, 5 do
      tasks[i + 2] = function()
        sleep(0.02)
        local started = now()
        local conn, err = pool:checkout(i / 10)
        waited[i], ended = now() - started, ended + 1
        assert.is_nil(conn)
        assert.equal("exhausted", err.kind)
        assert.truthy(err.message:find("1 of 1 connections are lent", 1, true))
        assert.truthy(err.message:find("queue_spec.lua:", 1, true))
      end
    end
    run(table.unpack(tasks))
    for i = 1, 5 do
      assert.is_true(waited[i] >= i / 10 - 0.002 and waited[i] < 10, waited[i])
    end
    assert.equal(0, pool:stats().waiting)
  end)

  it("keeps the limit of a checkout across connections that fail and come back", function()
    local r <close> = relay.start(s.host .. ":" .. s.port)
    local pool = new_over(r, { max_size = 2, retries = 5 })
    r:refuse(true)
    local waited, err
    run(function()
      local started = now()
      err = select(2, pool:checkout(0.5))
      waited = now() - started
    end)
    assert.equal("connect", err.kind)
    assert.equal("no", err.executed)
    assert.is_true(waited < 4, waited)
    assert.is_true(pool:stats().connect_failures > 1)
  end)

  it("gives the place of a failed connect to the next waiter", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local r <close> = relay.start(s.host .. ":" .. s.port)
    local pool = new_over(r, { max_size = 1, retries = 0 })
    r:cut("down", 0, "rst") -- of the first connection only
    local outcomes = {}
    local function attempt()
      local value, err = pool:value "SELECT 1"
      outcomes[#outcomes + 1] = value or err.kind
    end
    run(attempt, attempt, attempt)
    table.sort(outcomes, function(a, b)
      return tostring(a) < tostring(b)
    end)
    assert.same({ 1, 1, "connect" }, outcomes)
    assert.same({ 1, 1 }, { pool:stats().connect_failures, pool:stats().opened })
  end)

  it("opens no more connections than there are places, however slow that is", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local r <close> = relay.start(s.host .. ":" .. s.port)
    r:delay(60)
    local pool = new_over(r, { max_size = 5 })
    local tasks, served = {}, 0
    for i = 1, 50 do
      tasks[i] = function()
        assert.equal(i, assert(pool:value("SELECT ?", i)))
        served = served + 1
      end
    end
    tasks[51] = function()
      while served < 50 do
        assert.is_true(r:stats().connections <= 5)
        assert.is_true(pool:stats().size <= 5)
        sleep(0.02)
      end
    end
    run(table.unpack(tasks))
    assert.equal(50, served)
    assert.same({ 5, 5 }, { r:stats().connections, pool:stats().opened })
  end)

  it("gives a connection that outlived its caller's patience to the next one", function()
    local r <close> = relay.start(s.host .. ":" .. s.port)
    r:delay(100)
    local pool = new_over(r, { max_size = 1 })
    run(function()
      local conn, err = pool:checkout(0.05)
      assert.is_nil(conn)
      assert.equal("timeout", err.kind)
      assert.equal(1, pool:stats().opening)
      assert.equal(1, assert(pool:value "SELECT 1"))
    end)
    assert.same({ 1, 1, 0 }, { r:stats().connections, pool:stats().opened, pool:stats().connect_failures })
  end)

  -- A program of its own, of 10,000 descriptors and more, that prints "well". %q in it is the server's socket.
  local function assert_runs_well(text)
    local printed, ok = program(text:format(s.socket), nil, "ulimit -n 15000")
    assert.equal("well\n", printed)
    assert.is_true(ok)
  end

  it("is not held up by 10,000 waiters whose time is up", function()
    assert_runs_well [[
      local cqueues = require "cqueues"
      local mypool = require "mypool"
      local pool = mypool.new { socket = %q, user = "app", password = "secret", max_size = 1,
        checkout_timeout = 120, wait = require "mypool.wait.cqueues" }
      local cq, expired = cqueues.new(), 0
      cq:wrap(function()
        local conn = assert(pool:checkout())
        repeat
          cqueues.sleep(0.1)
        until expired == 10000
        assert(pool:stats().waiting == 1, pool:stats().waiting)
        local released = cqueues.monotime()
        cq:wrap(function()
          assert(pool:value "SELECT 1")
          assert(cqueues.monotime() - released < 20)
        end)
        conn:release()
      end)
      for i = 1, 10000 do
        cq:wrap(function()
          cqueues.sleep(0.05)
          local conn, err = pool:checkout(0.3 + i / 100000)
          assert(not conn and err.kind == "exhausted", err)
          expired = expired + 1
        end)
      end
      cq:wrap(function()
        cqueues.sleep(0.2)
        assert(pool:value "SELECT 2")
      end)
      assert(cq:loop())
      assert(expired == 10000, expired)
      assert(pool:stats().waiting == 0)
      print "well"
    ]]
  end)

  it("is not held up by 10,000 waiters that were abandoned", function()
    assert_runs_well [[
      local core = require "mypool.core"
      local mypool = require "mypool"
      local function wait(fd, seconds)
        if coroutine.isyieldable() then
          return coroutine.yield()
        end
        return core.poll(fd, seconds)
      end
      local pool = mypool.new { socket = %q, user = "app", password = "secret", max_size = 1, wait = wait }
      local conn = assert(pool:checkout())
      local waiters = {}
      for i = 1, 10000 do
        waiters[i] = coroutine.create(function()
          pool:checkout(60)
        end)
        assert(coroutine.resume(waiters[i]))
      end
      assert(pool:stats().waiting == 10000)
      for i = 1, 10000, 2 do
        assert(coroutine.close(waiters[i]))
      end
      waiters = nil
      collectgarbage()
      collectgarbage()
      assert(pool:stats().waiting == 0, pool:stats().waiting)
      conn:release()
      assert(pool:value "SELECT 1" == 1)
      assert(pool:stats().opened == 1)
      print "well"
    ]]
  end)

  it("hears of a connection that comes back while another one is being opened, and takes as long", function()
    local r <close> = relay.start(s.host .. ":" .. s.port)
    local pool = new_over(r, { max_size = 2, connect_timeout = 20, checkout_timeout = 20 })
    local id, got, seconds
    run(function()
      local conn = assert(pool:checkout())
      id = conn:id()
      r:cut("down", 0, "hold") -- the next connection hears nothing
      sleep(0.2)
      conn:release()
    end, function()
      sleep(0.1)
      local began = now()
      local conn <close> = assert(pool:checkout())
      got, seconds = conn:id(), now() - began
    end)
    assert.equal(id, got)
    assert.is_true(seconds < 10, seconds)
    r:release()
    pool:close()
  end)

  it("uses as many descriptors as the most that ever waited, and no more", function()
    local pool = new { max_size = 1 }
    local function crowd()
      local functions = {}
      for i = 1, 30 do
        functions[i] = function()
          assert(pool:query "SELECT 1")
        end
      end
      run(table.unpack(functions))
    end
    crowd()
    local files = open_files()
    for _ = 1, 10 do
      crowd()
    end
    assert.is_true(open_files() <= files + 1, open_files())
    pool:close()
  end)
end)

describe("a connection that was forgotten", function()
  local own = require "spec.support.scheduler"

  local function lose(pool)
    assert(assert(pool:checkout()):ping())
  end

  before_each(function()
    collectgarbage()
    collectgarbage "stop"
  end)

  after_each(function()
    collectgarbage "restart"
  end)

  it("costs whoever waits for it one second, and nobody his place", function()
    local pool = new { max_size = 1 }
    local began, served, seconds = nil, {}, nil
    run(function()
      lose(pool)
      began = now()
      local conn <close> = assert(pool:checkout())
      seconds = now() - began
      assert.equal(7, (conn:value "SELECT 7"))
      served[#served + 1] = "first"
      sleep(0.05)
    end, function()
      repeat
        sleep(0.01)
      until pool:stats().waiting == 1 or #served > 0
      local conn <close> = assert(pool:checkout())
      assert.equal(8, (conn:value "SELECT 8"))
      served[#served + 1] = "second"
    end)
    assert.same({ "first", "second" }, served)
    assert.is_true(seconds > 0.9 and seconds < 4.5, seconds)
    pools.has_opened(1, pool)
    assert.equal(1, pool:stats().forgotten)
  end)

  it("is found also for a checkout that has less than a second", function()
    local pool = new { max_size = 1 }
    run(function()
      lose(pool)
      assert(pool:checkout(0.5)):release()
    end)
  end)

  it("in the middle of a statement has the rest of the time to be recovered", function()
    local pool = pools.new(s:options { max_size = 1, wait = own.wait })
    local function drop()
      local thread = coroutine.create(function()
        pool:query "SELECT SLEEP(30)"
      end)
      own.spawn(thread)
      own.sleep(0.1)
      own.forget(thread)
    end
    own.run(function()
      drop()
      assert.equal(1, pool:stats().lent)
      local began = now()
      assert.equal(7, (pool:value "SELECT 7"))
      assert.is_true(now() - began < 4.5)
    end)
    pools.has_opened(1, pool)
  end)
end)

describe("a line of max_waiting", function()
  it("lets one more know at once, without a collection, and counts it", function()
    local pool = new { max_size = 1, max_waiting = 2, name = "shop" }
    local refused, served = nil, 0
    local function wait_and_serve()
      assert(pool:checkout()):release()
      served = served + 1
    end
    local function is_refused()
      return refused
    end
    run(table.unpack(behind_a_holder(pool, is_refused, {
      wait_and_serve,
      wait_and_serve,
      function()
        refused = select(2, pool:query "SELECT 1")
      end,
    })))
    assert.equal("exhausted", refused.kind)
    local words = "pool 'shop' exhausted, 1 of 1 connections are lent and 2 checkouts wait (max_waiting)"
    assert.equal(words, refused.message)
    assert.equal(2, served)
    assert.equal(1, pool:stats().refused)
  end)

  it("is an option of a DSN, too", function()
    local pool = pools.new(s:dsn "max_size=1&max_waiting=0")
    local conn = assert(pool:checkout())
    assert.equal("exhausted", select(2, pool:checkout()).kind)
    conn:release()
    assert.equal(0, pool:stats().refused, "in a plain program nobody waits anyway")
    assert.has_error(function()
      pools.new(s:dsn "max_waiting=few")
    end)
  end)
end)
