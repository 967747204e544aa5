-- A coroutine may be abandoned at any point, a wait function may raise at any point: it costs the session at
-- most, never its place in the pool. Of one that is closed, or whose wait function raised, the place is free at
-- once, without a garbage collection.

local core = require "mypool.core"
local dialect = require "spec.servers.dialect"
local monotime = require("cqueues").monotime
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"
local tls = require "spec.servers.tls"
local waiting_calls = require "spec.support.waiting_calls"

local s = fixture.server { tls = true }

setup(function()
  waiting_calls.prepare(s)
end)

after_each(function()
  collectgarbage "restart"
  pools.close()
end)

-- ---- at every step ----

-- Called at each wait inside a coroutine that is to be interrupted, also at those of the program's own; nil: nobody is.
local interrupt

local function wait(fd, seconds)
  if interrupt and coroutine.isyieldable() then
    interrupt()
  end
  return core.poll(fd, seconds)
end

-- What may happen to a coroutine at its k-th wait. carry_out returns whether the call had ended before.
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
    at_once = true,
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
    at_once = true,
    carry_out = function(f)
      local ok, err = coroutine.resume(coroutine.create(f))
      assert(ok or err == "interrupted", err)
      return ok
    end,
  },
  {
    name = "told by pcall of an error of its wait function",
    raises = true,
    at_once = true,
    carry_out = function(f)
      local ok, err, finished
      assert(coroutine.resume(coroutine.create(function()
        ok, err = pcall(f)
        finished = ok
      end)))
      assert(ok or tostring(err):find "interrupted", err)
      return finished
    end,
  },
}

-- All places of the pool (two) can be used, and nobody sees anything of what was interrupted.
local function check_whole(pool)
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
  if dialect.has "COM_RESET_CONNECTION" then
    assert.equal(2, pool:stats().size)
  end
end

-- Interrupts at the k-th wait; returns whether the call came to its end before.
local function interrupted_at(k, how, call, pool)
  local held, waits = {}, 0
  for i = 1, call.lends and 2 or 0 do
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
  local pause = how.raises and function() end or interrupt
  local ok, finished = pcall(how.carry_out, function()
    call.run(pool, pause, held[1])
  end)
  interrupt = nil
  for _, conn in ipairs(held) do
    conn:release()
  end
  assert(ok, finished)
  return finished
end

-- Returns whether the call came to its end before the k-th wait.
local function check_interrupted_at(k, how, call, state)
  local options = s:options { max_size = 2, wait = wait }
  for name, value in pairs(call.options or {}) do
    options[name] = value
  end
  local pool = pools.new(options)
  if state == "warm" then
    check_whole(pool)
  end
  collectgarbage "stop"
  local finished = interrupted_at(k, how, call, pool)
  if finished or not how.at_once then
    collectgarbage()
    collectgarbage()
  end
  check_whole(pool)
  collectgarbage "restart"
  pools.close()
  return finished
end

for _, how in ipairs(interruptions) do
  describe("a coroutine that is " .. how.name, function()
    for _, call in ipairs(waiting_calls.calls) do
      for _, state in ipairs(call.connects and { "new", "warm" } or { "warm" }) do
        it(("at any wait of %s leaves a %s pool whole"):format(call.name, state), function()
          dialect.needs(call.name:find "^a reset" and "COM_RESET_CONNECTION", pending)
          local k = 0
          repeat
            k = k + 1
          until check_interrupted_at(k, how, call, state)
          local may_not_wait = call.may_not_wait or call.name == "a checkout" and state == "warm"
          assert.is_true(k > 1 or may_not_wait, "it never waited")
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
    assert.is_true(monotime() - started < 4, monotime() - started)
    assert.equal(before, threads())
    r:release()
  end)

  it("end with a pool that is collected", function()
    local printed, ok = program([[
      local cqueues = require "cqueues"
      local mypool = require "mypool"
      local relay = require "spec.servers.relay"
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
      assert(cqueues.monotime() - started < 10)
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
    dialect.needs("TLS", pending)
    local r <close> = relay.start(s.host .. ":" .. s.port)
    r:cut("down", 200, "hold")
    local pool = pools.new(s:tcp_options { port = r.port, tls = { ca = tls.ca }, wait = scheduler.wait })
    scheduler.run(function()
      assert.is_nil((pool:checkout(0.3)))
    end)
    assert.equal(1, pool:stats().opening)
    local started = monotime()
    pool:close()
    assert.is_true(monotime() - started < 4, monotime() - started)
  end)

  -- Byte 0 is before the server's greeting, byte 200 in the middle of the handshake.
  for _, byte in ipairs { 0, 200 } do
    for _, ending in ipairs { "os.exit(0, true)", "os.exit(0, false)", "pool:close()", "error 'on purpose'" } do
      it(("do not hold up a program that ends by %s after byte %d of the server"):format(ending, byte), function()
        dialect.needs(byte > 0 and "TLS", pending)
        local started = monotime()
        local trust = s.public_key and ("{ ca = %q }"):format(tls.ca) or "{ verify = false }"
        local printed, ok = program(([[
          local cqueues = require "cqueues"
          local mypool = require "mypool"
          local relay = require "spec.servers.relay"
          local r = relay.start "%s:%d"
          r:cut("down", %d, "hold")
          local pool = mypool.new { host = r.host, port = r.port, user = "app", tls = %s,
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
        ]]):format(s.host, s.port, byte, trust, ending))
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
