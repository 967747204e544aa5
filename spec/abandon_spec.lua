-- A coroutine may be abandoned at any point, a wait function may raise at any point: it costs the session at
-- most, never its place in the pool.

local core = require "mypool.core"
local monotime = require("cqueues").monotime
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local relay = require "spec.support.relay"
local schedulers = require "spec.support.schedulers"
local server = require "spec.support.server"
local tls = require "spec.support.tls"

local s

setup(function()
  s = server.start { options = { tls.server_options() } }
  s:sql "CREATE TABLE app.t (n INT)"
  s:sql "DELIMITER //\nCREATE PROCEDURE two() BEGIN SELECT seq FROM seq_1_to_3000; SELECT seq FROM seq_1_to_3000; END//"
end)

teardown(function()
  s:remove()
end)

after_each(pools.close)

-- ---- at every step ----

local interrupt -- called at each wait inside a coroutine that is to be interrupted; nil: nobody is

local function wait(fd, seconds)
  if interrupt and coroutine.isyieldable() then
    interrupt()
  end
  return core.poll(fd, seconds)
end

-- Each is given a pool, and waits several times. `lends`: all connections are lent meanwhile, one of which it is
-- given to release.
local operations = {
  {
    name = "a checkout",
    run = function(pool)
      assert(pool:checkout())
    end,
  },
  {
    name = "a checkout that waits for a release",
    lends = true,
    run = function(pool, lent)
      local conn, err = pool:checkout(0.01)
      assert.is_nil(conn)
      assert.equal("exhausted", err.kind)
      lent:release()
      assert(pool:checkout())
    end,
  },
  {
    name = "a query",
    run = function(pool)
      assert(pool:query "SELECT 1")
    end,
  },
  {
    name = "queries in a loan",
    run = function(pool)
      local conn = assert(pool:checkout())
      assert(conn:query "DO SLEEP(0.002)")
      assert(conn:query "DO SLEEP(0.002)")
    end,
  },
  {
    name = "the fetch of many rows",
    run = function(pool)
      assert.equal(5000, #assert(pool:query "SELECT seq, REPEAT('x', 500) AS pad FROM seq_1_to_5000"))
    end,
  },
  {
    name = "a CALL with two results",
    run = function(pool)
      assert.equal(3000, #assert(select(2, pool:query "CALL two()")))
    end,
  },
  {
    name = "a transaction",
    run = function(pool)
      assert(pool:transaction(function(tx)
        assert(tx:query "INSERT INTO t VALUES (1)")
        return true
      end))
    end,
  },
  {
    name = "a commit",
    run = function(pool)
      local tx = assert(pool:begin())
      assert(tx:query "INSERT INTO t VALUES (2)")
      assert(tx:commit())
    end,
  },
  {
    name = "a ping",
    run = function(pool)
      assert(pool:ping())
    end,
  },
  {
    name = "a reset in the middle of a loan",
    run = function(pool)
      local conn = assert(pool:checkout())
      assert(conn:query "SET @a = 1")
      assert(conn:reset())
    end,
  },
  {
    name = "the stopping of a statement",
    run = function(pool)
      local result, err = pool:query { "SELECT SLEEP(5)", timeout = 0.002 }
      assert.is_nil(result)
      assert.equal("timeout", err.kind)
      assert(pool:query "SELECT 1")
    end,
  },
}

-- What may happen to a coroutine at its k-th wait. carry_out returns whether the operation had ended before.
local interruptions = {
  {
    name = "abandoned and collected",
    carry_out = function(f)
      local co = coroutine.create(f)
      assert(coroutine.resume(co))
      return coroutine.status(co) == "dead"
    end,
  },
  {
    name = "closed",
    carry_out = function(f)
      local co = coroutine.create(f)
      assert(coroutine.resume(co))
      local finished = coroutine.status(co) == "dead"
      assert(coroutine.close(co))
      return finished
    end,
  },
  {
    name = "left by an error of its wait function",
    raises = true,
    carry_out = function(f)
      local ok, err = coroutine.resume(coroutine.create(f))
      assert(ok or err == "interrupted", err)
      return ok
    end,
  },
}

-- All places of the pool (two) can be used, and nobody sees anything of what was interrupted.
local function check_whole(pool)
  collectgarbage()
  collectgarbage()
  local stats = pool:stats()
  assert.same({ 0, 0 }, { stats.lent, stats.waiting })
  assert.equal(stats.opened - stats.closed, stats.idle + stats.recovering)
  local conns = { assert(pool:checkout()), assert(pool:checkout()) }
  for i, conn in ipairs(conns) do
    assert.equal(i, (conn:value("SELECT ?", i)))
    assert.is_nil((conn:value "SELECT @a"))
    assert.is_false(conn:in_transaction())
  end
  for _, conn in ipairs(conns) do
    conn:release()
  end
  assert.equal(2, pool:stats().size)
end

-- Interrupts at the k-th wait; returns whether the operation came to its end before.
local function interrupted_at(k, how, operation, pool)
  local held, waits = {}, 0
  for i = 1, operation.lends and 2 or 0 do
    held[i] = assert(pool:checkout())
  end
  interrupt = function()
    waits = waits + 1
    if waits == k and how.raises then
      error("interrupted", 0)
    elseif waits == k then
      coroutine.yield()
    end
  end
  local ok, finished = pcall(how.carry_out, function()
    operation.run(pool, held[1])
  end)
  interrupt = nil
  for _, conn in ipairs(held) do
    conn:release()
  end
  assert(ok, finished)
  return finished
end

for _, how in ipairs(interruptions) do
  describe("a coroutine that is " .. how.name, function()
    for _, operation in ipairs(operations) do
      for _, state in ipairs { "new", "warm" } do
        it(("at any wait of %s leaves a %s pool whole"):format(operation.name, state), function()
          local k, finished = 0, false
          while not finished do
            k = k + 1
            local pool = pools.new(s:options { max_size = 2, wait = wait })
            if state == "warm" then
              check_whole(pool)
            end
            finished = interrupted_at(k, how, operation, pool)
            check_whole(pool)
            pools.close()
          end
          assert.is_true(k > 1 or state == "warm", "it never waited")
        end)
      end
    end
  end)
end

-- ---- threads ----

local function threads()
  local count = 0
  for _ in io.popen("ls /proc/$PPID/task"):lines() do
    count = count + 1
  end
  return count
end

describe("the threads that connect", function()
  local scheduler = schedulers.cqueues()

  local function stuck(count)
    local r = relay.start(s.host .. ":" .. s.port)
    r:hold()
    local pool = pools.new(s:tcp_options { port = r.port, max_size = count, wait = scheduler.wait })
    local before, tasks, refused = threads(), {}, {}
    for i = 1, count do
      tasks[i] = function()
        refused[i] = select(2, pool:checkout(0.1))
      end
    end
    scheduler.run(table.unpack(tasks))
    assert.equal(count, #refused)
    assert.equal(before + count, threads())
    return r, pool, before
  end

  it("are at most as many as there are places", function()
    local r <close>, pool, before = stuck(4)
    scheduler.run(function()
      for _ = 1, 5 do
        assert.is_nil((pool:checkout(0.01)))
      end
    end)
    assert.equal(before + 4, threads())
    r:release()
  end)

  it("end at once with pool:close, whatever they wait for", function()
    local r <close>, pool, before = stuck(4)
    local started = monotime()
    pool:close()
    assert.is_true(monotime() - started < 1, monotime() - started)
    assert.equal(before, threads())
    r:release()
  end)

  it("end with a pool that is collected", function()
    local printed, ok = program([[
      local cqueues = require "cqueues"
      local mypool = require "mypool"
      local relay = require "spec.support.relay"
      local r = relay.start "127.0.0.1:1"
      r:hold()
      local pool = mypool.new { host = r.host, port = r.port, user = "app",
        wait = require "mypool.wait.cqueues", connect_timeout = 30 }
      local cq = cqueues.new()
      cq:wrap(function()
        print(select(2, pool:checkout(0.1)).kind)
      end)
      assert(cq:loop())
      local started = cqueues.monotime()
      pool = nil
      collectgarbage()
      collectgarbage()
      assert(cqueues.monotime() - started < 2)
      local count = 0
      for _ in io.popen("ls /proc/$PPID/task"):lines() do
        count = count + 1
      end
      print(count)
    ]])
    assert.equal("timeout\n1\n", printed)
    assert.is_true(ok)
  end)

  it("end at once with pool:close also in the middle of a TLS handshake", function()
    local r <close> = relay.start(s.host .. ":" .. s.port)
    r:cut("down", 200, "hold")
    local pool = pools.new(s:tcp_options { port = r.port, tls = { ca = tls.ca }, wait = scheduler.wait })
    scheduler.run(function()
      assert.is_nil((pool:checkout(0.3)))
    end)
    assert.equal(1, pool:stats().opening)
    local started = monotime()
    pool:close()
    assert.is_true(monotime() - started < 1, monotime() - started)
  end)

  -- Byte 0 is before the server's greeting, byte 200 in the middle of the handshake.
  for _, byte in ipairs { 0, 200 } do
    for _, ending in ipairs { "os.exit(0, true)", "os.exit(0, false)", "pool:close()", "error 'on purpose'" } do
      it(("do not hold up a program that ends by %s after byte %d of the server"):format(ending, byte), function()
        local started = monotime()
        local printed, ok = program(([[
          local cqueues = require "cqueues"
          local mypool = require "mypool"
          local relay = require "spec.support.relay"
          local r = relay.start "%s:%d"
          r:cut("down", %d, "hold")
          local pool = mypool.new { host = r.host, port = r.port, user = "app", tls = { verify = false },
            wait = require "mypool.wait.cqueues", connect_timeout = 30 }
          local cq = cqueues.new()
          cq:wrap(function()
            pool:checkout(20)
          end)
          local started = cqueues.monotime()
          while cqueues.monotime() - started < 0.2 do
            cq:step(0.1)
          end
          assert(pool:stats().opening == 1)
          io.stdout:write "well\n"
          io.stdout:flush()
          %s
        ]]):format(s.host, s.port, byte, ending))
        assert.is_true(monotime() - started < 5, monotime() - started)
        if ending:find "error" then
          assert.is_false(ok)
          assert.truthy(printed:find "^well\n.*on purpose", printed)
        else
          assert.equal("well\n", printed)
          assert.is_true(ok)
        end
      end)
    end
  end
end)
