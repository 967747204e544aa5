-- Calls that a connection is lent for alone, and loans that end in a transaction: nothing that was written is undone
-- without a word, and no lock is lost that way.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local scheduler = require "spec.support.scheduler"
local server = require "spec.servers.server"

-- What such a call raises.
local LEAVES_OPEN = "it leaves a transaction open, which is undone as its connection goes back to the pool: use \z
  pool:transaction, pool:begin or pool:with)"
local TAKES_LOCK = "it takes a lock, which is lost as its connection goes back to the pool: use \z
  pool:with or pool:checkout)"

local plain = { "query", "one", "value" }

describe("a call that a connection is lent for alone", function()
  local s = fixture.shared_server()
  local pool

  setup(function()
    s:sql "CREATE OR REPLACE TABLE app.once (id INT PRIMARY KEY) ENGINE = InnoDB"
    local maker <close> = assert(pools.new(s:options()):checkout())
    for name, body in pairs {
      begins = "START TRANSACTION; INSERT INTO once VALUES (1);",
      begins_and_tells = "START TRANSACTION; SELECT 1; INSERT INTO once VALUES (1); SELECT 2;",
      commits = "START TRANSACTION; SELECT 1; INSERT INTO once VALUES (1); COMMIT;",
      begins_and_fails = "START TRANSACTION; SELECT 1; SELECT nothing FROM nowhere;",
    } do
      dialect.run(maker, ("CREATE OR REPLACE PROCEDURE once_%s() BEGIN %s END"):format(name, body))
    end
  end)

  teardown(function()
    s:sql "DROP TABLE app.once"
    for _, name in ipairs { "begins", "begins_and_tells", "commits", "begins_and_fails" } do
      s:sql("DROP PROCEDURE app.once_" .. name)
    end
  end)

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
    assert(pool:query "DELETE FROM once")
  end)

  after_each(pools.close)

  -- The pool is as it was, and nothing stays of what was done.
  local function assert_undone()
    assert.equal(0, pool:stats().lent)
    assert.equal(0, pool:stats().left_open)
    assert.equal(0, (pool:value "SELECT COUNT(*) FROM once"))
    assert.equal(0, (pool:value("SELECT " .. dialect.in_transaction)))
  end

  local function assert_raises(name, words, call)
    mistake(("bad call of '%s' (%s"):format(name, words), call)
    assert_undone()
  end

  for _, sql in ipairs {
    "BEGIN",
    "START TRANSACTION READ ONLY",
    "XA START 'x'",
    "CALL once_begins()",
    "CALL once_begins_and_tells()",
    "BEGIN NOT ATOMIC START TRANSACTION; INSERT INTO once VALUES (1); END",
    "BEGIN NOT ATOMIC SET autocommit = 0; INSERT INTO once VALUES (1); SELECT 1; END",
  } do
    it("raises when it leaves a transaction open: " .. sql, function()
      dialect.needs(sql:match "BEGIN NOT ATOMIC", pending)
      for _, name in ipairs(plain) do
        assert_raises(name, LEAVES_OPEN, function()
          local _ = pool[name](pool, sql)
        end)
        assert_raises(name, LEAVES_OPEN, function()
          local _ = pool[name](pool, { sql, timeout = 5 })
        end)
      end
    end)
  end

  it("raises so in a coroutine that waits", function()
    local shared = pools.new(s:options { max_size = 1, wait = scheduler.wait })
    local messages = {}
    scheduler.run(function()
      for _, name in ipairs(plain) do
        local _, message = pcall(shared[name], shared, "CALL once_begins_and_tells()")
        messages[#messages + 1] = tostring(message):match "bad call of '%l+' %(it leaves a transaction open"
      end
    end)
    assert.equal(3, #messages)
    assert.equal(0, shared:stats().lent)
    assert_undone()
  end)

  it("raises at the end of a loop over rows, however that is left", function()
    local function each(fn)
      return function()
        for row in assert(pool:rows "CALL once_begins_and_tells()") do
          fn(row)
        end
      end
    end
    assert_raises("rows", LEAVES_OPEN, each(function() end))
    assert_raises("rows", LEAVES_OPEN, function()
      for _ in assert(pool:rows "CALL once_begins_and_tells()") do -- luacheck: ignore
        break
      end
    end)
    assert_raises("rows", LEAVES_OPEN, function()
      local stream = assert(pool:rows "CALL once_begins_and_tells()")
      stream:close()
    end)
    assert_raises("rows", LEAVES_OPEN, function()
      local stream = assert(pool:rows "CALL once_begins_and_tells()")
      while stream() do -- luacheck: ignore
      end
    end)
    local failure = {}
    local ok, raised = pcall(each(function()
      error(failure, 0)
    end))
    assert.same({ false, failure }, { ok, raised })
    assert.equal(failure, raised)
    assert_undone()
  end)

  it("does not raise for what leaves nothing open", function()
    for _, sql in ipairs {
      "SELECT id FROM once FOR UPDATE",
      "CALL once_commits()",
      "SET autocommit = 0",
      "DELETE FROM once",
      "COMMIT",
      "ROLLBACK",
      "UNLOCK TABLES",
      "SELECT RELEASE_LOCK('once'), 'GET_LOCK(1)' -- GET_LOCK(1)",
    } do
      for _, name in ipairs(plain) do
        local first, second = pool[name](pool, sql)
        assert.is_true(first ~= nil or second == nil, sql)
        assert(pool:query "DELETE FROM once")
      end
    end
    for _ in assert(pool:rows "CALL once_commits()") do -- luacheck: ignore
    end
    assert.equal(1, (pool:value "SELECT COUNT(*) FROM once"))
    assert.equal(1, assert(pool:execute_many("INSERT INTO once VALUES (?)", { { 2 } })).rows)
    assert.equal(0, pool:stats().left_open)
  end)

  it("returns the error of a statement that failed with a transaction open", function()
    for _, name in ipairs(plain) do
      local result, err = pool[name](pool, "CALL once_begins_and_fails()")
      assert.is_nil(result)
      assert.equal(1146, err.errno)
      assert_undone()
    end
    local ok, err = pcall(function()
      for _ in assert(pool:rows "CALL once_begins_and_fails()") do -- luacheck: ignore
      end
    end)
    assert.same({ false, 1146 }, { ok, err.errno })
    assert_undone()
  end)

  it("raises for a statement that takes a lock, before it is sent", function()
    local before = tonumber((pool:one "SHOW GLOBAL STATUS LIKE 'Com_lock_tables'").Value)
    for _, sql in ipairs {
      "SELECT GET_LOCK('once', 0)",
      "DO get_lock('once', 0)",
      "LOCK TABLES once WRITE",
      "FLUSH TABLES WITH READ LOCK",
      "/*!40000 LOCK TABLES once WRITE */",
    } do
      for _, name in ipairs(plain) do
        assert_raises(name, TAKES_LOCK, function()
          local _ = pool[name](pool, sql)
        end)
      end
      assert_raises("rows", TAKES_LOCK, function()
        local _ = pool:rows(sql)
      end)
    end
    assert_raises("execute_many", TAKES_LOCK, function()
      local _ = pool:execute_many("SELECT GET_LOCK(?, 0)", { { "once" } })
    end)
    assert_raises("value", TAKES_LOCK, function()
      local _ = pool:value("SELECT GET_LOCK(?, ?)", "once", 0)
    end)
    assert.equal(before, tonumber((pool:one "SHOW GLOBAL STATUS LIKE 'Com_lock_tables'").Value))
    assert.equal(1, (pool:value "SELECT IS_FREE_LOCK('once')"))
  end)

  it("reads the text as its session does", function()
    assert.equal("\\' GET_LOCK(1)", (pool:value "SELECT '\\\\'' GET_LOCK(1)'"))
    local letters = pools.new(s:options { init_sql = "SET sql_mode = 'NO_BACKSLASH_ESCAPES'" })
    mistake("bad call of 'value' (it takes a lock", function()
      local _ = letters:value "SELECT '\\', GET_LOCK('once', 0)"
    end)
  end)

  it("may be any statement on a connection that is checked out", function()
    local conn <close> = assert(pool:checkout())
    assert(conn:query "LOCK TABLES once WRITE")
    assert(conn:query "UNLOCK TABLES")
    assert.equal(1, (conn:value "SELECT GET_LOCK('once', 0)"))
    assert(conn:query "BEGIN")
    assert.equal(1, assert(conn:execute_many("INSERT INTO once VALUES (?)", { { 1 } })).rows)
    assert(conn:query "COMMIT")
  end)

  it("closes its session where no reset would undo the transaction", function()
    local unreset = pools.new(s:options { max_size = 1, reset = "never" })
    mistake(LEAVES_OPEN, function()
      local _ = unreset:query "CALL once_begins()"
    end)
    assert.equal(0, (unreset:value("SELECT " .. dialect.in_transaction)))
    local conn = assert(unreset:checkout())
    assert(conn:query "BEGIN")
    conn:release() -- and left so, on purpose
    conn = assert(unreset:checkout())
    assert(conn:query "DO 0")
    assert.is_true(conn:in_transaction())
    conn:discard()
    assert.equal(1, unreset:stats().left_open)
  end)

  it("works with an audit", function()
    local leaks = {}
    local audited = pools.new(s:options {
      max_size = 1,
      audit = true,
      on_event = function(event)
        leaks[#leaks + 1] = event
      end,
    })
    mistake(LEAVES_OPEN, function()
      local _ = audited:query "BEGIN"
    end)
    assert.equal(1, (audited:value "SELECT 1"))
    assert.same({}, leaks)
  end)
end)

describe("a loan that ends with a transaction open", function()
  local s = fixture.shared_server()
  local pool, told

  setup(function()
    s:sql "CREATE OR REPLACE TABLE app.once (id INT PRIMARY KEY) ENGINE = InnoDB"
  end)

  teardown(function()
    s:sql "DROP TABLE app.once"
  end)

  before_each(function()
    told = {}
    pool = pools.new(s:options {
      max_size = 1,
      name = "shop",
      on_event = function(event, details)
        if event ~= "reset_refused" or dialect.has "COM_RESET_CONNECTION" then
          told[#told + 1] = details
          details.event = event
        end
      end,
    })
  end)

  after_each(pools.close)

  local function line()
    return "spec/transaction/left_open_spec.lua:" .. debug.getinfo(2, "l").currentline
  end

  local function begin(conn)
    assert(conn:query "BEGIN")
    assert(conn:query "INSERT INTO once VALUES (1)")
    return conn:id()
  end

  -- That it was counted and told, once.
  local function assert_told(count, place, id)
    assert.equal(count, pool:stats().left_open)
    assert.same({ { event = "left_open", pool = "shop", place = place, id = id } }, told)
    assert.equal(0, (pool:value "SELECT COUNT(*) FROM once"))
    told = {}
  end

  it("is counted, and told with its place and id, at each way to end", function()
    local conn, place = assert(pool:checkout()), line()
    local id = begin(conn)
    conn:release()
    conn:release()
    assert_told(1, place, id)
    do
      local scoped <close>, here = assert(pool:checkout()), line()
      place, id = here, begin(scoped)
    end
    assert_told(2, place, id)
    place = line(); assert(pool:with(function(lent) -- luacheck: ignore
      id = begin(lent)
      return true
    end))
    assert_told(3, place, id)
    place = line(); local ok = pcall(pool.with, pool, function(lent) -- luacheck: ignore
      id = begin(lent)
      error "of my own"
    end)
    assert.is_false(ok)
    assert_told(4, place, id)
  end)

  it("is told of a forgotten one at the next call", function()
    local place, id
    do
      local conn = assert(pool:checkout())
      place, id = line():gsub("%d+$", function(n)
        return n - 1
      end), begin(conn)
    end
    collectgarbage()
    collectgarbage()
    assert.same({}, told)
    assert_told(1, place, id)
    assert.equal(1, pool:stats().forgotten)
  end)

  it("is counted, each of several", function()
    local silent = pools.new(s:options { max_size = 3 })
    local conns = { assert(silent:checkout()), assert(silent:checkout()), assert(silent:checkout()) }
    for _, conn in ipairs(conns) do
      assert(conn:query "BEGIN")
    end
    for _, conn in ipairs(conns) do
      conn:release()
    end
    assert.equal(3, silent:stats().left_open)
  end)

  it("is a warning without on_event", function()
    local printed, ok = program(([[
      local pool = require "mypool".new { socket = %q, user = %q, password = %q, database = %q }
      local conn = pool:checkout()
      conn:query "BEGIN"
      conn:release()
    ]]):format(s.socket, s.user, s.password, s.database))
    assert.is_true(ok, printed)
    local words = "^Lua warning: mypool: a connection checked out at .-:2 was given back with a transaction open"
    assert.truthy(printed:find(words), printed)
  end)

  it("may use the pool in on_event, and may fail there", function()
    local seen = {}
    local busy
    busy = pools.new(s:options {
      max_size = 1,
      on_event = function(event)
        seen[#seen + 1] = event .. busy:value "SELECT COUNT(*) FROM once"
        error "of my own"
      end,
    })
    local conn = assert(busy:checkout())
    begin(conn)
    conn:release()
    assert.same({ "left_open0" }, seen)
    assert.equal(1, busy:stats().left_open)
  end)

  it("is not one that committed, rolled back, was discarded or lost", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local conn = assert(pool:checkout())
    begin(conn)
    assert(conn:query "COMMIT")
    assert(conn:query "DELETE FROM once")
    begin(conn)
    assert(conn:query "ROLLBACK")
    conn:release()
    conn = assert(pool:checkout())
    begin(conn)
    conn:discard()
    assert(pool:transaction(function(tx)
      return tx:query "DELETE FROM once"
    end))
    assert.is_nil((pool:transaction(function()
      return nil, "no"
    end)))
    local tx = assert(pool:begin())
    assert(tx:rollback())
    conn = assert(pool:checkout())
    begin(conn)
    s:sql("KILL " .. conn:id())
    assert.is_nil((conn:query "SELECT 1"))
    conn:release()
    conn = assert(pool:checkout())
    begin(conn)
    assert(conn:reset())
    conn:release()
    assert.same({}, told)
    assert.equal(0, pool:stats().left_open)
  end)
end)

describe("autocommit", function()
  local s = fixture.shared_server()
  local own

  setup(function()
    own = server.start { options = { "--autocommit=0" } }
    s:sql "CREATE OR REPLACE TABLE app.once (id INT PRIMARY KEY) ENGINE = InnoDB"
    s:sql "CREATE OR REPLACE PROCEDURE app.once_switch_off() SET autocommit = 0"
    own:sql "CREATE TABLE app.once (id INT PRIMARY KEY) ENGINE = InnoDB"
    for _, one in ipairs { s, own } do
      one:sql [[DELIMITER //
        CREATE OR REPLACE PROCEDURE app.once_inserts_four() BEGIN INSERT INTO once VALUES (4); COMMIT; END//]]
    end
  end)

  teardown(function()
    own:remove()
    s:sql "DROP TABLE app.once"
    s:sql "DROP PROCEDURE app.once_switch_off; DROP PROCEDURE app.once_inserts_four"
  end)

  after_each(pools.close)

  local function switch_off(conn)
    return conn:query "SET autocommit = 0"
  end

  local function each_way_off(fn)
    fn(own:options())
    fn(s:options { init_sql = "SET autocommit = 0" })
    fn(s:options { init_sql = { "SET autocommit = 0", "SET autocommit = 1", "set @@autocommit = off" } })
    for _, init_sql in ipairs(dialect.known { "BEGIN NOT ATOMIC SET autocommit = 0; END" }) do
      fn(s:options { init_sql = init_sql })
    end
    fn(s:options { init_sql = "CALL once_switch_off()" })
    fn(s:options { on_connect = switch_off })
    fn(s:options { audit = true, on_connect = switch_off })
  end

  local function assert_refused(options, words)
    local pool = pools.new(options)
    for _, call in ipairs {
      function()
        return pool:query "INSERT INTO once VALUES (1)"
      end,
      function()
        return pool:checkout()
      end,
      function()
        return pool:begin()
      end,
    } do
      local result, err = call()
      assert.is_nil(result)
      assert.same({ "connect", false, "no" }, { err.kind, err.retryable, err.executed })
      assert.is_truthy(err.message:find(words, 1, true), err.message)
    end
    assert.equal(0, pool:stats().lent)
    assert.equal(0, pool:stats().idle)
  end

  it("off in new sessions is refused", function()
    each_way_off(function(options)
      assert_refused(options, "autocommit")
      options.autocommit = true
      assert_refused(options, "autocommit")
    end)
  end)

  it("off by the server is no matter where init_sql switches it on", function()
    local pool = pools.new(own:options { init_sql = "SET autocommit = 1" })
    assert(pool:query "INSERT INTO once VALUES (7)")
    assert.equal(1, assert(pool:query "DELETE FROM once WHERE id = 7").affected_rows)
  end)

  it("on, a session that begins in a transaction is refused", function()
    assert_refused(s:options { init_sql = "BEGIN" }, "in a transaction")
    assert_refused(
      s:options {
        on_connect = function(conn)
          return conn:query "START TRANSACTION"
        end,
      },
      "in a transaction"
    )
  end)

  it("off by the pool's option, reads of one call do not raise, and writes do", function()
    dialect.needs("WITH", pending)
    each_way_off(function(options)
      options.autocommit = false
      local pool = pools.new(options)
      assert.equal(0, (pool:value "SELECT COUNT(*) FROM once"))
      assert.equal(0, #assert(pool:query "(SELECT id FROM once) UNION (SELECT id FROM once)"))
      assert(pool:one "WITH a AS (SELECT COUNT(*) FROM once) SELECT * FROM a")
      assert(pool:query "SHOW TABLES")
      for _ in assert(pool:rows "SELECT id FROM once") do -- luacheck: ignore
      end
      for _, sql in ipairs(dialect.known {
        "INSERT INTO once VALUES (1)",
        "REPLACE INTO once VALUES (1)",
        "/* SELECT */ INSERT INTO once VALUES (1) RETURNING id",
        "BEGIN NOT ATOMIC INSERT INTO once VALUES (1); END",
        "EXECUTE IMMEDIATE 'INSERT INTO once VALUES (1)'",
      }) do
        mistake("bad call of 'query' (it leaves a transaction open", function()
          local _ = pool:query(sql)
        end)
      end
      assert.equal(0, (pool:value "SELECT COUNT(*) FROM once"))
      assert.equal(0, pool:stats().lent)
    end)
  end)

  it("off by the pool's option, what commits is there", function()
    each_way_off(function(options)
      options.autocommit = false
      local pool = pools.new(options)
      assert(pool:transaction(function(tx)
        return tx:query "INSERT INTO once VALUES (1)"
      end))
      assert.equal(2, assert(pool:execute_many("INSERT INTO once VALUES (?)", { { 2 }, { 3 } })).rows)
      assert(pool:query "CALL once_inserts_four()")
      assert.equal(4, (pool:value "SELECT COUNT(*) FROM once"))
      assert(pool:with(function(conn)
        return conn:query "DELETE FROM once" and conn:query "COMMIT"
      end))
      assert.equal(0, (pool:value "SELECT COUNT(*) FROM once"))
      assert.equal(0, pool:stats().left_open)
    end)
  end)

  it("is an option of the right type, also in a DSN", function()
    mistake("new: bad option 'autocommit' (boolean expected, got 'off')", function()
      mypool.new { autocommit = "off" }
    end)
    local pool = pools.new(own:dsn "autocommit=false")
    assert.equal(1, (pool:value "SELECT 1"))
  end)
end)
