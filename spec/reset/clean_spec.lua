-- A clean session, always: nothing that one borrower did is seen by the next.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local s = fixture.server()
local role, isolation, limit = dialect.current_role, dialect.isolation_variable, dialect.time_variable
local read_only = "SELECT @@" .. dialect.read_only_variable

setup(function()
  s:sql [[
    CREATE ROLE clerk; GRANT SELECT ON other.* TO clerk;
    CREATE ROLE boss;
    GRANT clerk TO app@localhost; GRANT clerk TO app@'%'; GRANT boss TO app@localhost; GRANT boss TO app@'%';
    CREATE TABLE app.kept (id INT AUTO_INCREMENT PRIMARY KEY, a TEXT) ENGINE=InnoDB;
    CREATE TABLE other.elsewhere (n INT)]]
end)

after_each(pools.close)

-- Runs `dirty` as one borrower; returns the connection of the next, which is the same session.
local function next_borrower(pool, dirty)
  local conn = assert(pool:checkout())
  local id = conn:id()
  dirty(conn)
  conn:release()
  local other = assert(pool:checkout())
  assert.equal(id, other:id())
  return other
end

local function run_all(statements)
  return function(conn)
    for _, sql in ipairs(statements) do
      local result, err = conn:query(sql)
      assert.is_truthy(result, err and sql .. ": " .. err)
    end
  end
end

local every_byte = {}
for byte = 0, 255 do
  every_byte[#every_byte + 1] = string.char(byte)
end
local hostile = { "' OR 1=1 -- ", "\\' OR 1=1 -- ", "\xBF' OR 1=1 -- ", "\xBF\\' OR 1=1 -- ", "é\\" }
hostile[#hostile + 1] = table.concat(every_byte)

local function assert_strings_stay_strings(conn)
  for _, text in ipairs(hostile) do
    local hex = text:gsub(".", function(byte)
      return ("%02X"):format(byte:byte())
    end)
    assert.equal(hex, (conn:value("SELECT HEX(?)", text)))
    assert.equal(0, (conn:value("SELECT COUNT(*) FROM app.seq_1_to_10 WHERE ? = 'x'", text)))
  end
  assert.same({ "',?", 5 }, conn:one({ [[SELECT '\',?', ?]], rows = "array" }, 5))
end

-- What a borrower leaves behind: statements, a question, and its answer in a clean session.
local leaks = {
  { "a user variable", { "SET @a = 1" }, "SELECT @a", nil },
  { "sql_mode", { "SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'" }, "SELECT @@sql_mode = @@GLOBAL.sql_mode", 1 },
  { "SET NAMES", { "SET NAMES gbk" }, "SELECT @@character_set_client = @@character_set_results", 1 },
  { "the charset", { "SET NAMES gbk" }, "SELECT @@character_set_client", "utf8mb4" },
  { "the collation", { "SET collation_connection = latin1_bin" }, "SELECT @@character_set_connection", "utf8mb4" },
  { "the database", { "USE other" }, "SELECT DATABASE()", "app" },
  { "a role", { "SET ROLE clerk" }, ("SELECT %s"):format(role), nil },
  { "a transaction", { "START TRANSACTION", "INSERT INTO kept (a) VALUES ('x')" }, "SELECT COUNT(*) FROM kept", 0 },
  { "autocommit", { "SET autocommit = 0" }, "SELECT @@autocommit", 1 },
  { "isolation", { "SET " .. isolation .. " = 'READ-COMMITTED'" }, "SELECT @@" .. isolation, "REPEATABLE-READ" },
  { "read-only", { "SET SESSION TRANSACTION READ ONLY" }, read_only, 0 },
  { "read-only for the next transaction", { "SET TRANSACTION READ ONLY" }, read_only, 0 },
  { "a temporary table", { "CREATE TEMPORARY TABLE mine (n INT)" }, "SELECT COUNT(*) FROM mine", "error 1146" },
  { "a table that hides another", { "CREATE TEMPORARY TABLE kept AS SELECT 1" }, "SELECT COUNT(*) FROM kept", 0 },
  { "a lock by name", { "DO GET_LOCK('mine', 0)" }, "SELECT IS_FREE_LOCK('mine')", 1 },
  { "locked tables", { "LOCK TABLES other.elsewhere WRITE" }, "SELECT COUNT(*) FROM kept", 0 },
  { "a global read lock", { "FLUSH TABLES WITH READ LOCK" }, "DELETE FROM kept", "affected 0" },
  { "a prepared statement", { "PREPARE p FROM 'SELECT 1'" }, "EXECUTE p", "error 1243" },
  { "a handler", { "HANDLER kept OPEN" }, "HANDLER kept READ FIRST", "error 1109" },
  { "time_zone", { "SET time_zone = '+05:00'" }, "SELECT @@time_zone = @@GLOBAL.time_zone", 1 },
  { "timestamp", { "SET timestamp = 1" }, "SELECT UNIX_TIMESTAMP() > 1e9", 1 },
  { "foreign_key_checks", { "SET foreign_key_checks = 0" }, "SELECT @@foreign_key_checks", 1 },
  { "sql_log_bin", { "SET sql_log_bin = 0" }, "SELECT @@sql_log_bin", 1 },
  { "sql_select_limit", { "SET sql_select_limit = 1" }, "SELECT COUNT(*) FROM (SELECT seq FROM seq_1_to_3) t", 3 },
  { "a limit of time", { "SET " .. limit .. " = 1" }, "SELECT @@" .. limit, dialect.no_time_limit },
  { "wait_timeout", { "SET wait_timeout = 7" }, "SELECT @@wait_timeout = @@GLOBAL.wait_timeout", 1 },
  { "lc_messages", { "SET lc_messages = 'de_DE'" }, "SELECT @@lc_messages", "en_US" },
  { "LAST_INSERT_ID", { "DO LAST_INSERT_ID(7)" }, "SELECT LAST_INSERT_ID()", 0 },
  { "insert_id", { "SET insert_id = 4711" }, "SELECT @@insert_id", 0 },
  { "warnings", { "SELECT CAST('x' AS SIGNED)" }, "SHOW WARNINGS", nil },
}

describe("the next borrower of a connection", function()
  for _, leak in ipairs(leaks) do
    it("has nothing of " .. leak[1], function()
      local pool = pools.new(s:options { max_size = 1 })
      local conn = next_borrower(pool, run_all(leak[2]))
      local expected = leak[4]
      if type(expected) == "string" and expected:find "^error " then
        local _, err = conn:query(leak[3])
        assert.equal(expected, "error " .. (err and err.errno or "none"))
      elseif expected == "affected 0" then
        assert.equal(0, assert(conn:query(leak[3])).affected_rows)
      else
        local value, err = conn:value(leak[3])
        assert.is_nil(err)
        assert.equal(expected, value)
      end
      assert_strings_stay_strings(conn)
      assert.is_false(conn:in_transaction())
      assert.is_truthy(conn:query "INSERT INTO kept (a) VALUES ('y')")
      assert.is_truthy(conn:query "DELETE FROM kept")
      assert.is_true(pool:stats().opened == 1)
    end)
  end

  it("has nothing of all of it at once, and a hostile string stays a string", function()
    local pool = pools.new(s:options { max_size = 1 })
    local conn = next_borrower(pool, run_all {
      "SET ROLE clerk",
      "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
      "SET NAMES gbk",
      "SELECT GET_LOCK('mine', 0)",
      "CREATE TEMPORARY TABLE t (n INT)",
      "SET @a = 1, autocommit = 0",
      "INSERT INTO kept (a) VALUES ('x')",
      "USE other",
    })
    assert_strings_stay_strings(conn)
    local row = assert(conn:one([[
      SELECT DATABASE() AS db, ]] .. role .. [[ AS role, @@character_set_client AS charset, @a AS a,
        @@sql_mode = @@GLOBAL.sql_mode AS mode, IS_FREE_LOCK('mine') AS free, @@autocommit AS auto,
        @@character_set_database = (SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA
          WHERE SCHEMA_NAME = 'app') AS dbcharset, (SELECT COUNT(*) FROM kept) AS kept]]))
    assert.same({ db = "app", charset = "utf8mb4", mode = 1, free = 1, auto = 1, dbcharset = 1, kept = 0 }, row)
    assert.equal(1146, select(3, conn:query "SELECT * FROM t"))
  end)

  it("has nothing of what a stored function did in a SELECT", function()
    local pool = pools.new(s:options { max_size = 1 })
    dialect.run(pool, [[
      CREATE OR REPLACE FUNCTION sly() RETURNS INT BEGIN SET @a = 1; SET ROLE clerk;
        SET sql_mode = 'NO_BACKSLASH_ESCAPES'; RETURN 1; END]])
    local conn = next_borrower(pool, run_all { "SELECT sly()" })
    local sql = "SELECT @a AS a, @@sql_mode = @@GLOBAL.sql_mode AS mode, %s AS role"
    assert.same({ mode = 1 }, conn:one(sql:format(role)))
    assert_strings_stay_strings(conn)
  end)

  it("has nothing of a statement that failed, or of a CALL", function()
    local pool = pools.new(s:options { max_size = 1 })
    dialect.run(pool, "CREATE OR REPLACE PROCEDURE three() BEGIN SELECT 1; SET @a = 1; SELECT 2; SELECT 3; END")
    local conn = next_borrower(pool, function(conn)
      assert(conn:query "CALL three()")
      assert.is_nil((conn:query "SELECT nonexistent"))
    end)
    assert.is_nil(conn:value "SELECT @a")
  end)

  it("has nothing of a transaction that was left without an end", function()
    local pool = pools.new(s:options { max_size = 1 })
    local conn = next_borrower(pool, function(conn)
      local tx = assert(conn:begin { isolation = "serializable" })
      assert(tx:query "INSERT INTO kept (a) VALUES ('x')")
    end)
    assert.equal(0, conn:value "SELECT COUNT(*) FROM kept")
    assert.is_false(conn:in_transaction())
  end)

  it("is clean also when the reply to the reset has to be waited for", function()
    local pool = pools.new(s:options { max_size = 1 })
    assert(pool:with(function(conn)
      run_all { "START TRANSACTION", "INSERT INTO kept (a) SELECT REPEAT('x', 100) FROM seq_1_to_30000" }(conn)
      return true
    end))
    assert.equal(0, pool:value "SELECT COUNT(*) FROM kept")
    assert.equal(1, pool:stats().opened)
  end)

  it("sees what was left behind with reset = 'never'", function()
    local pool = pools.new(s:options { max_size = 1, reset = "never" })
    local conn = next_borrower(pool, run_all { "SET @a = 1", "USE other" })
    assert.same({ a = 1, db = "other" }, conn:one "SELECT @a AS a, DATABASE() AS db")
    assert.equal(0, pool:stats().resets_sent)
  end)
end)

describe("the baseline of a connection", function()
  local function baseline_of(options, question, dirty)
    local pool, conn = pools.lend(s:options(options))
    local first = assert(conn:one(question))
    conn:release()
    conn = next_borrower(pool, run_all(dirty))
    assert.same(first, (conn:one(question)))
    assert_strings_stay_strings(conn)
    conn:release()
    conn = next_borrower(pool, run_all(dirty))
    assert.same(first, (conn:one(question)))
    return first
  end

  it("has the variables, the role, and the temporary tables of init_sql", function()
    local first = baseline_of(
      {
        max_size = 1,
        init_sql = {
          "SET @who = 'init', time_zone = '+03:00'",
          "SET SESSION sql_mode = 'ANSI_QUOTES'",
          "SET ROLE boss",
          "CREATE TEMPORARY TABLE mine AS SELECT 7 AS n",
        },
      },
      "SELECT @who AS who, @@time_zone AS tz, @@sql_mode AS mode, " .. role .. " AS role, (SELECT n FROM mine) AS n",
      { "SET @who = 'me', time_zone = '+05:00', sql_mode = ''", "SET ROLE clerk", "UPDATE mine SET n = 8" }
    )
    assert.same({ who = "init", tz = "+03:00", mode = "ANSI_QUOTES", role = "boss", n = 7 }, first)
  end)

  it("bears init_sql that brings rows, or several results", function()
    s:sql "CREATE OR REPLACE PROCEDURE app.greet() SELECT 'hello'"
    local first = baseline_of(
      { max_size = 1, init_sql = { "SELECT @a := 5", "CALL greet()", "SELECT seq FROM seq_1_to_3000" } },
      "SELECT @a AS a",
      { "SET @a = 6" }
    )
    assert.equal(5, tonumber(first.a))
  end)

  it("has the charset and collation of the options", function()
    local question = "SELECT @@character_set_client AS charset, @@collation_connection AS collation"
    local dirty = { "SET NAMES utf8mb3" }
    assert.same({ charset = "latin1", collation = "latin1_german2_ci" },
      baseline_of({ max_size = 1, charset = "latin1", collation = "latin1_german2_ci" }, question, dirty))
    assert.same({ charset = "utf8mb4", collation = "utf8mb4_bin" },
      baseline_of({ max_size = 1, collation = "utf8mb4_bin" }, question, dirty))
    assert.equal("utf8mb4", baseline_of({ max_size = 1 }, question, dirty).charset)
  end)

  it("has the database of the options", function()
    local question = "SELECT DATABASE() AS db, @@character_set_database AS charset"
    s:sql "CREATE OR REPLACE DATABASE old CHARACTER SET latin1"
    local first = baseline_of({ max_size = 1, database = "old" }, question, { "USE other" })
    assert.same({ db = "old", charset = "latin1" }, first)
  end)

  it("has the default role of the account", function()
    s:sql "SET DEFAULT ROLE clerk FOR app@localhost"
    local first = baseline_of({ max_size = 1 }, "SELECT " .. role .. " AS role", { "SET ROLE boss" })
    assert.equal("clerk", first.role)
    baseline_of({ max_size = 1 }, "SELECT " .. role .. " AS role", { "SET ROLE NONE" })
    s:sql "SET DEFAULT ROLE NONE FOR app@localhost"
  end)

  it("has what init_connect of the server does for accounts without special rights", function()
    s:sql "SET GLOBAL init_connect = 'SET @hello = 1; SET time_zone = ''+02:00'''"
    local first = baseline_of(
      { max_size = 1, user = "limited" },
      "SELECT @hello AS hello, @@time_zone AS tz",
      { "SET @hello = 2, time_zone = '+05:00'" }
    )
    s:sql "SET GLOBAL init_connect = ''"
    assert.same({ hello = 1, tz = "+02:00" }, first)
  end)

  it("has no role either that was granted while the connection was open, or to the account on another host", function()
    s:sql "CREATE ROLE late; CREATE USER visitor@localhost IDENTIFIED BY 'secret', visitor@'%'"
    s:sql "GRANT late TO visitor@'%'"
    local options = s:options { max_size = 1, user = "visitor" }
    options.database = nil
    local pool, conn = pools.lend(options)
    conn:query "SET ROLE late" -- some versions take the grant to the other host
    conn:release()
    assert.is_nil(pool:value("SELECT " .. role))
    conn = assert(pool:checkout())
    s:sql "GRANT late TO visitor@localhost"
    assert(conn:query "SET ROLE late")
    conn:release()
    assert.is_nil(pool:value("SELECT " .. role))
    pool:close()
    s:sql "DROP USER visitor@localhost, visitor@'%'; DROP ROLE late"
  end)

  it("is there without the right to any role", function()
    baseline_of({ max_size = 1, user = "limited" }, "SELECT " .. role .. " AS role, DATABASE() AS db", { "SET @a = 1" })
  end)
end)

describe("a pool without a database", function()
  local function without_database()
    local options = s:options { max_size = 1 }
    options.database = nil
    return pools.new(options)
  end

  it("lends connections without one, whatever the last borrower chose", function()
    local pool = without_database()
    for _ = 1, 3 do
      local conn = assert(pool:checkout())
      assert.is_nil(conn:value "SELECT DATABASE()")
      assert(conn:query "USE other")
      assert.equal("other", conn:value "SELECT DATABASE()")
      conn:release()
    end
  end)

  it("keeps a connection that never chose one", function()
    local pool = without_database()
    local id = pool:value "SELECT CONNECTION_ID()"
    assert.equal(id, (pool:value "SELECT CONNECTION_ID()"))
    assert.equal(1, pool:stats().opened)
  end)
end)
