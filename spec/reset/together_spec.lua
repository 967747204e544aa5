-- The reset that is sent together with the last statement of a loan: which statements take it with them, what their
-- callers get, and that nothing else changes.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mypool = require "mypool"
local plain = require "spec.plain"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"
local tls = require "spec.servers.tls"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local s = fixture.server { tls = true }
local r = fixture.relay(s)
local observer

local function run(...)
  for _, statement in ipairs { ... } do
    assert(observer:query(statement))
  end
end

setup(function()
  observer = assert(plain.connect { socket = s.socket, user = "root", database = "app" })
  run(
    "CREATE TABLE t (a INT AUTO_INCREMENT PRIMARY KEY, b INT) ENGINE = InnoDB",
    "CREATE PROCEDURE p() SELECT 1",
    "CREATE FUNCTION dirty() RETURNS INT BEGIN SET @dirty = 1; RETURN 1; END",
    "CREATE FUNCTION sleeps() RETURNS INT BEGIN DO SLEEP(10); RETURN 1; END"
  )
end)

teardown(function()
  observer:close()
end)

after_each(function()
  pools.close()
  r:reset()
end)

local transports = {
  socket = function(more)
    return s:options(more)
  end,
  tcp = function(more)
    local options = s:tcp_options(more)
    options.port = r.port
    return options
  end,
  tls = function(more)
    local options = s:tcp_options(more)
    options.port, options.tls, options.server_public_key = r.port, { ca = tls.ca }, nil
    return options
  end,
}

local function new(transport, more)
  local options = transports[transport](more)
  options.max_size = options.max_size or 1
  return pools.new(options)
end

-- How many resets went with a statement during the call.
local function together(pool, call)
  local before = pool:stats().resets_together
  call(pool)
  return pool:stats().resets_together - before
end

-- Whether the pool still has its one session, and that is clean.
local function assert_lent_again(pool, id)
  assert.equal(id, pool:value "SELECT CONNECTION_ID()")
  assert.is_nil((pool:value "SELECT @dirty"))
end

-- ---- which statements ----

local function sql(...)
  local arguments = { ... }
  return function(pool)
    assert(pool:query(table.unpack(arguments)))
  end
end

local function transaction(fn)
  return function(pool)
    pool:transaction(function(tx)
      return fn(tx)
    end)
  end
end

local insert = "INSERT INTO t (b) VALUES (1)"

local with = {
  ["SELECT"] = sql "SELECT 1",
  ["select in small letters, behind white space"] = sql "\n  select 1",
  ["WITH"] = sql "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
  ["INSERT"] = sql(insert),
  ["UPDATE"] = sql "UPDATE t SET b = 2 WHERE a < 0",
  ["DELETE"] = sql "DELETE FROM t WHERE a < 0",
  ["REPLACE"] = sql "REPLACE INTO t VALUES (1, 1)",
  ["a statement with parameters"] = sql("SELECT ?", "x"),
  ["one"] = function(pool)
    assert(pool:one "SELECT 1 AS a")
  end,
  ["value"] = function(pool)
    assert(pool:value "SELECT 1")
  end,
  ["a statement with options"] = function(pool)
    assert(pool:query { "SELECT 1", timeout = 5 })
  end,
  ["a COMMIT of pool:transaction"] = transaction(function(tx)
    assert(tx:query(insert))
  end),
  ["a ROLLBACK of pool:transaction"] = transaction(function(tx)
    assert(tx:query(insert))
    return nil, "no"
  end),
  ["a COMMIT of pool:begin"] = function(pool)
    local tx = assert(pool:begin())
    assert(tx:query(insert))
    assert(tx:commit())
  end,
  ["a ROLLBACK of pool:begin"] = function(pool)
    assert(pool:begin()):rollback()
  end,
  ["the COMMIT of pool:execute_many"] = function(pool)
    assert.equal(2, pool:execute_many("INSERT INTO t (b) VALUES (?)", { { 1 }, { 2 } }).rows)
  end,
  ["the ROLLBACK of pool:execute_many"] = function(pool)
    assert.is_nil((pool:execute_many("INSERT INTO t (a) VALUES (?)", { { 1 }, { 1 } })))
  end,
}

local function on_connection(fn)
  return function(pool)
    pool:with(fn)
  end
end

local without = {
  ["a comment first"] = sql "/* a */ SELECT 1",
  ["a parenthesis first"] = sql "(SELECT 1)",
  ["CALL"] = sql "CALL p()",
  ["SET"] = sql "SET @a = 1",
  ["DO"] = sql "DO 0",
  ["SHOW"] = sql "SHOW WARNINGS",
  ["DDL"] = sql "CREATE TABLE IF NOT EXISTS other (a INT)",
  ["COMMIT by hand"] = sql "COMMIT",
  ["a word that begins as SELECT"] = function(pool)
    assert.is_nil((pool:query "SELECTED"))
  end,
  ["LOAD DATA"] = function(pool)
    assert.is_nil((pool:query "LOAD DATA LOCAL INFILE '/dev/null' INTO TABLE t"))
  end,
  ["pool:rows"] = function(pool)
    for _ in pool:rows "SELECT 1" do -- luacheck: ignore
    end
  end,
  ["pool:ping"] = function(pool)
    assert(pool:ping())
  end,
  ["conn:query"] = on_connection(function(conn)
    assert(conn:query "SELECT 1")
  end),
  ["conn:transaction"] = on_connection(function(conn)
    conn:transaction(function(tx)
      assert(tx:query(insert))
    end)
  end),
  ["conn:execute_many"] = on_connection(function(conn)
    assert(conn:execute_many("INSERT INTO t (b) VALUES (?)", { { 1 } }))
  end),
}

for transport in pairs(transports) do
  describe("over " .. transport .. ", the reset goes with", function()
    for name, call in pairs(with) do
      it(name, function()
        local pool = new(transport)
        local id = pool:value "SELECT CONNECTION_ID()"
        assert.equal(1, together(pool, call))
        assert_lent_again(pool, id)
      end)
    end
  end)
end

describe("the reset goes by itself behind", function()
  for name, call in pairs(without) do
    it(name, function()
      local pool = new "tcp"
      local id = pool:value "SELECT CONNECTION_ID()"
      assert.equal(0, together(pool, call))
      assert_lent_again(pool, id)
    end)
  end

  it("the end of a savepoint, but it goes with the end of the transaction around it", function()
    local pool = new "tcp"
    local tx = assert(pool:begin())
    assert(tx:transaction(function(inner)
      return inner:query(insert)
    end))
    assert(tx:query "SELECT 1")
    assert.equal(0, pool:stats().resets_together)
    assert(tx:commit())
    assert.equal(1, pool:stats().resets_together)
  end)

  it("a statement of 2048 bytes, and goes with a shorter one", function()
    local pool = new "tcp"
    for length = 2040, 2056 do
      local text = "SELECT '" .. ("x"):rep(length - 9) .. "'"
      local count = together(pool, function()
        assert.equal(length - 9, #pool:value(text))
      end)
      assert.equal(length < 2048 and 1 or 0, count, length)
    end
  end)

  for name, options in pairs {
    ["any statement where it is switched off"] = { reset_together = false },
    ["any statement where resets are"] = { reset = "never" },
    ["any statement while autocommit is off"] = { autocommit = false, init_sql = "SET autocommit = 0" },
    ["any statement where the reset is longer than a socket's buffer"] = {
      init_sql = "SET @long = '" .. ("x"):rep(16 * 1024) .. "'",
    },
  } do
    it(name, function()
      local pool = new("tcp", options)
      assert.equal(0, together(pool, function()
        assert.equal(1, pool:value "SELECT 1")
        if options.autocommit ~= false then
          with["a COMMIT of pool:transaction"](pool)
        end
      end))
    end)
  end

  it("statements of on_connect", function()
    local pool = new("tcp", {
      on_connect = function(conn)
        assert.equal(1, conn:value "SELECT 1")
      end,
    })
    assert(pool:checkout()):release()
    assert.equal(0, pool:stats().resets_together)
    assert.equal(1, together(pool, with["SELECT"]))
  end)
end)

it("reset_together has to be a boolean", function()
  assert.has_error(function()
    mypool.new { reset_together = 1 }
  end)
  assert.is_true(select(2, pcall(mypool.new, { reset_together = "no" })):find("'reset_together'", 1, true) ~= nil)
end)

-- ---- on the wire ----

local function heard(options)
  local pool = new("tcp", options)
  assert(pool:query "SELECT 1")
  r:record()
  for _, name in ipairs { "SELECT", "INSERT", "a COMMIT of pool:transaction", "a ROLLBACK of pool:begin" } do
    with[name](pool)
  end
  without["SET"](pool)
  assert(pool:ping())
  assert.equal(1, pool:stats().opened)
  return r:heard()
end

-- What TLS hides cannot be compared.
describe("what the server is sent", function()
  it("is the same, command for command, with it and without", function()
    assert.equal(heard { reset_together = false }, heard { reset_together = true })
  end)

  it("goes out before the answer to the statement, not when it is switched off", function()
    for _, on in ipairs { true, false } do
      local bytes
      local pool = new("tcp", {
        reset_together = on,
        wait = function(fd, seconds)
          bytes = bytes or r:heard()
          return plain.poll(fd, seconds)
        end,
      })
      assert(pool:query "SELECT 1")
      pool:checkout():release() -- the answers to its reset have been read
      r:record()
      bytes = nil
      assert.equal(0, pool:value "SELECT SLEEP(0.05)")
      assert.equal(on, bytes:find("SHOW PROFILES", 1, true) ~= nil)
    end
  end)
end)

-- ---- what the caller gets ----

for transport in pairs(transports) do
  describe("over " .. transport .. ", with the reset behind it", function()
    it("a statement tells its rows, ids, words and warnings", function()
      local pool = new(transport)
      local result = assert(pool:query "INSERT INTO t (b) VALUES (1), (2), (NULL)")
      assert.same({ 3, 0 }, { result.affected_rows, result.warning_count or 0 })
      assert.equal("Records: 3  Duplicates: 0  Warnings: 0", result.info)
      local ids = assert(pool:query "SELECT MAX(a) AS last FROM t")
      assert.equal(ids[1].last, result.insert_id + 2)
      assert.equal(1, pool:query("SELECT 1 / 0").warning_count)
      assert.same({}, { table.unpack(assert(pool:query "SELECT a FROM t WHERE a < 0")) })
    end)

    it("a result of any size comes whole", function()
      local pool = new(transport)
      local id = pool:value "SELECT CONNECTION_ID()"
      local rows = os.getenv "MYPOOL_THOROUGH" and 100 or 4
      for _, size in ipairs { 0, 1, 250, 4080, 16384, 65536, 1000000 } do
        local count = size == 1000000 and rows or 3
        local several = "SELECT 1" .. (" UNION ALL SELECT 1"):rep(count - 1)
        local found = assert(pool:query("SELECT REPEAT('x', ?) AS x FROM (" .. several .. ") AS several", size))
        assert.equal(count, #found)
        for i = 1, count do
          assert.equal(size, #found[i].x)
        end
        assert_lent_again(pool, id)
      end
      assert.equal(1, pool:stats().opened)
    end)

    for name, case in pairs {
      ["a syntax error"] = { "SELECT FROM", 1064 },
      ["a duplicate key"] = { "INSERT INTO t (a, b) SELECT 1, dirty() FROM seq_1_to_3", 1062 },
      ["an error in the middle of its rows"] = {
        "SELECT dirty(), REPEAT('x', 1000), IF(seq = 500, (SELECT 1 UNION SELECT 2), 1) FROM seq_1_to_1000",
        1242,
      },
      ["a limit of the server's"] = { "SELECT SLEEP(5), 1 FROM seq_1_to_2 HAVING dirty()", 1969, "max_statement_time" },
    } do
      it("a statement fails with " .. name .. ", and the session is lent again", function()
        local text, errno, limit = table.unpack(case)
        dialect.needs(limit, pending)
        local pool = new(transport, { init_sql = limit and "SET max_statement_time = 0.05" or nil })
        local id = pool:value "SELECT CONNECTION_ID()"
        local count = together(pool, function()
          local ok, err = pool:query(text)
          assert.is_nil(ok)
          assert.same({ errno, "server", "no", false }, { err.errno, err.kind, err.executed, err.fatal })
        end)
        assert.equal(1, count)
        assert_lent_again(pool, id)
        assert.same({ 0, 1 }, { pool:stats().resets_failed, pool:stats().opened })
      end)
    end

    it("a converter that raises, and a result that is too large, cost nothing else", function()
      local pool = new(transport, {
        types = {
          date = function()
            error "not this one"
          end,
        },
      })
      local id = pool:value "SELECT CONNECTION_ID()"
      assert.has_error(function()
        pool:query "SELECT CURDATE(), dirty()"
      end)
      assert_lent_again(pool, id)
      local rows, err = pool:query { "SELECT REPEAT('x', 1000), dirty()", max_result_bytes = 100 }
      assert.same({ false, "protocol", false }, { rows ~= nil, err.kind, err.fatal })
      assert_lent_again(pool, id)
    end)

    it("a statement whose time is over is stopped, and its session is lent again", function()
      local texts = { "SELECT SLEEP(10)", "SELECT sleeps()" }
      for _, text in ipairs(texts) do
        local options = transports[transport] { max_size = 1, wait = scheduler.wait }
        options.port = options.port and s.port -- through a relay no KILL is sent within a function
        local pool = pools.new(options)
        scheduler.run(function()
          local id = pool:value "SELECT CONNECTION_ID()"
          local ok, err = pool:query { text, timeout = 0.05 }
          assert.same({ false, "timeout", "unknown" }, { ok ~= nil, err.kind, err.executed })
          assert_lent_again(pool, id)
          for _ = 1, 20 do
            assert.equal(1, pool:value "SELECT 1") -- no KILL comes too late
          end
          assert.equal(1, pool:stats().opened)
        end)
      end
    end)

    it("a statement whose coroutine is gone is stopped, and its session is lent again", function()
      local pool = new(transport, {
        wait = function(fd, seconds)
          if coroutine.isyieldable() then
            return coroutine.yield()
          end
          return plain.poll(fd, seconds)
        end,
      })
      local id = pool:value "SELECT CONNECTION_ID()"
      local co = coroutine.create(function()
        pool:query "SELECT SLEEP(10), dirty()"
      end)
      for _ = 1, 20 do
        if pool:stats().idle == 1 or coroutine.status(co) == "dead" then
          break
        end
        coroutine.resume(co, true)
        if coroutine.status(co) == "suspended" and pool:stats().lent == 1 then
          break
        end
      end
      coroutine.close(co)
      assert_lent_again(pool, id)
    end)
  end)
end
