-- What a pool lends, to whom, and for how long.

local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local sleep = require "spec.support.sleep"

local function here()
  local frame = debug.getinfo(2, "Sl")
  return frame.short_src .. ":" .. frame.currentline
end

describe("pool:checkout", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("lends a connection that works", function()
    local conn = assert(pools.new(s:options()):checkout())
    assert.equal(conn:id(), conn:value "SELECT CONNECTION_ID()")
    assert.is_true(conn:ping())
  end)

  it("opens a connection only when none is idle", function()
    local pool, a = pools.lend(s:options())
    local id = a:id()
    pools.release(a)
    local b = assert(pool:checkout())
    assert.equal(id, b:id())
    assert.equal(1, pool:stats().opened)
    local c = assert(pool:checkout())
    assert.not_equal(id, c:id())
    assert.equal(2, pool:stats().opened)
  end)

  it("lends the connection first that was released last", function()
    local pool = pools.new(s:options())
    local a, b, c = pool:checkout(), pool:checkout(), pool:checkout()
    local ids = { a:id(), b:id(), c:id() }
    pools.release(b)
    pools.release(c)
    pools.release(a)
    assert.equal(ids[1], pool:checkout():id())
    collectgarbage()
    sleep(0.3) -- the reply to the reset is there
    local first, second, third = pool:checkout(), pool:checkout(), pool:checkout()
    assert.same({ ids[1], ids[3], ids[2] }, { first:id(), second:id(), third:id() })
  end)

  it("fails at once when every connection is lent, naming the holders with place and age", function()
    local pool = pools.new(s:options { max_size = 2 })
    local a, at_a = assert(pool:checkout()), here()
    local b, at_b = assert(pool:checkout()), here()
    sleep(0.15)
    local started = os.time()
    local conn, err, errno, sqlstate = pool:checkout(30)
    assert.is_true(os.time() - started < 20)
    assert.is_nil(conn)
    assert.equal("exhausted", err.kind)
    assert.equal("no", err.executed)
    assert.is_true(err.retryable)
    assert.is_nil(errno)
    assert.is_nil(sqlstate)
    assert.is_truthy(err.message:find("2 of 2 connections are lent", 1, true), err.message)
    for _, place in ipairs { at_a, at_b } do
      local age = err.message:match(place:gsub("%p", "%%%0") .. " for (%d+%.%d) s")
      assert.is_truthy(age and tonumber(age) >= 0.1 and tonumber(age) < 20, err.message)
    end
    assert.is_truthy(a and b)
  end)

  it("names the places of the oldest holders first when there are many", function()
    local pool = pools.new(s:options { max_size = 7 })
    local oldest, at_oldest = pool:checkout(), here()
    local held, at_held = { oldest }, nil
    for i = 2, 5 do
      held[i], at_held = pool:checkout(), here()
    end
    held[6] = pool:checkout()
    held[7] = pool:checkout()
    local message = select(2, pool:checkout()).message
    local pattern = "7 of 7 connections are lent: %s for %%d+%%.%%d s, "
      .. "%s ×4 for up to %%d+%%.%%d s, %%S+ for %%d+%%.%%d s;"
    assert.matches(pattern:format(at_oldest:gsub("%p", "%%%0"), (at_held:gsub("%p", "%%%0"))), message)
    assert.equal(7, #held)
  end)

  it("finds forgotten connections by a full collection before it says that the pool is exhausted", function()
    local pool = pools.new(s:options { max_size = 1 })
    local function forget()
      local conn = assert(pool:checkout())
      assert.is_true(conn:ping())
    end
    forget()
    assert.equal(1, pool:stats().lent)
    collectgarbage "stop"
    local conn, err = pool:checkout()
    collectgarbage "restart"
    assert.is_truthy(conn, err)
    assert.equal(1, pool:stats().opened)
  end)

  it("takes a time that is a number of seconds, from 0 on", function()
    local pool = pools.new(s:options { max_size = 2 })
    assert.is_truthy(pool:checkout(nil))
    for _, seconds in ipairs { "1", true, {} } do
      mistake("bad argument 'seconds' to 'checkout' (number of seconds expected", function()
        pool:checkout(seconds)
      end)
    end
    for _, seconds in ipairs { -1, 0 / 0, math.huge } do
      mistake("bad argument 'seconds' to 'checkout' (out of range", function()
        pool:checkout(seconds)
      end)
    end
    collectgarbage()
    sleep(0.3) -- the reply to the reset is there
    assert.equal(0, pool:stats().lent)
    assert.is_truthy(pool:checkout(0))
  end)

  it("raises for a pool that is none", function()
    local pool, conn = pools.lend(s:options())
    local calls = {
      checkout = {},
      query = { "SELECT 1" },
      one = { "SELECT 1" },
      value = { "SELECT 1" },
      with = { print },
      ping = {},
      begin = {},
      transaction = { print },
      stats = {},
      evict = {},
      close = {},
    }
    for name, arguments in pairs(calls) do
      for _, self in ipairs { {}, "pool", 7, conn, io.stdout, false } do
        mistake(("bad argument 'self' to '%s' (mypool.pool expected, got"):format(name), function()
          pool[name](self, table.unpack(arguments))
        end)
      end
      mistake(("bad argument 'self' to '%s' (mypool.pool expected, got n"):format(name), function()
        pool[name](nil, table.unpack(arguments))
      end)
    end
  end)
end)

describe("the life of a connection", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("ends with max_lifetime, when it is idle", function()
    local pool = pools.new(s:options { max_lifetime = 0.2 })
    local id = pool:value "SELECT CONNECTION_ID()"
    sleep(0.25)
    assert.not_equal(id, pool:value "SELECT CONNECTION_ID()")
    assert.equal(1, pools.stats(pool).retired)
  end)

  it("ends with max_lifetime, at release and not before, when it is lent", function()
    local pool, conn = pools.lend(s:options { max_lifetime = 0.1 })
    sleep(0.15)
    assert.equal(conn:id(), conn:value "SELECT CONNECTION_ID()")
    conn:release()
    assert.same({ 0, 1 }, { pool:stats().size, pools.stats(pool).retired })
  end)

  it("ends with idle_timeout, and is counted as expired", function()
    local pool = pools.new(s:options { idle_timeout = 0.1 })
    local id = pool:value "SELECT CONNECTION_ID()"
    sleep(0.15)
    assert.not_equal(id, pool:value "SELECT CONNECTION_ID()")
    assert.equal(1, pools.stats(pool).expired)
  end)

  it("is not ended by idle_timeout while there are no more than min_idle", function()
    local pool = pools.new(s:options { idle_timeout = 0.1, min_idle = 1 })
    local a, b = pool:checkout(), pool:checkout()
    local id = a:id()
    pools.release(b)
    pools.release(a)
    sleep(0.1)
    local conn <close> = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert.equal(1, pools.stats(pool).expired)
  end)
end)

describe("mypool", function()
  it("leaves no global variable behind", function()
    for name in pairs(_G) do
      assert.is_nil(tostring(name):lower():find "pool")
    end
    assert.is_function(mypool.new)
  end)
end)
