-- The pool: what it lends, to whom, for how long, and what it says when it cannot.

local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local sleep = require "spec.support.sleep"

local function here()
  local frame = debug.getinfo(2, "Sl")
  return frame.short_src .. ":" .. frame.currentline
end

local function consistent(pool)
  local stats = pool:stats()
  assert.equal(stats.idle + stats.lent + stats.recovering + stats.opening, stats.size)
  assert.equal(stats.idle + stats.lent + stats.recovering, stats.opened - stats.closed)
  assert.equal(stats.closed, stats.stale + stats.expired + stats.retired + stats.discarded + stats.resets_failed)
  return stats
end

-- Long enough for the reply to a reset to be there.
local function settle()
  sleep(0.05)
end

-- Releases the connections, and lets the replies to their resets come.
local function release(...)
  for _, conn in ipairs { ... } do
    conn:release()
  end
  settle()
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
    release(a)
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
    release(b)
    release(c)
    release(a)
    assert.equal(ids[1], pool:checkout():id())
    collectgarbage()
    settle()
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

  it("names the oldest holders first when there are many", function()
    local pool = pools.new(s:options { max_size = 5 })
    local oldest, at_oldest = pool:checkout(), here()
    local held = { oldest }
    for i = 2, 5 do
      held[i] = pool:checkout()
    end
    local message = select(2, pool:checkout()).message
    assert.is_truthy(message:find("5 of 5 connections are lent: " .. at_oldest .. " for", 1, true), message)
    local count = select(2, message:gsub("checkout_spec%.lua:%d+ for", ""))
    assert.equal(3, count, message)
    assert.equal(5, #held)
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
    settle()
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
    assert.same({ { a = 1 }, { a = 2 } }, pool:query "SELECT 1 AS a UNION SELECT 2")
    assert.same({ a = 1 }, pool:one "SELECT 1 AS a UNION SELECT 2")
    assert.equal(1, pool:value "SELECT 1 UNION SELECT 2")
    assert.is_true(pool:ping())
    local stats = consistent(pool)
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
    consistent(pool)
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
    assert.matches("checkout_spec%.lua:%d+: plain$", message)
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

describe("pool:stats", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("counts from nothing", function()
    local stats = pools.new(s:options()):stats()
    for name, count in pairs(stats) do
      assert.equal(0, count, name)
    end
    assert.equal("float", math.type(stats.reset_wait))
    assert.equal("integer", math.type(stats.size))
  end)

  it("adds up, whatever becomes of the connections", function()
    local pool = pools.new(s:options { max_size = 3 })
    local a, b, c = pool:checkout(), pool:checkout(), pool:checkout()
    assert.equal(3, consistent(pool).lent)
    a:query "SELECT 1"
    a:release()
    b:discard()
    local stats = consistent(pool)
    assert.same({ 2, 1, 1, 1, 1 }, { stats.size, stats.idle, stats.lent, stats.discarded, stats.resets_sent })
    pool:evict()
    stats = consistent(pool)
    assert.same({ 1, 0, 1, 1 }, { stats.size, stats.idle, stats.lent, stats.retired })
    c:release()
    stats = consistent(pool)
    assert.same({ 0, 2, 3, 3 }, { stats.size, stats.retired, stats.opened, stats.closed })
    assert.equal(3, stats.checkouts)
    assert.is_nil((pool:query "SELECT"))
    stats = consistent(pool)
    assert.same({ 1, 4, 2 }, { stats.idle, stats.checkouts, stats.resets_sent })
    settle()
    assert.is_true(pool:ping())
    stats = consistent(pool)
    assert.same({ 1, 0 }, { stats.resets_hidden, stats.resets_waited })
  end)

  it("sends no reset for a loan that ran nothing", function()
    local pool = pools.new(s:options())
    pool:checkout():release()
    pool:checkout():release()
    assert.equal(0, pool:stats().resets_sent)
  end)

  it("counts a reset whose reply was waited for", function()
    local pool = pools.new(s:options { max_size = 1 })
    for _ = 1, 20 do
      assert.equal(1, pool:value "SELECT 1")
    end
    local stats = consistent(pool)
    assert.equal(20, stats.resets_sent)
    assert.equal(19, stats.resets_hidden + stats.resets_waited)
    assert.is_true(stats.resets_waited == 0 or stats.reset_wait > 0)
  end)
end)

describe("pool:evict", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("closes idle connections now and lent ones when they come back", function()
    local pool = pools.new(s:options())
    local idle, lent = pool:checkout(), pool:checkout()
    local idle_id, lent_id = idle:id(), lent:id()
    release(idle)
    pool:evict()
    assert.same({ 0, 1 }, { pool:stats().idle, pool:stats().lent })
    assert.equal(lent_id, lent:value "SELECT CONNECTION_ID()")
    release(lent)
    assert.equal(0, pool:stats().size)
    local fresh <close> = pool:checkout()
    assert.is_true(fresh:id() ~= idle_id and fresh:id() ~= lent_id)
    consistent(pool)
  end)

  it("leaves connections alone that are opened later", function()
    local pool = pools.new(s:options())
    pool:evict()
    local conn = pool:checkout()
    local id = conn:id()
    release(conn)
    assert.equal(id, pool:checkout():id())
  end)
end)

describe("pool:close", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("makes every call that needs a connection fail with the kind closed", function()
    local pool = pools.new(s:options())
    assert.is_true(pool:ping())
    assert.is_true(pool:close())
    local calls = {
      checkout = {},
      query = { "SELECT 1" },
      one = { "SELECT 1" },
      value = { "SELECT 1" },
      with = { error },
      ping = {},
      begin = {},
      transaction = { error },
    }
    for name, arguments in pairs(calls) do
      local result, err = pool[name](pool, table.unpack(arguments))
      assert.is_nil(result, name)
      assert.equal("closed", err.kind, name)
      assert.equal("no", err.executed)
      assert.equal("the pool is closed", err.message)
      assert.is_false(err.retryable)
    end
    assert.equal("mypool.pool (0 idle, 0 lent, closed)", tostring(pool))
    assert.equal(0, consistent(pool).size)
    pool:evict()
  end)

  it("may be called again", function()
    local pool = pools.new(s:options())
    assert.is_true(pool:close())
    assert.is_true(pool:close())
    assert.is_true(pool:close(1))
  end)

  it("closes the idle connections on the server", function()
    local pool = pools.new(s:options { max_size = 2 })
    local a, b = pool:checkout(), pool:checkout()
    local ids = { a:id(), b:id() }
    release(a, b)
    pool:close()
    s:await_end(ids)
  end)

  it("cuts the connections that are lent: their statements fail with the kind closed", function()
    local pool, conn = pools.lend(s:options())
    assert.is_true(pool:close(30)) -- in a plain program nobody could give it back meanwhile
    for _ = 1, 2 do
      local result, err = conn:query "SELECT 1"
      assert.is_nil(result)
      assert.same({ "closed", "no", true }, { err.kind, err.executed, err.fatal })
    end
    assert.equal("closed", select(2, conn:ping()).kind)
    conn:release()
    assert.equal(0, consistent(pool).size)
  end)

  it("takes a grace that is a number of seconds", function()
    local pool = pools.new(s:options())
    for _, grace in ipairs { "1", true, {}, -1, 0 / 0 } do
      mistake("bad argument 'grace' to 'close'", function()
        pool:close(grace)
      end)
    end
    assert.is_true(pool:ping())
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
    assert.equal(1, consistent(pool).retired)
  end)

  it("ends with max_lifetime, at release and not before, when it is lent", function()
    local pool, conn = pools.lend(s:options { max_lifetime = 0.1 })
    sleep(0.15)
    assert.equal(conn:id(), conn:value "SELECT CONNECTION_ID()")
    conn:release()
    assert.same({ 0, 1 }, { pool:stats().size, consistent(pool).retired })
  end)

  it("ends with idle_timeout, and is counted as expired", function()
    local pool = pools.new(s:options { idle_timeout = 0.1 })
    local id = pool:value "SELECT CONNECTION_ID()"
    sleep(0.15)
    assert.not_equal(id, pool:value "SELECT CONNECTION_ID()")
    assert.equal(1, consistent(pool).expired)
  end)

  it("is not ended by idle_timeout while there are no more than min_idle", function()
    local pool = pools.new(s:options { idle_timeout = 0.1, min_idle = 1 })
    local a, b = pool:checkout(), pool:checkout()
    local id = a:id()
    release(b)
    release(a)
    sleep(0.1)
    local conn <close> = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert.equal(1, consistent(pool).expired)
  end)
end)

describe("a pool without a server", function()
  local s = fixture.server()

  after_each(pools.close)

  it("says at the end of checkout_timeout why it could not connect, and serves when the server is back", function()
    local pool = pools.new(s:options { checkout_timeout = 0.4 })
    s:stop()
    local conn, err, errno = pool:checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.equal("no", err.executed)
    assert.is_true(err.retryable)
    assert.equal(errno, err.errno)
    assert.is_true(errno >= 2000 and errno < 3000)
    assert.is_truthy(err.message:find(s.socket, 1, true), err.message)
    local stats = consistent(pool)
    assert.equal(0, stats.size)
    assert.is_true(stats.connect_failures >= 2) -- it tried again
    s:resume()
    local again <close> = assert(pool:checkout(10)) -- by then another attempt is due
    assert.is_true(again:ping())
  end)

  it("waits for it: a checkout succeeds when the server comes back in time", function()
    local pool = pools.new(s:options { checkout_timeout = 20 })
    s:stop()
    os.execute(("(sleep 0.3; bash spec/servers/server.sh resume '%s') >/dev/null 2>&1 &"):format(s.folder))
    local conn <close> = assert(pool:checkout())
    assert.is_true(conn:ping())
    assert.is_true(consistent(pool).connect_failures > 0)
    sleep(0.2) -- until the server's script has seen it too
  end)

  it("fails at once with retries = 0", function()
    local pool = pools.new(s:options { checkout_timeout = 30, retries = 0 })
    s:stop()
    local started = os.time()
    local err = select(2, pool:checkout())
    assert.equal("connect", err.kind)
    assert.is_true(os.time() - started < 20)
    assert.equal(1, pool:stats().connect_failures)
    s:resume()
  end)

  it("fails at once where waiting cannot help: password, database, init_sql", function()
    local started = os.time()
    for errno, options in pairs {
      [1045] = { password = "wrong" },
      [1049] = { database = "nonexistent" },
      [1064] = { init_sql = { "SET @a = 1", "NONSENSE" } },
      [1193] = { init_sql = "SET nonsense = 1" },
      [1115] = { charset = "nonsense", collation = "nonsense_bin" },
    } do
      options.checkout_timeout = 30
      local pool = pools.new(s:options(options))
      local conn, err = pool:checkout()
      assert.is_nil(conn)
      assert.equal("connect", err.kind)
      if not options.charset then -- libmariadb refuses that by a number of its own
        assert.equal(errno, err.errno)
      end
      assert.is_false(err.retryable, err)
      assert.equal(0, consistent(pool).size)
    end
    assert.is_true(os.time() - started < 20)
  end)

  it("ends a checkout in time when the server does not answer a connect", function()
    local pool = pools.new(s:options { checkout_timeout = 0.2 })
    s:pause()
    local conn, err = pool:checkout()
    s:continue()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.equal(0, consistent(pool).size)
    assert.is_true(pool:ping())
  end)

  it("ends a checkout in time when the server does not answer a reset", function()
    local pool, conn = pools.lend(s:options { max_size = 1, checkout_timeout = 0.2 })
    conn:query "SELECT 1"
    s:pause()
    conn:release()
    local again, err = pool:checkout()
    s:continue()
    assert.is_nil(again)
    assert.is_true(err.kind == "timeout" or err.kind == "connect", err.kind)
    assert.equal("no", err.executed)
    consistent(pool)
    assert.is_true(pool:ping())
  end)

  it("ends a query in time when the server does not answer it", function()
    local pool, conn = pools.lend(s:options { query_timeout = 0.2 })
    s:pause()
    local result, err = conn:query "SELECT 1"
    s:continue()
    assert.is_nil(result)
    assert.same({ "timeout", "unknown", true, false }, { err.kind, err.executed, err.fatal, err.retryable })
    conn:release()
    assert.same({ 1, 0 }, { consistent(pool).timeouts, pool:stats().lent })
    assert.is_true(pool:ping())
  end)

  it("takes the time limit of one statement from its options", function()
    local pool = pools.new(s:options { query_timeout = 30 })
    local result, err = pool:query { "SELECT SLEEP(20)", timeout = 0.1 }
    assert.is_nil(result)
    assert.equal("timeout", err.kind)
    assert.equal(0, pool:value { "SELECT SLEEP(0.2)", timeout = 10 })
  end)

  it("refuses more connections than the server has, and recovers", function()
    s:sql "SET GLOBAL max_connections = 10"
    local pool = pools.new(s:options { max_size = 30, checkout_timeout = 0.2 })
    local held, err = {}, nil -- luacheck: ignore
    repeat
      held[#held + 1], err = pool:checkout()
    until err or #held > 20
    assert.same({ "connect", 1040, true }, { err.kind, err.errno, err.retryable })
    assert(held[1]:query "SET GLOBAL max_connections = 151")
    for i = 1, #held do
      held[i]:release()
    end
    assert.is_true(pool:ping())
    consistent(pool)
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
