-- Errors say which line of the program had called mypool, and with which statement.

local fixture = require "spec.support.fixture"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local schedulers = require "spec.support.schedulers"

describe("an error", function()
  local s = fixture.shared_server()
  local missing = "SELECT * FROM missing"
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 2 })
  end)

  after_each(pools.close)

  -- The error that f returns, or raises, whose place must be a line of f, and that line.
  local function failure_of(f, ...)
    local ok, err, second = pcall(f, ...)
    err = ok and second or err
    assert.is_true(mypool.is_error(err), tostring(err))
    local file, line = (err.place or "?:0"):match "^(.*):(%d+)$"
    local own = debug.getinfo(f, "S")
    assert.equal(own.short_src, file)
    assert.is_true(tonumber(line) >= own.linedefined and tonumber(line) <= own.lastlinedefined, err.place)
    return err
  end

  describe("has the place and the statement", function()
    local calls = {
      query = function(on, sql, ...)
        local result, err = on:query(sql, ...)
        return result, err
      end,
      one = function(on, sql, ...)
        local result, err = on:one(sql, ...)
        return result, err
      end,
      value = function(on, sql, ...)
        local result, err = on:value(sql, ...)
        return result, err
      end,
      rows = function(on, sql, ...)
        local result, err = on:rows(sql, ...)
        return result, err
      end,
    }

    for name, call in pairs(calls) do
      it("of " .. name, function()
        local conn <close> = assert(pool:checkout())
        local tx <close> = assert(pool:begin())
        local single = pools.new(s:options())
        for _, on in ipairs { single, conn, tx } do
          assert.equal(missing, failure_of(call, on, missing).sql)
          assert.equal(missing .. " WHERE a = ?", failure_of(call, on, missing .. " WHERE a = ?", "hidden").sql)
          assert.equal(missing, failure_of(call, on, { missing, timeout = 5 }).sql)
        end
      end)
    end

    it("of a prepared statement", function()
      local conn <close> = assert(pool:checkout())
      local err = failure_of(function()
        local statement, err = conn:prepare(missing)
        return statement, err
      end)
      assert.equal(missing, err.sql)
      local sql = "SELECT (SELECT 1 UNION SELECT ?)"
      local statement <close> = assert(conn:prepare(sql))
      local _ = conn:value "SELECT 1"
      err = failure_of(function()
        local result, why = statement:with({ timeout = 5 }):value(2)
        return result, why
      end)
      assert.same({ 1242, sql }, { err.errno, err.sql })
    end)

    it("of execute_many, also where its rows travel as another statement", function()
      s:sql "CREATE OR REPLACE TABLE app.placed (n INT PRIMARY KEY)"
      local sql = "INSERT INTO placed VALUES (?)"
      for _, name in ipairs { "execute_many", "by one" } do
        local err = failure_of(function()
          local result, err = pool:execute_many(sql, { { 1 }, { name == "by one" and 2 or 1 }, { 1 } })
          return result, err
        end)
        assert.same({ 1062, sql }, { err.errno, err.sql })
      end
    end)

    it("of a loop over rows, where it fails in the middle", function()
      local sql = "SELECT seq, (SELECT 1 UNION SELECT IF(seq > 900, 2, 1)) FROM seq_1_to_1000"
      local err = failure_of(function()
        for row in assert(pool:rows(sql)) do
          assert(row.seq <= 900)
        end
      end)
      assert.same({ 1242, sql }, { err.errno, err.sql })
    end)

    it("of a transaction whose COMMIT fails", function()
      local err = failure_of(function()
        local result, err = pool:transaction(function(tx)
          assert(tx:query "SELECT 1")
          s:sql(("KILL %d"):format(tx:value "SELECT CONNECTION_ID()"))
        end)
        return result, err
      end)
      assert.equal("COMMIT", err.sql)
    end)

    it("of a statement for which no connection could be had", function()
      local down = pools.new { host = "127.0.0.1", port = 1, checkout_timeout = 0.05 }
      for _, call in pairs(calls) do
        local err = failure_of(call, down, missing .. " WHERE a = ?", "hidden")
        assert.same({ "connect", missing .. " WHERE a = ?" }, { err.kind, err.sql })
      end
      assert.is_nil(failure_of(function()
        local conn, err = down:checkout()
        return conn, err
      end).sql)
    end)

    it("of a statement that a scheduler waited for", function()
      local err
      local scheduler = schedulers.cqueues()
      scheduler.run(function()
        local waiting = pools.new(s:options { wait = scheduler.wait })
        err = failure_of(function()
          local result, why = waiting:query(missing)
          return result, why
        end)
      end)
      assert.equal(missing, err.sql)
    end)
  end)

  it("has no statement where the call has none", function()
    local conn <close> = assert(pool:checkout())
    assert(conn:query "SELECT 1")
    s:kill_sessions { conn:id() }
    assert.is_nil(select(2, conn:ping()).sql)
  end)

  it("has the first 500 bytes of a statement, cut between two characters", function()
    for shift = 0, 3 do
      local sql = ("x"):rep(shift) .. " " .. ("ä€😀"):rep(100)
      local found = select(2, pool:query(sql)).sql
      assert.equal("…", found:sub(-3))
      local kept = found:sub(1, -4)
      assert.equal(kept, sql:sub(1, #kept))
      assert.is_truthy(utf8.len(kept))
      assert.is_true(#kept <= 500 and #kept > 496)
    end
    assert.equal(500, #select(2, pool:query(("x"):rep(500))).sql)
  end)

  it("never has a parameter in its statement", function()
    local conn <close> = assert(pools.new(s:options { show_values = true }):checkout())
    for _, sql in ipairs { "SELECT nonsense nonsense ?", "SELECT ? FROM missing" } do
      assert.equal(sql, select(2, conn:query(sql, "hidden")).sql)
      assert.equal(sql, select(2, conn:query(sql, "hid\\den ä")).sql)
    end
  end)

  it("has no place where a tail call left none", function()
    local _, err = coroutine.wrap(function()
      return pool:query(missing)
    end)()
    assert.is_nil(err.place)
    assert.equal("Table 'app.missing' doesn't exist (1146)", tostring(err))
  end)

  it("never has the place of a file of mypool's, also where one just became that", function()
    local first, second = assert(pool:checkout()), assert(pool:checkout())
    local chunk = load("local first, second, own = ... first:release() own() second:release() return 0", "@chunk")
    chunk(first, second, require("mypool.core").internal)
    local _, of_first = pcall(first.query, first, "SELECT 1")
    local _, of_second = pcall(second.query, second, "SELECT 1")
    assert.is_truthy(of_first:find("released at chunk:1", 1, true), of_first)
    assert.is_truthy(of_second:find("released at spec/error/place_spec.lua:", 1, true), of_second)
  end)

  it("that a script does not catch prints file, line and number", function()
    local printed, ok = program(([[
local pool = require("mypool").new %q

assert(pool:query "SELECT * FROM missing")]]):format(s:dsn()))
    assert.is_false(ok)
    assert.matches(":3: Table 'app.missing' doesn't exist %(1146%)", printed)
  end)
end)

describe("a mistake", function()
  local s = fixture.shared_server()
  after_each(pools.close)

  it("is told by the name of the method that was called", function()
    local pool, conn = pools.lend(s:options())
    local statement = assert(conn:prepare "SELECT ?")
    conn:release()
    for _, name in ipairs { "execute", "one", "value", "rows" } do
      local _, message = pcall(statement[name], statement, 1)
      assert.is_truthy(message:find(("bad call of '%s'"):format(name), 1, true), message)
    end
    local _, message = pcall(pool.execute_many, pool, nil, {})
    assert.is_truthy(message:find("to 'execute_many' (string expected, got nil)", 1, true), message)
  end)
end)

describe("a text that needs a place", function()
  local s = fixture.shared_server()

  it("says so where a tail call left none, whatever it is about", function()
    local printed, ok = program(([[
      local testing = require "mypool.busted"
      local pool = require("mypool").new(%q, { leak_after = 0.05, slow_after = 0.05 })
      local function take() return pool:checkout() end
      local conn = coroutine.wrap(take)()
      io.stderr:write(select(2, pcall(testing.assert_released, pool)), "\n", pool:describe(), "\n")
      coroutine.wrap(function() return conn:query "DO SLEEP(0.1)" end)()
      pool:stats()
      conn:query "BEGIN"
      conn:release()
      conn = coroutine.wrap(take)()
      conn = nil
      collectgarbage()]]):format(s:dsn()))
    assert.is_true(ok, printed)
    local place = "%(a tail call: no place%)"
    for _, text in ipairs {
      "not released: checked out at " .. place,
      "lent: " .. place .. " ×1",
      "a statement at " .. place .. " took",
      "a connection checked out at " .. place .. " is out for",
      "a connection checked out at " .. place .. " was given back with a transaction open",
      "a connection checked out at " .. place .. " was never released",
    } do
      assert.matches(text, printed)
    end
  end)
end)
