-- Prepared statements: they live as long as their loan, and never put a session out of step.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"

describe("a prepared statement", function()
  local s = fixture.shared_server()
  local pool, conn

  before_each(function()
    pool, conn = pools.lend(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  local function gone(statement, ...)
    local result, err, errno = statement:execute(...)
    assert.is_nil(result)
    assert.is_truthy(err.message:find "ended with its session" or err.message:find "lost", err.message)
    assert.equal("no", err.executed)
    return err, errno
  end

  it("runs as often as it likes, with other values", function()
    local statement = assert(conn:prepare "SELECT ? + 1 AS a, ? AS b")
    for i = 1, 100 do
      assert.same({ { a = i + 1, b = "x" .. i } }, statement:execute(i, "x" .. i))
    end
    assert.same({ a = 6, b = "y" }, statement:one(5, "y"))
    assert.equal(6, (statement:value(5, "y")))
    for row in assert(statement:rows(5, "y")) do
      assert.same({ a = 6, b = "y" }, row)
    end
    assert.same({ "a", "b" }, statement:execute(1, 2).columns)
  end)

  it("tells of a change as conn:query does", function()
    assert(conn:query "CREATE TEMPORARY TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
    local insert = assert(conn:prepare "INSERT INTO t (n) VALUES (?), (?)")
    local result = assert(insert:execute(1, 2))
    assert.same({ 2, 1, 0 }, { result.affected_rows, result.insert_id, result.warning_count })
    assert.equal("Records: 2  Duplicates: 0  Warnings: 0", result.info)
    assert.equal(3, insert:execute(1, 2).insert_id)
    assert.equal(4, assert(conn:prepare "DELETE FROM t"):execute().affected_rows)
    assert.equal(1, assert(conn:prepare "SELECT CAST('1x' AS SIGNED) AS a"):execute().warning_count)
    assert.is_nil(conn:prepare("SELECT 1"):execute().affected_rows)
  end)

  local function assert_arrives(expected, value, sql)
    local got = assert(conn:prepare(sql or "SELECT ?")):value(value)
    assert.equal(math.type(expected) or type(expected), math.type(got) or type(got))
    assert.equal(expected, got)
  end

  it("takes every type of parameter", function()
    for _, integer in ipairs { 0, 1, -1, 127, 128, 65536, 4294967296, math.maxinteger, math.mininteger } do
      assert_arrives(integer, integer)
    end
    for _, float in ipairs { 0.0, -0.0, 0.1, 1 / 3, 1e300, 5e-324, 1.7976931348623157e308, 3.0 } do
      assert_arrives(float, float)
    end
    assert_arrives(1, true)
    assert_arrives(0, false)
    for _, null in ipairs { mypool.null, "nil" } do
      assert.equal(1, (conn:prepare("SELECT ? IS NULL"):value(null ~= "nil" and null or nil)))
    end
    local every = {}
    for byte = 0, 255 do
      every[#every + 1] = string.char(byte)
    end
    every = table.concat(every)
    for _, text in ipairs { "", "a", "äöü😀", "it's", "\\", "\0", "?", every, ("x"):rep(300), ("y"):rep(70000) } do
      assert_arrives(text, text)
      assert_arrives(text, mypool.binary(text))
    end
  end)

  it("takes text as text, and bytes as bytes", function()
    local statement = assert(conn:prepare "SELECT CHARSET(?)")
    assert.equal("utf8mb4", (statement:value "ä"))
    if not dialect.takes_text_only then
      assert.equal("binary", (statement:value "\xFF"))
      assert.equal("binary", (statement:value(mypool.binary "ä")))
    end
    assert.equal("MÜLLER", (conn:prepare("SELECT UPPER(?)"):value "müller"))
  end)

  -- The server takes a parameter for text in the session's charset, and says nothing when it is not.
  for _, way in ipairs { "SET NAMES %s", "SET @@character_set_client = %s", "/*! SET NAMES %s */" } do
    it(("sends text as what it is, or refuses it, after %s"):format(way), function()
      local function stored()
        return conn:value "SELECT GROUP_CONCAT(HEX(a) ORDER BY id) FROM kept_text"
      end
      local columns = "id INT AUTO_INCREMENT PRIMARY KEY, a TEXT CHARACTER SET utf8mb4"
      assert(conn:query("CREATE TEMPORARY TABLE kept_text (" .. columns .. ")"))
      local sql = "INSERT INTO kept_text (a) VALUES (?)"
      local insert = assert(conn:prepare(sql))
      for _, charset in ipairs { "utf8mb3", "latin1", "gbk" } do
        assert(conn:query(way:format(charset)))
        local result, err = insert:execute "é"
        assert.equal(charset == "utf8mb3", result ~= nil)
        if charset ~= "utf8mb3" then
          assert.same({ "server", 1300, "no" }, { err.kind, err.errno, err.executed })
        end
        assert(insert:execute "e")
        assert.is_nil((insert:execute "😀"))
        local many = conn:execute_many(sql, { { "😀" } }) -- may be no prepared statement
        assert(insert:execute(mypool.binary "é"))
        local expected = (charset == "utf8mb3" and "C3A9,65," or "65,") .. (many and "F09F9880," or "") .. "C3A9"
        assert.equal(expected, stored())
        assert(conn:query(way:format "utf8mb4"))
        assert(insert:execute "😀")
        assert(conn:execute_many(sql, { { "é" }, { "😀" } }))
        assert.is_truthy(stored():find(",C3A9,F09F9880,C3A9,F09F9880$"))
        assert(conn:query "DELETE FROM kept_text")
      end
    end)
  end

  it("may have a parameter of another type each time, and NULL", function()
    assert(conn:query "CREATE TEMPORARY TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(99))")
    local insert = assert(conn:prepare "INSERT INTO t (a) VALUES (?)")
    for _, value in ipairs { 1, "x", 2.5, true, mypool.null, "\xC3\xA4", mypool.binary "b", 7 } do
      assert(insert:execute(value))
    end
    assert(insert:execute(nil))
    local values = {}
    for row in assert(conn:rows "SELECT COALESCE(a, 'NULL') AS a FROM t ORDER BY id") do
      values[#values + 1] = row.a
    end
    assert.equal("1,x,2.5,1,NULL,ä,b,7,NULL", table.concat(values, ","))
  end)

  it("refuses what is no value", function()
    local statement = assert(conn:prepare "SELECT ?, ?")
    local list, name = mypool.list { 1 }, mypool.ident "a"
    for _, value in ipairs { {}, print, list, name, coroutine.create(print), io.stdout, conn } do
      mistake("bad parameter 2 (" .. type(value) .. " is no value of a prepared statement)", function()
        local _ = statement:execute(1, value)
      end)
    end
    mistake("bad parameter 1 (SQL has no NaN)", function()
      local _ = statement:execute(0 / 0, 1)
    end)
    mistake("bad parameter 1 (SQL has no infinity)", function()
      local _ = statement:execute(-math.huge, 1)
    end)
    local hollow = mypool.binary "x"
    hollow[1] = true
    mistake("bad parameter 2 (binary holds no string)", function()
      local _ = statement:execute(1, hollow)
    end)
    assert.same({ ["?"] = 2 }, statement:one(1, 2))
  end)

  it("wants as many parameters as it has", function()
    for sql, wanted in pairs { ["SELECT ?, ?"] = 2, ["SELECT 1"] = 0, ["SELECT '?', ?"] = 1 } do
      local statement = assert(conn:prepare(sql))
      for given = 0, 3 do
        if given ~= wanted then
          for _, method in ipairs { "execute", "one", "value", "rows" } do
            mistake(("wrong number of parameters (the statement has %d, got %d)"):format(wanted, given), function()
              local _ = statement[method](statement, table.unpack({ 1, 2, 3 }, 1, given))
            end)
          end
        end
      end
    end
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("is text, and called with a statement", function()
    mistake("bad argument 'sql' to 'prepare' (string expected, got number)", function()
      local _ = conn:prepare(7)
    end)
    local statement = assert(conn:prepare "SELECT 1")
    for _, self in ipairs { 7, {}, conn, "x" } do
      mistake("bad argument 'self' to 'execute' (mypool.statement expected", function()
        local _ = statement.execute(self)
      end)
      mistake("bad argument 'self' to 'close' (mypool.statement expected", function()
        local _ = statement.close(self)
      end)
    end
    for _, options in ipairs { 7, "x", true } do
      mistake("bad argument 'options' to 'with' (table expected", function()
        local _ = statement:with(options)
      end)
    end
    for _, option in ipairs { "time", "idempotent" } do
      mistake(("unknown option '%s'"):format(option), function()
        local _ = statement:with { [option] = true }
      end)
    end
    assert.is_truthy(tostring(statement):find "^mypool.statement %d+$")
  end)

  it("fails to be prepared for a syntax error", function()
    local statement, err, errno, sqlstate = conn:prepare "SELEC 1"
    assert.is_nil(statement)
    assert.same({ "server", "no", false }, { err.kind, err.executed, err.fatal })
    assert.same({ 1064, "42000" }, { errno, sqlstate })
    for _, sql in ipairs { "", "SELECT nothing FROM nowhere", "SELECT 1; SELECT 2", "PREPARE x FROM 'DO 1'" } do
      assert.is_nil(conn:prepare(sql))
    end
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("is closed by close, twice, or at the end of its scope, and says so afterwards", function()
    local statement = assert(conn:prepare "SELECT 1")
    statement:close()
    statement:close()
    assert.equal("1", conn:query("SHOW STATUS LIKE 'Com_stmt_close'")[1].Value)
    do
      local scoped <close> = assert(conn:prepare "SELECT 1")
      assert.equal(1, scoped:value())
    end
    assert.equal("2", conn:query("SHOW STATUS LIKE 'Com_stmt_close'")[1].Value)
    for _, method in ipairs { "execute", "one", "value", "rows", "with" } do
      mistake("bad call of '" .. method .. "' (this statement was closed)", function()
        local _ = statement[method](statement, {})
      end)
    end
    assert.is_truthy(tostring(statement):find "closed")
  end)

  it("is closed for its copies with other options too", function()
    local statement = assert(conn:prepare "SELECT 1")
    local other = statement:with { rows = "array" }
    assert.same({ 1 }, other:one())
    statement:close()
    local ok, result, err = pcall(other.execute, other)
    assert.is_true(not ok or (result == nil and err.executed == "no"))
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("is dead after its loan", function()
    local statement, other = assert(conn:prepare "SELECT 1"), assert(conn:prepare "SELECT 2")
    conn:release()
    for _, method in ipairs { "execute", "one", "value", "rows" } do
      mistake("(this connection was released at ", function()
        local _ = statement[method](statement)
      end)
    end
    statement:close()
    local next_conn <close> = assert(pool:checkout())
    assert.equal(3, (assert(next_conn:prepare "SELECT 3"):value()))
    mistake("(this connection was released at ", function()
      local _ = other:execute()
    end)
    other:close()
  end)

  it("ends at the release when it was left open: the server keeps none", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local before = tonumber(conn:query("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")[1].Value)
    for i = 1, 50 do
      assert(conn:prepare("SELECT " .. i))
    end
    assert.equal(before + 50, tonumber(conn:query("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")[1].Value))
    local id = conn:id()
    conn:release()
    conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert.equal(before, tonumber(conn:query("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")[1].Value))
  end)

  it("ends with a reset in the middle of the loan", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local statement = assert(conn:prepare "SELECT ?")
    assert.equal(5, (statement:value(5)))
    assert(conn:reset())
    local err, errno = gone(statement, 5)
    assert.same({ "protocol", false, 1243 }, { err.kind, err.fatal, errno })
    gone(statement, 5, 6)
    statement:close()
    assert.equal(7, conn:value "SELECT 7")
    assert.equal(8, (assert(conn:prepare "SELECT 8"):value()))
  end)

  it("ends with its session", function()
    local statement = assert(conn:prepare "SELECT ?")
    local killer <close> = assert(pools.new(s:options()):checkout())
    assert(killer:query("KILL " .. conn:id()))
    local result, err = statement:execute(5)
    assert.is_nil(result)
    assert.same({ "lost", true }, { err.kind, err.fatal })
    gone(statement, 5)
    gone(statement)
    statement:close()
    conn:release()
    assert.equal(7, pool:value "SELECT 7")
  end)

  -- Its end has no reply, and fails unseen.
  for _, over in ipairs { "options", "tcp_options" } do
    it("may end behind the end of its connection, of which the next statement tells: " .. over, function()
      for _, use in ipairs { "ping", "reset", "query", "prepare", "transaction", "release" } do
        pool, conn = pools.lend(s[over](s, { max_size = 1, retries = 0 }))
        local statement = assert(conn:prepare "SELECT 1")
        s:kill_sessions { conn:id() }
        statement:close()
        if use == "release" then
          conn:release()
        else
          local result, err = conn[use](conn, use == "transaction" and error or "SELECT 1")
          assert.is_nil(result)
          assert.same({ "lost", "no" }, { err.kind, err.executed }, use)
          conn:release()
        end
        assert.equal(1, pool:value "SELECT 1")
      end
    end)
  end

  it("meets its timeout, ends, and leaves a session that is in step", function()
    local statement = assert(conn:prepare "SELECT SLEEP(?)")
    local result, err = statement:with({ timeout = 0.05 }):execute(5)
    assert.is_nil(result)
    assert.same({ "timeout", "unknown", true }, { err.kind, err.executed, err.fatal })
    gone(statement, 0)
    statement:close()
    conn:release()
    eventually(function()
      local value, failure = pool:value "SELECT 7"
      assert(value == 7 or failure.kind == "exhausted", failure)
      return value
    end)
  end)

  it("keeps step when its table is altered under it", function()
    dialect.run(conn, "CREATE OR REPLACE TABLE altered (a INT, b VARCHAR(9))")
    assert(conn:query "INSERT INTO altered VALUES (1, 'x')")
    local other <close> = assert(pools.new(s:options()):checkout())
    for _, change in ipairs {
      "MODIFY a BIGINT",
      "MODIFY a VARCHAR(20)",
      "ADD c DATETIME DEFAULT '2024-01-01'",
      "ADD d DOUBLE DEFAULT 1.5, ADD e TEXT",
      "DROP c",
      "DROP d, DROP e",
      "MODIFY a TIME(6)",
      "CHANGE b z DATE",
    } do
      local db = assert(pool.stats and pools.new(s:options { max_size = 1 }):checkout())
      local id = db:id()
      -- What libmariadb does not take over of the new columns is their names.
      local statement = assert(db:prepare "SELECT * FROM altered"):with { rows = "array" }
      assert(statement:execute())
      assert(other:query { "SET sql_mode = ''" })
      assert(other:query("ALTER TABLE altered " .. change))
      for _ = 1, 2 do
        local rows, err = statement:execute()
        if rows then
          assert.same(db:query { "SELECT * FROM altered", rows = "array" }, rows, change)
        else
          assert.is_truthy(err.fatal or err.kind == "server", change .. ": " .. err)
        end
      end
      -- In step, or known to be lost.
      local value, err = db:value "SELECT 7"
      assert.is_true(value == 7 or err.kind == "lost", change)
      if value then
        assert.equal(id, db:id())
      end
      db:release()
    end
    assert(other:query "DROP TABLE altered")
  end)

  it("fails, and no more, when its table is dropped", function()
    dialect.run(conn, "CREATE OR REPLACE TEMPORARY TABLE dropped (a INT)")
    local statement = assert(conn:prepare "SELECT * FROM dropped")
    assert(statement:execute())
    assert(conn:query "DROP TABLE dropped")
    local result, err, errno = statement:execute()
    assert.is_nil(result)
    assert.same({ "server", 1146, false }, { err.kind, errno, err.fatal })
    assert.equal(7, conn:value "SELECT 7")
    assert(conn:query "CREATE TEMPORARY TABLE dropped (a INT)")
    assert.same({}, statement:execute())
  end)

  it("may be a CALL with several results, again and again", function()
    dialect.run(conn, [[CREATE OR REPLACE PROCEDURE many_results(IN n INT) BEGIN
      SELECT n AS a; SELECT n AS b, 'x' AS c, NOW() AS d FROM seq_1_to_3; SELECT 1 AS e FROM DUAL WHERE FALSE;
      SET @n = n; END]])
    local statement = assert(conn:prepare "CALL many_results(?)")
    for i = 1, 3 do
      local results = table.pack(statement:execute(i))
      assert.equal(4, results.n)
      assert.same({ { a = i } }, results[1])
      assert.equal(3, #results[2])
      assert.same({ i, "x" }, { results[2][3].b, results[2][3].c })
      assert.same({}, results[3])
      assert.same({ "e" }, results[3].columns)
      assert.equal(0, results[4].affected_rows)
      assert.same({ a = i }, (statement:one(i)))
      assert.equal(i, (statement:value(i)))
      local n = 0
      for _ in assert(statement:rows(i)) do
        n = n + 1
      end
      assert.equal(1, n) -- of the first result
      for _ in assert(statement:rows(i)) do -- luacheck: ignore 512
        break
      end
      assert.equal(i, conn:value "SELECT @n")
    end
  end)

  it("tells the out parameters of a CALL", function()
    dialect.run(conn, [[CREATE OR REPLACE PROCEDURE outs(IN a INT, OUT b INT, INOUT c VARCHAR(9)) BEGIN
      SET b = a + 1, c = CONCAT(c, '!'); SELECT 'row' AS r; END]])
    local statement = assert(conn:prepare "CALL outs(?, ?, ?)")
    for i = 1, 2 do
      local results = table.pack(statement:execute(i, nil, "x"))
      assert.same({ { r = "row" } }, results[1])
      assert.same({ { b = i + 1, c = "x!" } }, results[2])
    end
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("fails when a later result of a CALL fails, and says that a part was executed", function()
    dialect.run(conn, [[CREATE OR REPLACE PROCEDURE fails_late() BEGIN
      SELECT 1 AS a; SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 4711, MESSAGE_TEXT = 'too late'; END]])
    local statement = assert(conn:prepare "CALL fails_late()")
    for _ = 1, 2 do
      local result, err, errno = statement:execute()
      assert.is_nil(result)
      assert.same({ "server", "yes", 4711, false }, { err.kind, err.executed, errno, err.fatal })
      assert.equal(7, conn:value "SELECT 7")
    end
  end)

  it("fails in the middle of its rows without harm", function()
    local sql = "SELECT IF(seq < 2000, 1, (SELECT seq FROM seq_1_to_2)) AS a FROM seq_1_to_3000"
    local statement = assert(conn:prepare(sql))
    for _ = 1, 2 do
      local result, err, errno = statement:execute()
      assert.is_nil(result)
      assert.same({ 1242, "server", false }, { errno, err.kind, err.fatal })
      assert.equal(7, conn:value "SELECT 7")
    end
  end)

  it("is one of many of its loan, in any order", function()
    local statements = {}
    for i = 1, 200 do
      statements[i] = assert(conn:prepare(("SELECT %d + ? AS a"):format(i)))
    end
    for i = 200, 1, -3 do
      assert.equal(i + 1, (statements[i]:value(1)))
    end
    for i = 1, 200, 2 do
      statements[i]:close()
    end
    for i = 2, 200, 2 do
      assert.equal(i + 5, (statements[i]:value(5)))
    end
  end)

  it("may be closed while its rows are read: it ends with the loan", function()
    local statement = assert(conn:prepare "SELECT seq FROM seq_1_to_1000")
    local n = 0
    for _ in assert(statement:rows()) do
      n = n + 1
      if n == 5 then
        statement:close()
      end
    end
    assert.equal(1000, n)
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("brings rows of any number, and cells of any size", function()
    local rows = assert(conn:prepare "SELECT seq AS n, REPEAT('x', seq % 300) AS t FROM seq_1_to_30000"):execute()
    assert.equal(30000, #rows)
    for i, row in ipairs(rows) do
      if row.n ~= i or #row.t ~= i % 300 then
        assert.equal(i, row.n)
        assert.equal(i % 300, #row.t)
      end
    end
    local statement = assert(conn:prepare "SELECT REPEAT('x', ?) AS a, 'tail' AS b")
    for _, length in ipairs { 0, 250, 251, 65535, 65536, 15 * 1024 * 1024 } do
      local row = assert(statement:one(length))
      assert.equal(length, #row.a)
      assert.equal("tail", row.b)
    end
  end)

  it("may have values up to max_allowed_packet; beyond it is refused before it is sent", function()
    local packet = conn:value "SELECT @@max_allowed_packet"
    local statement = assert(conn:prepare "SELECT LENGTH(?)")
    assert.equal(packet - 100, (statement:value(("x"):rep(packet - 100))))
    local result, err, errno = statement:execute(("x"):rep(packet + 1))
    assert.is_nil(result)
    assert.same({ "server", "no", false, 1153 }, { err.kind, err.executed, err.fatal, errno })
    assert.equal(1, (statement:value "x"))
  end)

  it("is not run again when its reply is lost", function()
    local killer <close> = assert(pools.new(s:options()):checkout())
    local shared = pools.new(s:options { max_size = 1, wait = scheduler.wait })
    local outcome
    scheduler.run(function()
      local db <close> = assert(shared:checkout())
      local sleep = assert(db:prepare "SELECT SLEEP(?)")
      local id = db:id()
      scheduler.spawn(coroutine.create(function()
        scheduler.sleep(0.05)
        assert(killer:query("KILL " .. id))
      end))
      outcome = { sleep:execute(5) }
    end)
    assert.is_nil(outcome[1])
    assert.same({ "lost", "unknown" }, { outcome[2].kind, outcome[2].executed })
  end)

  it("obeys the rule of doomed transactions", function()
    dialect.run(conn, "CREATE OR REPLACE TABLE doomed (id INT PRIMARY KEY, n INT) ENGINE = InnoDB")
    assert(conn:query "INSERT INTO doomed VALUES (1, 0), (2, 0)")
    local shared = pools.new(s:options { max_size = 2, wait = scheduler.wait })
    local outcomes = {}
    local function contender(mine, theirs, key)
      return function()
        local db <close> = assert(shared:checkout())
        local update = assert(db:prepare "UPDATE doomed SET n = n + 1 WHERE id = ?")
        assert(db:query "SET innodb_lock_wait_timeout = 5")
        assert(db:query "START TRANSACTION")
        assert(update:execute(mine))
        scheduler.sleep(0.1)
        local ok, err = update:execute(theirs)
        if ok then
          outcomes[key] = "won"
          assert(db:query "ROLLBACK")
        else
          outcomes[key] = err.errno
          local again, refusal = update:execute(mine)
          assert.is_nil(again)
          assert.is_truthy(refusal.message:find "ROLLBACK before anything else")
          assert.is_nil(db:prepare "SELECT 1")
          assert(db:query "ROLLBACK")
          assert(update:execute(mine))
          assert(db:query("UPDATE doomed SET n = 0"))
        end
      end
    end
    scheduler.run(contender(1, 2, "first"), contender(2, 1, "second"))
    local found = { [outcomes.first] = true, [outcomes.second] = true }
    assert.same({ [1213] = true, won = true }, found)
    assert(conn:query "DROP TABLE doomed")
  end)

  it("works in coroutines, each with statements of its own", function()
    local shared = pools.new(s:options { max_size = 3, wait = scheduler.wait })
    local done, tasks = 0, {}
    for i = 1, 9 do
      tasks[i] = function()
        local db <close> = assert(shared:checkout())
        local statement <close> = assert(db:prepare "SELECT ? + seq AS n FROM seq_1_to_500")
        for j = 1, 5 do
          local rows = assert(statement:execute(i * j))
          assert(rows[500].n == i * j + 500)
        end
        done = done + 1
      end
    end
    scheduler.run(table.unpack(tasks))
    assert.equal(9, done)
    assert.equal(0, shared:stats().lent)
  end)

  it("works over TCP, and on a transaction", function()
    local tx = assert(pools.new(s:tcp_options()):begin())
    local statement = assert(tx:prepare "SELECT ?")
    assert.equal("x", (statement:value "x"))
    assert(tx:commit())
    mistake("(this connection was released", function()
      local _ = statement:execute "x"
    end)
  end)

  it("tells no value of a parameter in its messages", function()
    assert(conn:query([[CREATE TEMPORARY TABLE quoted (
      id INT PRIMARY KEY, t VARCHAR(40) UNIQUE, d DATE, n TINYINT, u ]] .. (dialect.has "UUID)" and "UUID)" or "INT)")))
    assert(conn:query "SET sql_mode = 'STRICT_ALL_TABLES'")
    local insert = assert(conn:prepare "INSERT INTO quoted (id, t) VALUES (?, ?)")
    assert(insert:execute(7654321, "a secret text"))
    for sql, value in pairs {
      ["INSERT INTO quoted (id) VALUES (?)"] = 7654321,
      ["INSERT INTO quoted (id, t) VALUES (1, ?)"] = "a secret text",
      ["INSERT INTO quoted (id, d) VALUES (2, ?)"] = "a secret date",
      ["INSERT INTO quoted (id, n) VALUES (3, ?)"] = "a secret number",
      ["INSERT INTO quoted (id, u) VALUES (4, ?)"] = "a secret uuid",
      ["SELECT EXTRACTVALUE('<a/>', ?)"] = "secret[[",
      ["SELECT CONVERT(1 USING utf8mb4) COLLATE utf8mb4_bin REGEXP ?"] = "secret(((",
      ["EXECUTE IMMEDIATE ?"] = "SELEC secret",
    } do
      local statement = conn:prepare(sql)
      if statement then
        local result, err = statement:execute(value)
        assert.is_nil(result, sql)
        local piece = type(value) == "string" and "secret" or "7654321"
        assert.is_nil(err.message:find(piece, 1, true), err.message)
      end
    end
    local rows = { { 8, "x" }, { 9, "a secret text" } }
    local result, err = conn:execute_many("INSERT INTO quoted (id, t) VALUES (?, ?)", rows)
    assert.is_nil(result)
    assert.is_nil(err.message:find "secret", err.message)
  end)

  -- On MySQL the packet behind the row of the OUT parameters does not say that the OK of the CALL follows.
  it("gives the OUT and INOUT parameters of a CALL as a result, and stays in step", function()
    assert(conn:query "DROP PROCEDURE IF EXISTS out_and_inout")
    assert(conn:query [[CREATE PROCEDURE out_and_inout(IN a INT, OUT b INT, INOUT c INT)
      BEGIN SELECT a AS given; SET b = a + 1, c = c * 2; END]])
    for i = 1, 20 do
      local statement = assert(conn:prepare "CALL out_and_inout(?, ?, ?)")
      for n = i, i + 1 do
        local given, out, last, more = statement:execute(n, 0, n)
        assert.same({ { given = n } }, given)
        assert.same({ { b = n + 1, c = 2 * n } }, out)
        assert.same({ 0, nil }, { last.affected_rows, more })
        assert.equal(n, (conn:value("SELECT ?", n)))
      end
      conn:release()
      conn = assert(pool:checkout())
      assert.equal(i, (conn:value("SELECT ?", i)))
    end
    pools.has_opened(1, pool)
  end)

  it("may be dropped in the middle of anything", function()
    for _ = 1, 20 do
      local db = assert(pools.new(s:options { max_size = 1 }):checkout())
      local statement = assert(db:prepare "SELECT seq FROM seq_1_to_100000")
      local stream = assert(statement:rows())
      stream()
      db:discard()
      statement:close()
      stream:close()
    end
    collectgarbage()
  end)
end)
