-- What on_statement and slow_after tell of the statements of a program, and what transactions tell.

local core = require "mypool.core"
local cqueues = require "cqueues"
local fixture = require "spec.support.fixture"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local program = require "spec.support.program"

local s = fixture.shared_server()

setup(function()
  s:sql "CREATE OR REPLACE TABLE app.told (id INT PRIMARY KEY)"
  s:sql [[DELIMITER //
    CREATE OR REPLACE PROCEDURE app.told_twice()
    BEGIN SELECT 1 UNION SELECT 2; SELECT 3; INSERT INTO told VALUES (100); DELETE FROM told; END//]]
end)

teardown(function()
  s:sql "DROP TABLE app.told; DROP PROCEDURE app.told_twice"
end)

after_each(pools.close)

-- A pool, and the array of what its on_statement was told.
local function watched(options)
  local told = {}
  options.max_size = options.max_size or 1
  options.on_statement = function(details)
    told[#told + 1] = details
  end
  return pools.new(s:options(options)), told
end

-- The statements told of since the last call.
local function texts(told)
  local found = {}
  for i = #told, 1, -1 do
    table.insert(found, 1, told[i].sql)
    told[i] = nil
  end
  return found
end

local function last_line()
  return "spec/statement/told_spec.lua:" .. debug.getinfo(2, "l").currentline - 1
end

describe("on_statement", function()
  it("is told where, what, how long, from when, on which connection, and how much it was", function()
    local pool, told = watched { name = "shop" }
    local id = assert(pool:value "SELECT CONNECTION_ID()")
    told[1] = nil
    local before = os.time()
    assert(pool:query("SELECT ? UNION SELECT SLEEP(0.05)", 7))
    local place, details = last_line(), told[1]
    assert.is_true(details.seconds >= 0.05 and details.seconds < 60)
    assert.is_true(details.began >= before and details.began <= os.time() + 1)
    details.seconds, details.began = nil, nil
    assert.same({
      place = place,
      sql = "SELECT ? UNION SELECT SLEEP(0.05)",
      rows = 2,
      id = id,
      pool = "shop",
    }, details)
    assert.equal(1, #told)
  end)

  it("is told what was handed out, or what was changed", function()
    local pool, told = watched {}
    local function expect(rows, affected_rows)
      assert.equal(1, #told)
      assert.same({ rows, affected_rows }, { told[1].rows, told[1].affected_rows })
      assert.is_nil(told[1].error)
      told[1] = nil
    end
    assert(pool:query "SELECT 1 UNION SELECT 2")
    expect(2)
    assert(pool:one "SELECT 1 UNION SELECT 2")
    expect(1)
    assert(pool:value "SELECT 1 UNION SELECT 2")
    expect(1)
    assert.is_nil((pool:value "SELECT 1 FROM DUAL WHERE FALSE"))
    expect(0)
    assert(pool:query "INSERT INTO told VALUES (1), (2), (3)")
    expect(nil, 3)
    assert(pool:execute_many("INSERT INTO told VALUES (?)", { { 4 }, { 5 } }))
    expect(nil, 2)
    assert(pool:query "DELETE FROM told")
    expect(nil, 5)
    assert(pool:query "CALL told_twice()")
    assert.equal(3, told[1].rows)
    told[1] = nil
    local conn <close> = assert(pool:checkout())
    local statement = assert(conn:prepare "SELECT ? UNION SELECT 2")
    assert(statement:execute(1))
    expect(2)
    assert(statement:value(1))
    expect(1)
  end)

  it("is told of a stream at its end, with the rows that the program took", function()
    local function refuse(value)
      return value == 3 and error "of my own" or value
    end
    local pool, told = watched { types = { int = refuse, bigint = refuse } } -- servers differ in what a literal is
    for _, sql in ipairs { "SELECT 1 UNION SELECT 2", "SELECT '1' UNION SELECT '2'" } do
      for _ in assert(pool:rows(sql)) do
        assert.equal(0, #told)
      end
      assert.equal(2, told[1].rows)
      told[1] = nil
      local stream = assert(pool:rows(sql))
      stream()
      stream:close()
      assert.equal(1, told[1].rows)
      told[1] = nil
    end
    assert.is_false(pcall(function()
      for _ in assert(pool:rows "SELECT 1 UNION SELECT 3") do -- luacheck: ignore
      end
    end))
    assert.equal(1, #told)
    told[1] = nil
    for _ in assert(pool:rows "INSERT INTO told VALUES (9)") do -- luacheck: ignore
    end
    assert.equal(1, told[1].affected_rows)
    told[1] = nil
    assert(pool:query "DELETE FROM told")
    told[1] = nil
    local conn = assert(pool:checkout())
    local stream = assert(conn:rows "SELECT 1 UNION SELECT 2")
    stream()
    conn:release()
    assert.equal(1, pool:stats().discarded)
    assert.same({ "lost", "unknown" }, { told[1].error.kind, told[1].error.executed })
  end)

  it("is told of those that failed, with the error that is returned", function()
    for _, errors in ipairs { "return", "raise" } do
      local pool, told = watched { errors = errors }
      local _, err = select(errors == "raise" and 1 or 2, pcall(pool.query, pool, "SELECT nothing"))
      assert.equal(1054, err.errno)
      assert.is_true(rawequal(err, told[1].error))
      assert.is_nil(told[1].rows)
      assert.is_false(pcall(pool.query, pool, "SELECT ?")) -- never sent
      assert.equal(1, #told)
      pcall(pool.query, pool, { "DO SLEEP(20)", timeout = 0.05 })
      assert.equal("timeout", told[2].error.kind)
      pcall(pool.execute_many, pool, "INSERT INTO told VALUES (?)", { { 1 }, { 1 } })
      assert.same({ 1062, "INSERT INTO told VALUES (?)" }, { told[3].error.errno, told[3].sql })
      pcall(pool.execute_many, pool, "INSERT INTO told VALUES (?)", function()
        return nil, "no more rows"
      end)
      assert.equal("no more rows", told[4].error)
      assert.equal(4, #told)
    end
  end)

  it("is told of what on_connect sends, and what begins and ends transactions", function()
    local pool, told = watched {
      on_connect = function(conn)
        return conn:query "SET @told = 1"
      end,
    }
    assert(pool:transaction(function(tx)
      assert(tx:transaction(function() end))
      local inner = assert(tx:begin())
      return inner:rollback()
    end))
    local tx = assert(pool:begin { isolation = "read committed", read_only = true })
    assert(tx:rollback())
    assert.same({
      "SET @told = 1",
      "START TRANSACTION",
      "SAVEPOINT mypool_2",
      "RELEASE SAVEPOINT mypool_2",
      "SAVEPOINT mypool_2",
      "ROLLBACK TO SAVEPOINT mypool_2",
      "COMMIT",
      "SET TRANSACTION ISOLATION LEVEL read committed",
      "START TRANSACTION READ ONLY",
      "ROLLBACK",
    }, texts(told))
  end)

  it("is told once of an execute_many, also within a transaction, and of what follows it", function()
    local pool, told = watched {}
    assert(pool:transaction(function(tx)
      assert(tx:execute_many("INSERT INTO told VALUES (?)", { { 1 }, { 2 } }))
      return tx:query "DELETE FROM told"
    end))
    assert.same({ "START TRANSACTION", "INSERT INTO told VALUES (?)", "DELETE FROM told", "COMMIT" }, texts(told))
    assert.is_false(pcall(pool.execute_many, pool, "INSERT INTO told VALUES (?)", function()
      error "of my own"
    end))
    assert(pool:query "DO 1")
    assert.same({ "INSERT INTO told VALUES (?)", "DO 1" }, texts(told))
  end)

  it("is not told of what mypool does by itself", function()
    local pool, told = watched { init_sql = "SET @told = 1", audit = true }
    local conn = assert(pool:checkout())
    assert(conn:ping())
    assert(conn:warnings())
    assert(conn:reset())
    assert(conn:prepare "SELECT 1")
    conn:release()
    assert(pool:ping())
    assert.same({}, told)
  end)

  it("is told, at the next call of the pool's, of a statement whose coroutine was closed", function()
    local pool, told = watched {
      max_size = 2,
      wait = function(fd, seconds)
        return (coroutine.isyieldable() and coroutine.yield or core.poll)(fd, seconds)
      end,
    }
    local sent = false
    local gone = coroutine.create(function()
      local conn <close> = assert(pool:checkout())
      sent = true
      return conn:query "DO SLEEP(20)"
    end)
    local function go_on()
      local _, fd, seconds = assert(coroutine.resume(gone))
      return fd, seconds
    end
    local fd, seconds = go_on()
    while not sent do
      core.poll(fd, seconds)
      fd, seconds = go_on()
    end
    assert(coroutine.close(gone))
    assert(pool:query "DO 1")
    assert.same({ "DO SLEEP(20)", "DO 1" }, { told[1].sql, told[2].sql })
    local err = told[1].error
    assert.same({ "lost", "unknown", "DO SLEEP(20)" }, { err.kind, err.executed, err.sql })
    assert.equal(told[1].place, err.place)
    assert.truthy(tostring(err):find "given up")
  end)

  it("may raise, which becomes a warning", function()
    for _, what in ipairs { "'of no use'", "{}", "nil" } do
      local printed, ok = program(([[
        local pool = require "mypool".new {
          socket = %q, user = %q, password = %q, database = %q,
          on_statement = function() error(%s) end,
        }
        print("value", (pool:value "SELECT 7"))
        print(pool:stats().lent)
      ]]):format(s.socket, s.user, s.password, s.database, what))
      assert.is_true(ok, printed)
      assert.truthy(printed:find("Lua warning: mypool: on_statement raised", 1, true), printed)
      assert.truthy(printed:find("value\t7\n0\n", 1, true), printed)
    end
  end)

  it("cannot use its pool, nor the connection, but look at the numbers", function()
    local pool, conn
    local messages = {}
    local function try(f, ...)
      local ok, message = pcall(f, ...)
      messages[#messages + 1] = ok and "done" or tostring(message):match "bad call of '%l+' %(.*"
    end
    pool = pools.new(s:options {
      max_size = 2,
      on_statement = function()
        try(pool.query, pool, "DO 1")
        try(pool.checkout, pool)
        try(conn.query, conn, "DO 1")
        try(conn.release, conn)
        try(pool.stats, pool)
        try(pool.describe, pool)
      end,
    })
    conn = assert(pool:checkout())
    assert.equal(7, (conn:value "SELECT 7"))
    local function refused(name)
      return ("bad call of '%s' (a function that is told of a statement cannot use its pool)"):format(name)
    end
    assert.same(
      { refused "query", refused "checkout", refused "query", refused "release", "done", "done" },
      messages
    )
    messages = {}
    assert.equal(8, (conn:value "SELECT 8"))
    assert.equal(6, #messages)
    conn:release()
  end)

  it("may use another pool, and close its own", function()
    local log, lines = pools.new(s:options()), {}
    local pool
    pool = pools.new(s:options {
      on_statement = function(details)
        lines[#lines + 1] = log:value("SELECT ?", details.sql)
        pool:close()
      end,
    })
    assert.equal(7, (pool:value "SELECT 7"))
    assert.same({ "SELECT 7" }, lines)
  end)

  it("cannot wait, which becomes a warning", function()
    local printed, ok = program(([[
      local core = require "mypool.core"
local cqueues = require "cqueues"
      local loop = cqueues.new()
      local pool = require "mypool".new {
        socket = %q, user = %q, password = %q, database = %q, wait = require "mypool.wait.cqueues",
        on_statement = function() cqueues.sleep(0.01) end,
      }
      loop:wrap(function() print("value", (pool:value "SELECT 7")) end)
      assert(loop:loop())
    ]]):format(s.socket, s.user, s.password, s.database))
    assert.is_true(ok, printed)
    assert.truthy(printed:find("mypool: on_statement raised: attempt to yield", 1, true), printed)
    assert.truthy(printed:find("value\t7\n", 1, true), printed)
  end)

  it("under a scheduler, is told of each task's statements", function()
    local pool, told = watched { wait = require "mypool.wait.cqueues", max_size = 3 }
    local loop = cqueues.new()
    for i = 1, 3 do
      loop:wrap(function()
        for _ = 1, 5 do
          assert(pool:value("SELECT ? + SLEEP(0.001)", i))
        end
      end)
    end
    assert(loop:loop())
    assert.equal(15, #told)
    assert.equal(15, pool:stats().statements)
  end)
end)

describe("slow_after", function()
  it("is an event of a statement that took longer, and of no other", function()
    local events = {}
    local pool = pools.new(s:options {
      name = "shop",
      slow_after = 1,
      on_event = function(event, details)
        events[#events + 1] = { event, details.sql, details.pool, details.place, details.rows }
        assert(details.seconds >= 1)
      end,
    })
    assert(pool:query "DO 1")
    assert(pool:query "SELECT SLEEP(1.1)")
    assert.same({ { "slow_statement", "SELECT SLEEP(1.1)", "shop", last_line(), 1 } }, events)
  end)

  it("without on_event is a warning", function()
    local printed, ok = program(([[
      local pool = require "mypool".new {
        socket = %q, user = %q, password = %q, database = %q, slow_after = 1,
      }
      pool:query "DO 1"
      pool:query("DO SLEEP(?)", 1.1)
    ]]):format(s.socket, s.user, s.password, s.database))
    assert.is_true(ok, printed)
    assert.truthy(printed:find "^Lua warning: mypool: a statement at .-:5 took %d+%.%d s: DO SLEEP%(%?%)\n$", printed)
  end)

  it("and on_statement are options of the right type", function()
    for _, name in ipairs { "slow_after", "on_statement" } do
      assert.has_error(function()
        mypool.new { [name] = "often" }
      end)
    end
  end)
end)

describe("a pool that nobody watches", function()
  it("makes nothing for a statement", function()
    local pool = pools.new(s:options())
    local conn <close> = assert(pool:checkout())
    assert(conn:value "SELECT 1")
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    for _ = 1, 100 do
      conn:value "SELECT 1"
    end
    local made = collectgarbage "count" - before
    collectgarbage "restart"
    assert.equal(0, made)
  end)
end)

describe("transaction_rerun", function()
  it("is told before each further run, by pool and by connection", function()
    local events = {}
    local pool = pools.new(s:options {
      name = "shop",
      on_event = function(event, details)
        details.event = event
        events[#events + 1] = details
      end,
    })
    local function run(owner)
      local runs = 0
      assert(owner:transaction(function(tx)
        runs = runs + 1
        if runs < 3 then
          return tx:query "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"
        end
      end))
    end
    local conn <close> = assert(pool:checkout())
    run(conn)
    run(pool)
    local function event(attempt)
      return {
        event = "transaction_rerun",
        place = events[1].place,
        attempt = attempt,
        errno = 1213,
        pool = "shop",
      }
    end
    assert.same({ event(2), event(3), event(2), event(3) }, events)
    assert.truthy(events[1].place:find "^spec/statement/told_spec.lua:%d+$")
  end)
end)
