-- Waiting in memory: who stands in line for a connection needs no descriptor where an adapter can park, is woken by
-- the release, and never forgotten, whatever becomes of the others.

local cqueues = require "cqueues"
local core = require "mypool.core"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local open_files = require "spec.support.descriptors"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local schedulers = require "spec.support.schedulers"
local times = require "spec.support.times"

local s = fixture.server()
local now = cqueues.monotime

after_each(function()
  collectgarbage "restart"
  pools.close()
end)

-- An adapter with some of its functions exchanged.
local function changed(adapter, functions)
  local copy = {}
  for name, value in pairs(adapter) do
    copy[name] = functions[name] or value
  end
  return copy
end

for _, scheduler in ipairs { schedulers.cqueues(), schedulers.luv(), schedulers.own() } do
  local run, sleep = scheduler.run, scheduler.sleep

  local function new(options)
    options.wait = options.wait or scheduler.wait
    return pools.new(s:options(options))
  end

  describe("a place in line " .. scheduler.where, function()
    it("needs no descriptor", function()
      local pool = new { max_size = 2, checkout_timeout = 60 }
      local before, most
      local function await(condition)
        eventually(condition, sleep)
      end
      run(function()
        local one, other = assert(pool:checkout()), assert(pool:checkout())
        before = open_files()
        await(function()
          return pool:stats().waiting == 500
        end)
        most = open_files() - before
        one:release()
        other:release()
      end, table.unpack(times(500, function()
        await(function()
          return before
        end)
        assert(pool:checkout()):release()
      end)))
      assert.is_true(most < 20, most)
    end)

    it("ends with the release, also with one before its coroutine yields", function()
      local pool, conn, woken
      local park = scheduler.wait.park
      local function park_late(...)
        if conn then
          conn:release()
          conn = nil
        end
        woken = park(...)
        return woken
      end
      pool = new { max_size = 1, checkout_timeout = 60, wait = changed(scheduler.wait, { park = park_late }) }
      run(function()
        for _ = 1, 5 do
          conn = assert(pool:checkout())
          woken = nil
          assert.equal(7, (pool:value "SELECT 7"))
          assert.is_true(woken) -- not by the look for forgotten connections, a second later
        end
      end)
    end)

    it("is free at once when park raises, which the call raises, too", function()
      local raising = true
      local park = scheduler.wait.park
      local pool = new {
        max_size = 1,
        checkout_timeout = 60,
        wait = changed(scheduler.wait, {
          park = function(...)
            if raising then
              error("on purpose", 0)
            end
            return park(...)
          end,
        }),
      }
      run(function()
        local conn = assert(pool:checkout())
        assert.has_error(function()
          pool:ping()
        end, "on purpose")
        assert.equal(0, pool:stats().waiting)
        raising = false
        conn:release()
        assert.equal(7, (pool:value "SELECT 7"))
      end)
    end)

    it("is served with the next release when unpark raised", function()
      local raised
      local unpark = scheduler.wait.unpark
      local pool = new {
        max_size = 2,
        checkout_timeout = 60,
        wait = changed(scheduler.wait, {
          unpark = function(ticket)
            if not raised then
              raised = true
              error "on purpose"
            end
            return unpark(ticket)
          end,
        }),
      }
      local served
      run(function()
        local one, other = assert(pool:checkout()), assert(pool:checkout())
        eventually(function()
          return pool:stats().waiting == 1
        end, sleep)
        one:release()
        assert.is_true(raised)
        other:release()
        eventually(function()
          return served
        end, sleep)
      end, function()
        sleep(0.1)
        assert(pool:checkout()):release()
        served = true
      end)
      assert.equal(0, pool:stats().lent)
    end)

    -- Some are closed in line, some time out, some forget what they have, and sessions are killed.
    it("is nobody's for longer than his time, whatever becomes of the others", function()
      local pool, longest, served = new { max_size = 3 }, 0, 0
      local began_at = now()
      local function is_over()
        local seconds = now() - began_at
        return seconds > 2 and served > 100 or seconds > 60
      end
      local function borrow()
        local limit = math.random() < 0.3 and math.random() * 0.02 or 30
        local began = now()
        local conn, err = pool:checkout(limit)
        longest = math.max(longest, now() - began - limit)
        if not conn then
          assert(err.kind == "exhausted" or err.kind == "timeout", err)
          return
        end
        served = served + 1
        assert(conn:value "SELECT 1" or math.random() < 2)
        if math.random() < 0.1 then
          assert(pool:stats().lent > 0)
          conn = nil -- luacheck: ignore
          collectgarbage()
        else
          conn:release()
        end
      end
      local tasks = times(40, function()
        while not is_over() do
          borrow()
          sleep(math.random() * 0.002)
        end
      end)
      tasks[#tasks + 1] = function()
        local observer = pools.new { socket = s.socket, user = "root", max_size = 1, wait = scheduler.wait }
        while not is_over() do
          local ids = assert(observer:query "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'")
          if #ids > 0 then
            observer:query("KILL " .. ids[math.random(#ids)].ID)
          end
          sleep(0.05)
        end
      end
      run(table.unpack(tasks))
      collectgarbage()
      collectgarbage()
      assert.is_true(longest < 5, longest)
      assert.is_true(served > 100, served)
      local stats = pool:stats()
      assert.same({ 0, 0 }, { stats.lent, stats.waiting })
    end)
  end)
end

describe("a place in line", function()
  -- A collection may end loans in the middle of anything, also between the moment when the coroutine is known to be
  -- parked and the one when cqueues is told: the first signal reaches nobody then.
  it("ends with a release that comes right before cqueues.poll", function()
    local adapter, poll, conn, woken = require "mypool.wait.cqueues", cqueues.poll, nil, nil
    local function park(...)
      cqueues.poll = function(...)
        cqueues.poll = poll
        conn:release()
        return poll(...)
      end
      woken = adapter.park(...)
      return woken
    end
    local pool = pools.new(s:options { max_size = 1, checkout_timeout = 60, wait = changed(adapter, { park = park }) })
    schedulers.cqueues().run(function()
      conn = assert(pool:checkout())
      assert.equal(7, (pool:value "SELECT 7"))
    end)
    assert.is_true(woken) -- not by the look for forgotten connections
  end)

  it("is given to a coroutine of another controller, which finds it when it runs on", function()
    local pool = pools.new(s:options { max_size = 1, checkout_timeout = 60, wait = require "mypool.wait.cqueues" })
    local conn = assert(pool:checkout())
    local one, other = cqueues.new(), cqueues.new()
    local served = {}
    local function borrow(name)
      return function()
        local own <close> = assert(pool:checkout())
        assert(own:ping())
        served[#served + 1] = name
      end
    end
    one:wrap(borrow "one")
    assert(one:step(0))
    other:wrap(borrow "other")
    assert(other:step(0))
    assert.equal(2, pool:stats().waiting)
    other:wrap(function()
      conn:release()
    end)
    for _ = 1, 3 do -- meanwhile the first stands still, and its turn is its own
      assert(other:step(0.02))
    end
    assert.same({}, served)
    local began = now()
    assert(one:loop())
    assert(other:loop())
    assert.same({ "one", "other" }, served)
    assert.is_true(now() - began < 10)
  end)

  -- (In a process of its own: what is collected when is up to the whole program.)
  it("of 10,000 coroutines costs no descriptor, and none is forgotten by a collection at any moment", function()
    local printed, ok = program(([[
      local cqueues = require "cqueues"
      local pool = require("mypool").new { socket = %q, user = "app", password = "secret", max_size = 8,
        checkout_timeout = 60, wait = require "mypool.wait.cqueues" }
      local open_files = require "spec.support.descriptors"
      local controller, served, most = cqueues.new(), 0, nil
      local before = open_files()
      for _ = 1, 10000 do
        controller:wrap(function()
          local conn = assert(pool:checkout())
          assert(conn:ping())
          while not most do
            cqueues.sleep(0.01)
          end
          served = served + 1
          if served %% 500 > 0 then
            conn:release()
          else
            conn = nil
            collectgarbage()
          end
        end)
      end
      controller:wrap(function()
        while pool:stats().waiting < 9992 do
          cqueues.sleep(0.01)
        end
        most = open_files() - before
      end)
      assert(controller:loop())
      print(served, most < 64 or most)
    ]]):format(s.socket))
    assert.truthy(printed:find "10000\ttrue\n$", printed) -- after warnings of those that were forgotten
    assert.is_true(ok)
  end)

  it("is parked by an adapter that has park, unpark and forget", function()
    local function f() end
    for _, adapter in ipairs { { park = f }, { unpark = f }, { park = f, unpark = f }, { park = f, forget = f } } do
      adapter.wait = core.poll
      mistake("new: bad option 'wait' (table with park, unpark and forget, or neither park nor unpark,", function()
        mypool.new { wait = adapter }
      end)
    end
    local expected = "function, or table of the functions wait, forget, lent, park and unpark,"
    mistake("new: bad option 'wait' (" .. expected, function()
      mypool.new { wait = { wait = core.poll, park = 1 } }
    end)
  end)
end)
