-- A pool that nobody has any more: it goes, with its connections and descriptors, but not before its last handle.

local mypool = require "mypool"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local scheduler = require "spec.support.scheduler"

local s = fixture.server()

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a pool that is dropped", function()
  it("lives on as long as a handle of it", function()
    local conn
    do
      local pool = mypool.new(s:options { max_size = 1 })
      conn = assert(pool:checkout())
    end
    collect()
    assert.equal(1, (conn:value "SELECT 1"))
    assert(conn:query "SET @a = 1")
    conn:release()
    conn = nil -- luacheck: ignore
    collect()
    s:await_empty()
  end)

  it("closes its connections", function()
    do
      local pool = mypool.new(s:options { max_size = 2 })
      local a, b = pool:checkout(), pool:checkout()
      a:release()
      assert.is_truthy(b)
      assert.equal(2, #s:sessions())
    end
    collect()
    s:await_empty()
  end)

  -- How many descriptors are open before and after `run`, within which nothing is collected.
  local function descriptors_around(run)
    local count = require "spec.support.descriptors"
    collect()
    collectgarbage "stop"
    local before = count()
    run()
    local after = count()
    collectgarbage "restart"
    return before, after
  end

  describe("leaves no file descriptor open when it is closed, whatever the garbage collector does:", function()
    local pool, told

    -- A pool whose scheduler is told of each descriptor that is closed.
    local function new_pool(options)
      told = 0
      local function forget()
        told = told + 1
      end
      options.wait = { wait = scheduler.wait, forget = forget }
      pool = mypool.new(s:options(options))
    end

    it("idle ones, and one that is still lent", function()
      local before, after = descriptors_around(function()
        new_pool { max_size = 4 }
        scheduler.run(function()
          local conns = {}
          for i = 1, 4 do
            conns[i] = assert(pool:checkout())
            assert(conns[i]:query "SELECT 1")
          end
          for i = 1, 3 do
            conns[i]:release()
          end
          pool:close()
          conns[4]:release()
        end)
      end)
      assert.equal(before, after)
      assert.is_true(told >= 4)
      assert.equal(0, pool:stats().size)
    end)

    it("with a checkout that waited in vain", function()
      local failure
      local before, after = descriptors_around(function()
        new_pool { max_size = 1 }
        scheduler.run(function()
          local conn = assert(pool:checkout())
          failure = select(2, pool:checkout(0.01))
          conn:release()
          pool:close()
        end)
      end)
      assert.equal("exhausted", failure.kind)
      assert.equal(before, after)
    end)
  end)

  local ways = { ["under a scheduler that cannot be told of it"] = scheduler.wait, ["in a plain program"] = false }
  for way, wait in pairs(ways) do
    it("keeps no socket when it is closed, also while a handle is out, " .. way, function()
      local sockets = require "spec.support.descriptors"
      local before = sockets "socket"
      local pool, conns = nil, {}
      local function run()
        pool = mypool.new(s:options { max_size = 4, wait = wait or nil })
        for i = 1, 4 do
          conns[i] = assert(pool:checkout())
          assert(conns[i]:query "SELECT 1")
        end
        for i = 1, 3 do
          conns[i]:release()
        end
        pool:close()
      end
      if wait then
        scheduler.run(run)
      else
        run()
      end
      assert.equal(before + 1, sockets "socket")
      conns[4]:release()
      assert.equal(before, sockets "socket")
    end)
  end

  it("keeps descriptors that a scheduler may still know, when it is closed and cannot tell it of them", function()
    local remembering = require("spec.support.schedulers").cqueues()
    local pool
    local before, after = descriptors_around(function()
      pool = mypool.new(s:options { max_size = 1, wait = remembering.wait.wait })
      remembering.run(function()
        assert(pool:query "SELECT 1")
        pool:close()
        remembering.sleep(0.01) -- cqueues brings its books up to date, and fails for a descriptor that is gone
      end)
    end)
    assert.is_true(after > before)
    pool = nil -- luacheck: ignore
    collect()
    assert.equal(before, require "spec.support.descriptors"())
  end)

  it("leaves no file descriptor open", function()
    local count = require "spec.support.descriptors"
    collect()
    local before = count()
    for _ = 1, 5 do
      local pool = mypool.new(s:options { max_size = 4, wait = scheduler.wait })
      scheduler.run(function()
        local conns = {}
        for i = 1, 4 do
          conns[i] = assert(pool:checkout())
        end
        assert(conns[1]:query "SELECT 1")
        for i = 1, 3 do
          conns[i]:release()
        end
      end)
    end
    collect()
    eventually(function()
      return count() <= before
    end)
  end)
end)
