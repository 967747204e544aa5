-- The calls of a pool that borrow a connection, use it and give it back.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"

describe("pool:query, one, value and ping", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
  end)

  after_each(function()
    assert.equal(0, pool:stats().lent)
    pools.close()
  end)

  it("run on a connection that is given back afterwards", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    assert.same({ { a = 1 }, { a = 2 } }, pool:query "SELECT 1 AS a UNION SELECT 2")
    assert.same({ a = 1 }, pool:one "SELECT 1 AS a UNION SELECT 2")
    assert.equal(1, pool:value "SELECT 1 UNION SELECT 2")
    assert.is_true(pool:ping())
    local stats = pools.stats(pool)
    assert.equal(4, stats.checkouts)
    assert.equal(1, stats.opened)
  end)

  it("take parameters and options", function()
    assert.same({ { "x", 5 } }, pool:query({ "SELECT ?, ?", rows = "array" }, "x", 5))
    assert.equal(5, pool:value({ "SELECT ?", timeout = 10 }, 5))
  end)

  it("return nil for one and value without a row, and for NULL", function()
    assert.is_nil(pool:one "SELECT 1 FROM DUAL WHERE FALSE")
    assert.is_nil(pool:value "SELECT 1 FROM DUAL WHERE FALSE")
    assert.is_nil(pool:value "SELECT NULL")
    assert.equal(1, select("#", pool:value "SELECT NULL"))
  end)

  it("return nil, error, errno, sqlstate when the server refuses", function()
    for _, name in ipairs { "query", "one", "value" } do
      local result, err, errno, sqlstate = pool[name](pool, "SELECT * FROM nonexistent")
      assert.is_nil(result)
      assert.equal("server", err.kind)
      assert.same({ 1146, "42S02" }, { errno, sqlstate })
    end
  end)

  it("raise for mistakes at the place of the caller, and give the connection back", function()
    for _, name in ipairs { "query", "one", "value" } do
      mistake(("bad argument 'sql' to '%s' (string expected, got nil)"):format(name), function()
        pool[name](pool, nil)
      end)
      mistake(("bad argument 'sql' to '%s' (string expected, got n"):format(name), function()
        pool[name](pool)
      end)
      mistake("wrong number of parameters (the statement has 1, got 0)", function()
        pool[name](pool, "SELECT ?")
      end)
      mistake(name .. ": unknown option 'timout' (did you mean 'timeout'?)", function()
        pool[name](pool, { "SELECT 1", timout = 1 })
      end)
    end
  end)
end)

describe("pool:with", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 1, checkout_timeout = 1 })
  end)

  after_each(function()
    assert.equal(0, pool:stats().lent)
    pools.stats(pool)
    pools.close()
  end)

  it("calls the function with a connection and returns all it returns", function()
    local values = table.pack(pool:with(function(conn)
      assert.matches("^mypool.connection %(id %d+%)$", tostring(conn))
      return nil, false, conn:value "SELECT 7", nil
    end))
    assert.same({ n = 4, nil, false, 7, nil }, values)
  end)

  it("raises what the function raises, untouched, and gives the connection back", function()
    local thrown = setmetatable({}, { __tostring = error })
    local ok, caught = pcall(pool.with, pool, function()
      error(thrown)
    end)
    assert.is_false(ok)
    assert.equal(thrown, caught)
    assert.same({ false, nil }, { pcall(pool.with, pool, function()
      error(nil)
    end) })
    local message = select(2, pcall(pool.with, pool, function()
      error "plain"
    end))
    assert.matches("calls_spec%.lua:%d+: plain$", message)
  end)

  it("passes an error that the function returns", function()
    local result, err = pool:with(function(conn)
      return conn:query "SELECT"
    end)
    assert.is_nil(result)
    assert.equal(1064, err.errno)
  end)

  it("bears a function that releases the connection, or discards it, by itself", function()
    assert.equal("fine", pool:with(function(conn)
      conn:release()
      return "fine"
    end))
    pool:with(function(conn)
      conn:discard()
    end)
    assert.equal(1, pool:stats().discarded)
  end)

  it("leaves a handle that is of no use after it", function()
    local kept
    pool:with(function(conn)
      kept = conn
    end)
    mistake("bad call of 'query' (this connection was released", function()
      kept:query "SELECT 1"
    end)
  end)

  it("may hold a yield of the function", function()
    local run = coroutine.wrap(function()
      return pool:with(function(conn)
        return coroutine.yield(conn:id()), conn:id()
      end)
    end)
    local id = run()
    assert.equal(1, pool:stats().lent)
    assert.same({ "resumed", id }, { run "resumed" })
  end)

  it("loses no slot when the function yields and is never resumed", function()
    local run = coroutine.wrap(function()
      pool:with(coroutine.yield)
    end)
    run()
    run = nil -- luacheck: ignore
    local conn <close> = assert(pool:checkout())
    assert.is_true(conn:ping())
  end)

  it("takes a function only", function()
    for _, value in ipairs { 7, {}, "f", true } do
      mistake("bad argument 'fn' to 'with' (function expected, got", function()
        pool:with(value)
      end)
    end
    mistake("bad argument 'fn' to 'with' (function expected, got nil)", function()
      pool:with()
    end)
  end)

  it("returns the error of a checkout that failed, without a call of the function", function()
    local holder <close> = assert(pool:checkout())
    local called = false
    local result, err = pool:with(function()
      called = true
    end)
    assert.is_nil(result)
    assert.equal("exhausted", err.kind)
    assert.is_false(called)
    assert.is_truthy(holder)
  end)
end)
