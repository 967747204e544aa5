-- Statements and their results: what comes from the server, as Lua values.

local dialect = require "spec.servers.dialect"
local dkjson = require "dkjson"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"

describe("the rows of a result", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  it("are tables by column name", function()
    local rows = pool:query "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'"
    assert.same({ { a = 1, b = "x" }, { a = 2, b = "y" } }, rows)
  end)

  it("are arrays with rows = 'array', for the pool or for one statement", function()
    local arrays = pools.new(s:options { rows = "array" })
    assert.same({ { 1, "x" } }, arrays:query "SELECT 1 AS a, 'x' AS b")
    assert.same({ 1, "x" }, arrays:one "SELECT 1 AS a, 'x' AS b")
    assert.same({ { a = 1 } }, arrays:query { "SELECT 1 AS a", rows = "table" })
    assert.same({ { 1 } }, pool:query { "SELECT 1 AS a", rows = "array" })
    assert.same({ { a = 1 } }, pool:query "SELECT 1 AS a")
    assert.equal(1, pool:value "SELECT 1 AS a")
  end)

  it("keep duplicate names only as arrays", function()
    assert.same({ { 1, 2, 3 } }, pool:query { "SELECT 1 AS a, 2 AS b, 3 AS a", rows = "array" })
    assert.same({ { a = 3, b = 2 } }, pool:query "SELECT 1 AS a, 2 AS b, 3 AS a")
    assert.same({ "a", "b", "a" }, pool:query("SELECT 1 AS a, 2 AS b, 3 AS a").columns)
  end)

  it("may be none", function()
    local rows = pool:query "SELECT 1 AS a, 2 AS b FROM DUAL WHERE FALSE"
    assert.same({}, rows)
    assert.same({ "a", "b" }, rows.columns)
    assert.is_nil(pool:one "SELECT 1 FROM DUAL WHERE FALSE")
  end)

  it("may be many", function()
    local rows = pool:query "SELECT seq AS n FROM seq_1_to_30000"
    assert.equal(30000, #rows)
    for i = 1, #rows do
      if rows[i].n ~= i then
        assert.equal(i, rows[i].n)
      end
    end
    assert.equal(1, pool:value "SELECT seq AS n FROM seq_1_to_30000")
    assert.same({ n = 1 }, pool:one "SELECT seq AS n FROM seq_1_to_30000")
  end)

  it("may have as many columns as the server bears", function()
    local names = {}
    for i = 1, 4096 do
      names[i] = i .. " AS c" .. i
    end
    local rows = pool:query("SELECT " .. table.concat(names, ","))
    assert.equal(4096, #rows.columns)
    assert.equal(4096, rows[1].c4096)
    assert.equal(4096, #pool:one { "SELECT " .. table.concat(names, ","), rows = "array" })
  end)

  it("have the names as the server has them", function()
    local row = pool:one "SELECT 1 AS `a b`, 2 AS `ä`, 3 AS `a``b`, 4"
    assert.same({ ["a b"] = 1, ["ä"] = 2, ["a`b"] = 3, ["4"] = 4 }, row)
  end)

  it("come from SHOW, EXPLAIN and the like, too", function()
    assert.equal("app", pool:query("SHOW DATABASES LIKE 'app'")[1]["Database (app)"])
    assert.truthy(pool:one "EXPLAIN SELECT 1")
    assert.is_table(pool:query "SHOW WARNINGS")
  end)
end)

describe("values of a result", function()
  local s = fixture.shared_server()
  local conn

  before_each(function()
    conn = assert(pools.new(s:options()):checkout())
  end)

  after_each(pools.close)

  -- The value of a column of this type that was given this literal.
  local function through(type, literal)
    dialect.run(conn, "CREATE OR REPLACE TEMPORARY TABLE typed (v " .. type .. ")")
    assert(conn:query("INSERT INTO typed VALUES (" .. literal .. ")"))
    return (conn:value "SELECT v FROM typed")
  end

  local function assert_integer(expected, value)
    assert.equal("integer", math.type(value), tostring(value))
    assert.equal(expected, value)
  end

  it("are integers for integer types, up to their limits", function()
    for type, limits in pairs {
      TINYINT = { -128, 127 },
      ["TINYINT UNSIGNED"] = { 0, 255 },
      SMALLINT = { -32768, 32767 },
      ["SMALLINT UNSIGNED"] = { 0, 65535 },
      MEDIUMINT = { -8388608, 8388607 },
      ["MEDIUMINT UNSIGNED"] = { 0, 16777215 },
      INT = { -2147483648, 2147483647 },
      ["INT UNSIGNED"] = { 0, 4294967295 },
      BIGINT = { math.mininteger, math.maxinteger },
      ["BIGINT UNSIGNED"] = { 0, math.maxinteger },
      YEAR = { 1901, 2155 },
      BOOLEAN = { 0, 1 },
    } do
      assert_integer(limits[1], through(type, ("%d"):format(limits[1])))
      assert_integer(limits[2], through(type, ("%d"):format(limits[2])))
    end
    assert_integer(7, through("INT(5) ZEROFILL", "7"))
  end)

  it("are exact decimal strings for what a BIGINT UNSIGNED holds beyond", function()
    assert.equal("9223372036854775808", through("BIGINT UNSIGNED", "9223372036854775808"))
    assert.equal("18446744073709551615", through("BIGINT UNSIGNED", "18446744073709551615"))
    assert.equal("18446744073709551615", (conn:value "SELECT CAST(18446744073709551615 AS UNSIGNED)"))
  end)

  it("are strings for DECIMAL, digit by digit", function()
    assert.equal("1.10", through("DECIMAL(10,2)", "1.1"))
    local long = ("9"):rep(35) .. "." .. ("9"):rep(30)
    assert.equal(long, through("DECIMAL(65,30)", long))
    assert.equal("3", (conn:value "SELECT SUM(a) FROM (SELECT 1 AS a UNION SELECT 2) t"))
    assert.equal("0.1", (conn:value "SELECT 0.1"))
  end)

  it("are floats for FLOAT and DOUBLE", function()
    local limits = { 1.7976931348623157e308, 2.2250738585072014e-308 }
    for _, number in ipairs { 0.0, 1.0, -1.5, 0.1, 1 / 3, 1e15, 1e22, limits[1], limits[2] } do
      local value = through("DOUBLE", ("%.17g"):format(number))
      assert.equal("float", math.type(value))
      assert.equal(number, value)
    end
    assert.equal(0.1, through("FLOAT", "0.1"))
    assert.equal("float", math.type(through("FLOAT", "16777216")))
    assert.equal(1e10, through("FLOAT", "1e10"))
    assert.equal(2.0, (conn:value "SELECT SQRT(4)"))
  end)

  it("are integers for BIT", function()
    assert_integer(0, through("BIT", "b'0'"))
    assert_integer(1, through("BIT", "b'1'"))
    assert_integer(5, through("BIT(12)", "5"))
    assert_integer(math.maxinteger, through("BIT(64)", "9223372036854775807"))
    assert.equal("18446744073709551615", through("BIT(64)", "18446744073709551615"))
  end)

  it("are strings for dates and times, as the server has them", function()
    assert.equal("2024-02-29", through("DATE", "'2024-02-29'"))
    assert.equal("2024-02-29 12:34:56.789012", through("DATETIME(6)", "'2024-02-29 12:34:56.789012'"))
    assert.equal("-838:59:59", through("TIME", "'-838:59:59'"))
    assert(conn:query "SET time_zone = '+00:00', sql_mode = ''")
    assert.equal("1970-01-01 00:00:01", through("TIMESTAMP NULL", "'1970-01-01 00:00:01'"))
    assert.equal("0000-00-00", through("DATE", "'0000-00-00'"))
  end)

  it("are strings for text, bytes, JSON, ENUM and SET", function()
    assert.equal("äöü€😀", through("TEXT CHARACTER SET utf8mb4", "'äöü€😀'"))
    assert.equal("\0\1\xFF'\\", through("BLOB", "x'0001FF275C'"))
    assert.equal("a\0\0\0", through("BINARY(4)", "'a'"))
    assert.equal('{"a": [1, null]}', through(dialect.json, [['{"a": [1, null]}']]))
    assert.equal("b", through("ENUM('a', 'b')", "'b'"))
    assert.equal("a,b", through("SET('a', 'b')", "'b,a'"))
    assert.equal("", through("VARCHAR(5)", "''"))
    assert.equal("", (conn:value "SELECT ''"))
    local every = {}
    for byte = 0, 255 do
      every[#every + 1] = string.char(byte)
    end
    every = table.concat(every)
    assert.equal(every, through("VARBINARY(256)", "x'" .. every:gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end) .. "'"))
  end)

  it("are nil for NULL, or what the option null says", function()
    assert.same({ b = 1 }, conn:one "SELECT NULL AS a, 1 AS b")
    local row = conn:one { "SELECT 1, NULL, 3", rows = "array" }
    assert.same({ 1, nil, 3 }, row)
    local sentinel = {}
    for _, null in ipairs { mypool.null, sentinel, "NULL", false, 0 } do
      local pool = pools.new(s:options { null = null })
      row = pool:one "SELECT NULL AS a, '' AS b"
      assert.equal(null, row.a)
      assert.equal("", row.b)
      assert.equal(null, (pool:value "SELECT NULL"))
      assert.equal(null, pool:one({ "SELECT 1, NULL", rows = "array" })[2])
      assert.is_nil(pool:value "SELECT NULL FROM DUAL WHERE FALSE")
    end
  end)
end)

describe("what belongs to a result", function()
  local s = fixture.shared_server()
  local pool

  setup(function()
    s:sql "CREATE OR REPLACE TABLE summary (id INT AUTO_INCREMENT PRIMARY KEY, n INT UNIQUE)"
  end)

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
    assert(pool:query "TRUNCATE summary")
  end)

  after_each(pools.close)

  it("is reached through its metatable, and is no part of the array", function()
    local rows = pool:query "SELECT 1 AS a"
    assert.same({ "a" }, rows.columns)
    local keys = {}
    for key in pairs(rows) do
      keys[#keys + 1] = key
    end
    assert.same({ 1 }, keys)
    assert.is_nil(rawget(rows, "columns"))
    assert.is_nil(rows.affected_rows)
    assert.is_nil(rows.insert_id)
  end)

  it("tells of a change", function()
    local result = pool:query "INSERT INTO summary (n) VALUES (1), (2), (3)"
    assert.equal(0, #result)
    assert.is_nil(next(result))
    assert.same({ 3, 1, 0 }, { result.affected_rows, result.insert_id, result.warning_count })
    assert.equal("Records: 3  Duplicates: 0  Warnings: 0", result.info)
    assert.is_nil(result.columns)
    result = pool:query "UPDATE summary SET n = 9 WHERE n IN (2, 9)"
    assert.same({ 1, 0 }, { result.affected_rows, result.insert_id })
    assert.equal("Rows matched: 1  Changed: 1  Warnings: 0", result.info)
    result = pool:query "UPDATE summary SET n = 9 WHERE n = 9"
    assert.equal(0, result.affected_rows)
    result = pool:query "DELETE FROM summary"
    assert.equal(3, result.affected_rows)
    assert.is_nil(result.info)
    result = pool:query "SET @a = 1"
    assert.same({ 0, 0 }, { result.affected_rows, result.insert_id })
  end)

  it("is exact for a large insert_id", function()
    dialect.run(pool, "CREATE OR REPLACE TABLE summary_big (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY)")
    assert.equal("18446744073709551614", pool:query("INSERT INTO summary_big VALUES (18446744073709551614)").insert_id)
    assert(pool:query "DROP TABLE summary_big")
  end)

  it("counts the warnings of a change, and of a query", function()
    dialect.needs("warnings of IGNORE", pending)
    assert(pool:query "INSERT INTO summary (n) VALUES (1)")
    assert.equal(1, pool:query("INSERT IGNORE INTO summary (n) VALUES (1)").warning_count)
    assert.equal(1, pool:query("SELECT CAST('1x' AS SIGNED) AS a").warning_count)
    assert.equal(3, pool:query("SELECT CAST(CONCAT(seq, 'x') AS SIGNED) AS a FROM seq_1_to_3").warning_count)
    assert.equal(0, pool:query("SELECT 1").warning_count)
  end)

  it("is not seen by a JSON encoder", function()
    assert.equal('[{"a":1},{"a":2}]', dkjson.encode(pool:query "SELECT 1 AS a UNION SELECT 2"))
    assert.equal("[]", dkjson.encode(pool:query "SELECT 1 AS a FROM DUAL WHERE FALSE"))
    assert.equal("[]", dkjson.encode(pool:query "SET @a = 1"))
    local pool_of_json = pools.new(s:options { null = dkjson.null })
    assert.equal('[{"a":null}]', dkjson.encode(pool_of_json:query "SELECT NULL AS a"))
  end)
end)

describe("a statement with several results", function()
  local s = fixture.shared_server()
  local pool

  setup(function()
    local conn <close> = assert(pools.new(s:options()):checkout())
    for name, body in pairs {
      several = "SELECT 1 AS a; SELECT 2 AS b FROM DUAL WHERE FALSE; SELECT 'x' AS c UNION ALL SELECT 'y'",
      none = "SET @a = 5",
      late = "SELECT 1 AS a; SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 4711, MESSAGE_TEXT = 'too late'",
      early = "SIGNAL SQLSTATE '45000'",
      broken = "SELECT 1 AS a UNION ALL SELECT (SELECT 1 UNION SELECT 2)",
    } do
      dialect.run(conn, ("CREATE OR REPLACE PROCEDURE `%s`() BEGIN %s; END"):format(name, body))
    end
  end)

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  it("returns the first, then the others", function()
    local results = table.pack(pool:query "CALL several()")
    assert.equal(4, results.n)
    assert.same({ { a = 1 } }, results[1])
    assert.same({}, results[2])
    assert.same({ "b" }, results[2].columns)
    assert.same({ { c = "x" }, { c = "y" } }, results[3])
    assert.equal(0, results[4].affected_rows)
  end)

  it("gives the first row, and the first value, of each", function()
    local row, none, second = pool:one "CALL several()"
    assert.same({ a = 1 }, row)
    assert.is_nil(none)
    assert.same({ c = "x" }, second)
    assert.equal(1, (pool:value "CALL several()"))
  end)

  it("leaves the connection ready for the next statement", function()
    local conn <close> = assert(pool:checkout())
    for _ = 1, 3 do
      assert.equal(4, select("#", conn:query "CALL several()"))
      assert.equal(7, conn:value "SELECT 7")
    end
    assert(conn:query "CALL none()")
    assert.equal(5, conn:value "SELECT @a")
  end)

  it("fails when a later one fails, and says that a part was executed", function()
    local conn <close> = assert(pool:checkout())
    local result, err, errno, sqlstate = conn:query "CALL late()"
    assert.is_nil(result)
    assert.same({ "server", "yes", "too late" }, { err.kind, err.executed, err.message })
    assert.same({ 4711, "45000" }, { errno, sqlstate })
    assert.is_false(err.fatal)
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("fails when the first one fails", function()
    local result, err = pool:query "CALL early()"
    assert.is_nil(result)
    assert.same({ "server", "45000" }, { err.kind, err.sqlstate })
    assert.equal(7, pool:value "SELECT 7")
  end)

  it("fails when the rows of a result end in an error", function()
    local conn <close> = assert(pool:checkout())
    local result, err = conn:query "CALL broken()"
    assert.is_nil(result)
    assert.equal(1242, err.errno)
    result, err = conn:query [[
      SELECT seq, IF(seq < 2000, 1, (SELECT seq FROM seq_1_to_2)) AS a FROM seq_1_to_3000]]
    assert.is_nil(result)
    assert.equal(1242, err.errno)
    assert.equal(7, conn:value "SELECT 7")
  end)
end)

describe("a statement", function()
  local s = fixture.server { options = { "--max-allowed-packet=64M" } }
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  it("may bring rows that are larger than a packet", function()
    local length = 17 * 1024 * 1024
    local row = assert(pool:one("SELECT REPEAT('x', ?) AS a, 'tail' AS b", length))
    assert.equal(length, #row.a)
    assert.is_nil(row.a:find "[^x]")
    assert.equal("tail", row.b)
  end)

  it("may have parameters that are larger than a packet", function()
    dialect.needs("rows of megabytes", pending)
    local conn <close> = assert(pool:checkout())
    assert(conn:query "CREATE TEMPORARY TABLE t (a LONGTEXT)")
    local text = ("0123456789abcdef"):rep(1100000)
    assert(conn:query("INSERT INTO t VALUES (?)", text))
    assert.equal(#text, conn:value "SELECT LENGTH(a) FROM t")
    assert.is_true(text == conn:value "SELECT a FROM t")
    assert(conn:query("UPDATE t SET a = ?", "\\" .. text))
    assert.is_true("\\" .. text == conn:value "SELECT a FROM t")
  end)

  it("is refused before it is sent when it exceeds max_allowed_packet", function()
    local conn <close> = assert(pool:checkout())
    assert(conn:query "SET @a = 5")
    local result, err = conn:query("SELECT LENGTH(?)", ("x"):rep(64 * 1024 * 1024))
    assert.is_nil(result)
    assert.same({ "server", "no", false, false }, { err.kind, err.executed, err.fatal, err.retryable })
    assert.equal(1153, err.errno)
    assert.equal(5, conn:value "SELECT @a")
  end)

  it("may be as large as max_allowed_packet allows", function()
    local frame = #"SELECT LENGTH('')"
    local length = 64 * 1024 * 1024 - frame - 64
    assert.equal(length, pool:value("SELECT LENGTH(?)", ("x"):rep(length)))
  end)

  it("is one statement: a second one behind a semicolon is refused", function()
    local result, err = pool:query "SELECT 1; SELECT 2"
    assert.is_nil(result)
    assert.equal(1064, err.errno)
    assert.same({ { a = 1 } }, pool:query "SELECT 1 AS a;")
  end)

  it("fails when it is empty", function()
    for _, sql in ipairs { "", " ", "\n\t" } do
      local result, err = pool:query(sql)
      assert.is_nil(result, ("%q"):format(sql))
      assert.equal(1065, err.errno)
      assert.equal("no", err.executed)
    end
  end)

  it("may hold a NUL byte", function()
    local _, err = pool:query "SELECT 1\0, 2"
    assert.equal("server", err.kind)
    assert.equal("a\0b", pool:value "SELECT 'a\0b'")
  end)

  it("never reads a file of the client for the server", function()
    s:sql "CREATE OR REPLACE TABLE app.loaded (a TEXT)"
    local result, err = pool:query "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE loaded"
    assert.is_nil(result)
    assert.is_truthy(err)
    assert.is_true(pool:ping())
    assert.equal(0, pool:value "SELECT COUNT(*) FROM loaded")
  end)
end)
