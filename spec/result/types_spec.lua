-- The type table: every column type of MariaDB, over both protocols, with one expectation.

-- luacheck: no max line length

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local scripted_server = require "spec.servers.scripted_server"
local server = require "spec.servers.server"

local max, min = math.maxinteger, math.mininteger
local inet6 = "2001:db8::ff00:42:8329"
local uuid = "123e4567-e89b-12d3-a456-426655440000"
local long = ("9"):rep(35) .. "." .. ("9"):rep(30)
local point = "\0\0\0\0\1\1\0\0\0\0\0\0\0\0\0\240\63\0\0\0\0\0\0\0\64" -- SRID 0, little-endian, POINT(1 2)

-- A type, its name as column_types has it, and pairs of a literal and the value it becomes.
local table_of_types = {
  { "TINYINT", "tinyint", "-128", -128, "127", 127, "0", 0 },
  { "TINYINT UNSIGNED", "tinyint", "0", 0, "255", 255 },
  { "TINYINT(3) ZEROFILL", "tinyint", "7", 7 },
  { "BOOLEAN", "boolean", "TRUE", 1, "FALSE", 0 },
  { "SMALLINT", "smallint", "-32768", -32768, "32767", 32767 },
  { "SMALLINT UNSIGNED", "smallint", "65535", 65535 },
  { "MEDIUMINT", "mediumint", "-8388608", -8388608, "8388607", 8388607, "-1", -1 },
  { "MEDIUMINT UNSIGNED", "mediumint", "16777215", 16777215 },
  { "INT", "int", "-2147483648", -2147483648, "2147483647", 2147483647 },
  { "INT UNSIGNED", "int", "4294967295", 4294967295 },
  { "INT(10) ZEROFILL", "int", "42", 42, "4294967295", 4294967295 },
  { "BIGINT", "bigint", tostring(min), min, tostring(max), max, "-1", -1 },
  { "BIGINT UNSIGNED", "bigint", "0", 0, tostring(max), max },
  { "BIGINT UNSIGNED", "bigint", "9223372036854775808", "9223372036854775808" },
  { "BIGINT UNSIGNED", "bigint", "18446744073709551615", "18446744073709551615" },
  { "BIGINT(20) ZEROFILL", "bigint", "5", 5 },
  { "YEAR", "year", "0", 0, "1901", 1901, "2155", 2155 },
  { "BIT", "boolean", "b'0'", 0, "b'1'", 1 },
  { "BIT(8)", "bit", "255", 255 },
  { "BIT(9)", "bit", "b'100000001'", 257 },
  { "BIT(63)", "bit", tostring(max), max },
  { "BIT(64)", "bit", "b'1'", 1, "9223372036854775808", "9223372036854775808" },
  { "BIT(64)", "bit", "18446744073709551615", "18446744073709551615" },
  { "DECIMAL(10,2)", "decimal", "1.1", "1.10", "-99999999.99", "-99999999.99", "0", "0.00" },
  { "DECIMAL(10,0)", "decimal", "1", "1" },
  { "DECIMAL(65,30)", "decimal", long, long, "-" .. long, "-" .. long },
  { "DECIMAL(65,30)", "decimal", "0." .. ("0"):rep(29) .. "1", "0." .. ("0"):rep(29) .. "1" },
  { "DECIMAL(6,2) ZEROFILL", "decimal", "5.5", "0005.50" },
  { "FLOAT", "float", "0", 0.0, "0.1", 0.1, "1", 1.0, "16777216", 16777200.0, "1e10", 1e10, "-1.5", -1.5 },
  { "FLOAT", "float", "3.402823e38", 3.40282e38, "1.175494e-38", 1.17549e-38, "1e-45", 1.4013e-45 },
  { "FLOAT", "float", "123456", 123456.0, "1234567", 1234570.0, "0.0001234567", 0.000123457 },
  { "FLOAT(10,2)", "float", "123456.78", 123456.78, "1.5", 1.5, "0", 0.0 },
  { "FLOAT(5,0)", "float", "3", 3.0 },
  { "FLOAT UNSIGNED ZEROFILL", "float", "2.5", 2.5 },
  { "DOUBLE", "double", "0e0", 0.0, "0.1e0", 0.1, "1.7976931348623157e308", 1.7976931348623157e308 },
  { "DOUBLE", "double", "2.2250738585072014e-308", 2.2250738585072014e-308, "-1e-300", -1e-300 },
  { "DOUBLE", "double", "5e-324", 5e-324, "2.5e-320", 2.5e-320, "123456789.12345678e0", 123456789.12345678 },
  { "DOUBLE", "double", "1e15", 1e15, "1e16", 1e16, "9007199254740993", 9007199254740992.0, "1e22", 1e22 },
  { "DOUBLE(10,2)", "double", "0.3", 0.3, "1234.5", 1234.5 },
  { "DOUBLE ZEROFILL", "double", "12.5", 12.5 },
  { "DATE", "date", "'2024-02-29'", "2024-02-29", "'1000-01-01'", "1000-01-01", "'9999-12-31'", "9999-12-31" },
  { "DATE", "date", "'0000-00-00'", "0000-00-00", "'2024-00-00'", "2024-00-00" },
  { "TIME", "time", "'00:00:00'", "00:00:00", "'838:59:59'", "838:59:59", "'-838:59:59'", "-838:59:59" },
  { "TIME(6)", "time", "'-00:00:00.000001'", "-00:00:00.000001", "'-838:59:59.999999'", dialect.longest },
  { "TIME(6)", "time", "'23:59:59'", "23:59:59.000000", "'100:00:00.5'", "100:00:00.500000" },
  { "TIME(3)", "time", "'-1:2:3.4'", "-01:02:03.400" },
  { "DATETIME", "datetime", "'2024-02-29 12:34:56'", "2024-02-29 12:34:56" },
  { "DATETIME", "datetime", "'0000-00-00 00:00:00'", "0000-00-00 00:00:00", "'2024-01-02'", "2024-01-02 00:00:00" },
  { "DATETIME", "datetime", "'9999-12-31 23:59:59'", "9999-12-31 23:59:59" },
  { "TIMESTAMP NULL", "timestamp", "'1970-01-01 00:00:01'", "1970-01-01 00:00:01" },
  { "TIMESTAMP NULL", "timestamp", "'2038-01-19 03:14:07'", "2038-01-19 03:14:07", "0", "0000-00-00 00:00:00" },
  { "TIMESTAMP(6) NULL", "timestamp", "'2024-02-29 12:34:56.000789'", "2024-02-29 12:34:56.000789" },
  { "CHAR(5)", "char", "'a'", "a", "''", "", "'äöü€😀'", "äöü€😀" },
  { "CHAR(0)", "char", "''", "" },
  { "VARCHAR(20)", "varchar", "'a '", "a ", "''", "", "'😀'", "😀", "'a\\0b'", "a\0b" },
  { "VARCHAR(20) CHARACTER SET latin1", "varchar", "'é€'", "é€" },
  { "VARCHAR(20) CHARACTER SET utf16", "varchar", "'a😀'", "a😀" },
  { "VARCHAR(20) CHARACTER SET sjis", "varchar", "'表'", "表" },
  { "VARCHAR(20) CHARACTER SET ucs2", "varchar", "'x'", "x", "''", "" },
  { "BINARY(4)", "binary", "'a'", "a\0\0\0", "x'FF00'", "\xFF\0\0\0" },
  { "VARBINARY(9)", "varbinary", "x'00FF275C'", "\0\xFF'\\", "''", "" },
  { "TINYTEXT", "text", "'x'", "x", "''", "" },
  { "TEXT", "text", "REPEAT('ä', 300)", ("ä"):rep(300) },
  { "MEDIUMTEXT", "text", "REPEAT('x', 70000)", ("x"):rep(70000) },
  { "LONGTEXT CHARACTER SET latin1", "text", "'ü'", "ü" },
  { "TINYBLOB", "blob", "x'FF'", "\xFF", "''", "" },
  { "BLOB", "blob", "x'00'", "\0" },
  { "LONGBLOB", "blob", "REPEAT(x'FF', 70000)", ("\xFF"):rep(70000) },
  { "ENUM('a', 'b', '')", "enum", "'b'", "b", "''", "", "1", "a" },
  { "ENUM('ä') CHARACTER SET latin1", "enum", "'ä'", "ä" },
  { "SET('a', 'b')", "set", "'b,a'", "a,b", "''", "" },
  { "JSON", "json", [['{"a": [1, null]}']], '{"a": [1, null]}', "'null'", "null" },
  { "UUID", "uuid", "'" .. uuid .. "'", uuid },
  { "INET6", "inet6", "'" .. inet6 .. "'", inet6, "'::'", "::", "'::ffff:1.2.3.4'", "::ffff:1.2.3.4" },
  { "INET4", "inet4", "'1.2.3.4'", "1.2.3.4", "'255.255.255.255'", "255.255.255.255" },
  { "GEOMETRY", "geometry", "POINT(1, 2)", point },
  { "POINT", "geometry", "POINT(1, 2)", point },
}
for decimals = 0, 6 do
  local fraction = decimals > 0 and (".987654"):sub(1, decimals + 1) or ""
  local text = "2024-02-29 12:34:56" .. fraction
  table.insert(table_of_types, { ("DATETIME(%d)"):format(decimals), "datetime", "'" .. text .. "'", text })
  table.insert(table_of_types, { ("TIMESTAMP(%d) NULL"):format(decimals), "timestamp", "'" .. text .. "'", text })
  text = "-12:34:56" .. fraction
  table.insert(table_of_types, { ("TIME(%d)"):format(decimals), "time", "'" .. text .. "'", text })
end
for bits = 1, 63 do
  table.insert(table_of_types, { ("BIT(%d)"):format(bits), bits == 1 and "boolean" or "bit", tostring((1 << bits) - 1), (1 << bits) - 1 })
end

-- Runs a query over each protocol: text, prepared, and both as streams. Calls f with each result.
local function over_all(conn, sql, f)
  local function streamed(...)
    local rows = {}
    for row in assert(...) do
      rows[#rows + 1] = row
    end
    return rows
  end
  local statement = assert(conn:prepare(sql))
  f("text", assert(conn:query(sql)))
  f("binary", assert(statement:execute()))
  f("text, streamed", streamed(conn:rows(sql)))
  f("binary, streamed", streamed(statement:rows()))
  statement:close()
end

describe("the type", function()
  local s = fixture.shared_server()
  local conn

  before_each(function()
    conn = assert(pools.new(s:options { init_sql = "SET sql_mode = '', time_zone = '+00:00'" }):checkout())
  end)

  after_each(pools.close)

  local function is_missing(err)
    return err.errno == 4161 or err.errno == 1064 -- unknown data type, to a server that is older
  end

  for _, one in ipairs(table_of_types) do
    it(("%s is the same over both protocols, for %s"):format(one[1], one[3]:sub(1, 40)), function()
      local sql = "CREATE OR REPLACE TEMPORARY TABLE typed (id INT AUTO_INCREMENT PRIMARY KEY, v " .. one[1] .. ")"
      local drop, create = table.unpack(dialect.statements(sql))
      if create then
        assert(conn:query(drop))
      end
      local created, err = conn:query(create or drop)
      if not created and is_missing(err) then
        return pending("the server does not know this type: " .. err.message)
      end
      assert(created, err)
      for i = 3, #one, 2 do
        assert(conn:query("INSERT INTO typed (v) VALUES (" .. one[i] .. ")"))
      end
      assert(conn:query "INSERT INTO typed (v) VALUES (NULL)")
      over_all(conn, "SELECT v FROM typed ORDER BY id", function(how, rows)
        local row
        for i = 4, #one, 2 do
          row = rows[i // 2 - 1]
          assert.equal(math.type(one[i]) or type(one[i]), math.type(row.v) or type(row.v), how)
          assert.equal(one[i], row.v, how)
        end
        row = rows[#one // 2]
        assert.is_nil(row.v, how)
        if rows.column_types then
          assert.same({ one[2] }, rows.column_types, how)
          assert.same({ "v" }, rows.columns, how)
        end
      end)
    end)
  end

  -- Both protocols must bring the very same number.
  local function assert_same_numbers(type, literals)
    dialect.run(conn, "CREATE OR REPLACE TEMPORARY TABLE typed (id INT AUTO_INCREMENT PRIMARY KEY, v " .. type .. ")")
    for from = 1, #literals, 500 do
      local part = table.concat(literals, "),(", from, math.min(from + 499, #literals))
      assert(conn:query("INSERT INTO typed (v) VALUES (" .. part .. ")"))
    end
    local expected
    over_all(conn, "SELECT v FROM typed ORDER BY id", function(how, rows)
      expected = expected or rows
      assert.equal(#literals, #rows)
      for i = 1, #rows do
        if rows[i].v ~= expected[i].v then
          error(("%s %s: %s is %.17g by text, %.17g by %s"):format(type, i, literals[i], expected[i].v, rows[i].v, how))
        end
      end
    end)
    return expected
  end

  it("FLOAT is the same for any number", function()
    math.randomseed(7)
    local literals = {}
    while #literals < 20000 do
      local float = string.unpack("<f", string.pack("<I4", math.random(0, 0xFFFFFFFF)))
      if float == float and float ~= math.huge and float ~= -math.huge then
        literals[#literals + 1] = ("%.9g"):format(float)
      end
    end
    for exponent = -46, 38 do
      for _, digits in ipairs { "1", "9.999995", "9.999994", "1.000005", "1.2345650", "4.5" } do
        if not (exponent == 38 and digits > "3") then
          literals[#literals + 1] = digits .. "e" .. exponent
        end
      end
    end
    for i = 1, 200 do
      literals[#literals + 1] = tostring(i * 5 + 1000000)
      literals[#literals + 1] = tostring(i / 8 + 1000)
      literals[#literals + 1] = tostring(i / 1024)
    end
    assert_same_numbers("FLOAT", literals)
  end)

  it("FLOAT(m,d) and DOUBLE(m,d) are the same for any number", function()
    math.randomseed(8)
    local literals = {}
    for _ = 1, 3000 do
      literals[#literals + 1] = ("%.6f"):format((math.random() - 0.5) * 10 ^ math.random(0, 7))
    end
    for _, type in ipairs { "FLOAT(10,2)", "FLOAT(12,4)", "FLOAT(7,0)", "DOUBLE(10,2)", "DOUBLE(20,6)", "DOUBLE(30,15)" } do
      assert_same_numbers(type, literals)
    end
  end)

  it("DOUBLE is exact for any number", function()
    math.randomseed(9)
    local literals, numbers = {}, {}
    while #literals < 20000 do
      local double = string.unpack("<d", string.pack("<I8", math.random(0)))
      if #literals % 3 == 0 then
        double = math.random(-10 ^ 6, 10 ^ 6) / 10 ^ math.random(0, 6)
      end
      if double == double and double ~= math.huge and double ~= -math.huge then
        literals[#literals + 1] = ("%.17ge0"):format(double):gsub("e([+-]%d+)e0", "e%1")
        numbers[#numbers + 1] = double
      end
    end
    local rows = assert_same_numbers("DOUBLE", literals)
    for i = 1, #rows do
      if rows[i].v ~= numbers[i] then
        error(("%.17g became %.17g"):format(numbers[i], rows[i].v))
      end
    end
  end)

  it("of an expression is the same over both protocols", function()
    dialect.needs("JSON", pending)
    local sql = [[SELECT 1, -1, 1.50, 1e0, 'x', x'FF', NULL, TRUE, NOW() > 0, 18446744073709551615, 0.1 + 0.2,
      AVG(1), SUM(1.5e0), ROUND(1.55e0, 1), 1/3, COUNT(*), DATE '2024-01-02', TIME '-01:02:03.5', TIMESTAMP '2024-01-02 03:04:05.600',
      CAST('2024-01-02' AS DATETIME(3)), SEC_TO_TIME(-3723.5), MAKEDATE(2024, 60), CONCAT('a', 1), b'101', CAST(-1 AS UNSIGNED),
      COALESCE(NULL, 5), IF(1, 'a', 2), GREATEST(1, 2.5), YEAR('2024-01-01'), ADDTIME('10:00:00', '01:00:00.25'), INET6_ATON('::1'),
      JSON_OBJECT('a', 1), MAX(CAST(0.1 AS FLOAT)), STR_TO_DATE('2024', '%Y'), UNIX_TIMESTAMP('2024-01-02 00:00:00.5'), @unset]]
    local expected
    over_all(conn, sql, function(how, rows)
      expected = expected or rows
      assert.same(expected, rows, how)
      if rows.column_types then
        assert.same(expected.column_types, rows.column_types)
        assert.equal("null", rows.column_types[7])
      end
    end)
  end)

  it("may be NULL or empty in every column of a row", function()
    assert(conn:query "CREATE TEMPORARY TABLE many (id INT PRIMARY KEY, a INT, b VARCHAR(9), c DOUBLE, d DATE, e BLOB, f BIT(9), g TIME(3), h FLOAT, i BIGINT UNSIGNED)")
    assert(conn:query "INSERT INTO many (id, b, e) VALUES (1, NULL, ''), (2, '', NULL)")
    assert(conn:query "INSERT INTO many VALUES (3, 1, 'x', 2, '2024-01-01', 'y', 5, '1:2:3', 1, 2), (4, NULL, 'x', NULL, '2024-01-01', NULL, 5, NULL, 1, NULL)")
    local expected
    over_all(conn, "SELECT * FROM many ORDER BY id", function(how, rows)
      expected = expected or rows
      assert.same({ id = 1, e = "" }, rows[1], how)
      assert.same({ id = 2, b = "" }, rows[2], how)
      assert.same(expected, rows, how)
    end)
  end)
end)

-- MariaDB sends strings, and says beside them what they are; MySQL has JSON among the types of the protocol.
describe("a column whose type is one of the protocol", function()
  local VAR_STRING = 253
  local s

  after_each(function()
    pools.close()
    s:stop()
  end)

  for name, number in pairs { json = 245, enum = 247, set = 248 } do
    it("is what it says: " .. name, function()
      local answer = { to = "^SELECT 'a'", row = { "a", "b" }, types = { number, VAR_STRING } }
      s = scripted_server.start { answers = { answer } }
      local pool = pools.new(s:options { types = { [name] = string.upper }, rows = "array" })
      local result = assert(pool:query "SELECT 'a', 'b'")
      assert.same({ name, "varchar" }, result.column_types)
      assert.same({ { "A", "b" } }, result)
    end)
  end
end)

describe("rows = 'array' and null", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("hold over both protocols", function()
    local sentinel = {}
    for _, null in ipairs { mypool.null, sentinel, "NULL", false, 0 } do
      local conn <close> = assert(pools.new(s:options { rows = "array", null = null }):checkout())
      over_all(conn, "SELECT 1 AS a, NULL AS b, 3 AS a, '' AS c", function(how, rows)
        assert.same({ { 1, null, 3, "" } }, rows, how)
        assert.equal(null, rows[1][2])
      end)
    end
  end)

  it("hold for one statement", function()
    local conn <close> = assert(pools.new(s:options()):checkout())
    local statement <close> = assert(conn:prepare "SELECT 1 AS a, 2 AS a")
    assert.same({ { a = 2 } }, statement:execute())
    assert.same({ { 1, 2 } }, statement:with({ rows = "array" }):execute())
    assert.same({ 1, 2 }, statement:with({ rows = "array" }):one())
    assert.same({ "a", "a" }, statement:execute().columns)
    assert.equal(1, statement:value())
  end)
end)

describe("the option types", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("converts the values of a type, over both protocols", function()
    dialect.needs("JSON", pending)
    local pool = pools.new(s:options {
      types = {
        DATETIME = function(text)
          return { year = tonumber(text:sub(1, 4)) }
        end,
        decimal = tonumber,
        Json = function()
          return nil
        end,
        tinyint = function(integer)
          return integer ~= 0
        end,
      },
    })
    local conn <close> = assert(pool:checkout())
    assert(conn:query "CREATE TEMPORARY TABLE t (a DATETIME, b DECIMAL(5,2), c JSON, d BOOLEAN, e INT, f DATETIME)")
    assert(conn:query "INSERT INTO t VALUES ('2024-01-02', 1.5, '{}', TRUE, 7, NULL), (NULL, NULL, NULL, FALSE, NULL, NULL)")
    over_all(conn, "SELECT * FROM t", function(how, rows)
      assert.same({ { a = { year = 2024 }, b = 1.5, d = true, e = 7 }, { d = false } }, rows, how)
    end)
    assert.equal(1.5, conn:value "SELECT b FROM t")
    assert.same({ b = 1.5, e = 7 }, conn:one "SELECT b, e FROM t")
    assert.same({ 1.5, 7 }, conn:one { "SELECT b, e FROM t", rows = "array" })
  end)

  it("raises what a converter raises, and keeps the session in step", function()
    local failure = { "of my own" }
    local pool = pools.new(s:options {
      max_size = 1,
      types = {
        bigint = function(n)
          if n == 5 then
            error(failure, 0)
          end
          return n
        end,
        date = function()
          coroutine.yield()
        end,
      },
    })
    local conn <close> = assert(pool:checkout())
    local id = conn:id()
    dialect.run(conn, "CREATE OR REPLACE PROCEDURE five() SELECT seq FROM seq_5_to_5")
    local sql = "SELECT seq AS n FROM seq_1_to_5000"
    local statement = assert(conn:prepare(sql))
    for name, call in pairs {
      query = function()
        return conn:query(sql)
      end,
      one = function()
        return conn:one "SELECT seq FROM seq_5_to_5"
      end,
      execute = function()
        return statement:execute()
      end,
      rows = function()
        for _ in assert(conn:rows "SELECT seq AS n FROM seq_1_to_50") do -- luacheck: ignore
        end
      end,
      call = function()
        return conn:query "CALL five()"
      end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok, name)
      assert.equal(failure, err, name)
      assert.equal("7", conn:value "SELECT '7'")
      assert.equal(id, conn:id())
    end
    local ok, message = pcall(conn.value, conn, "SELECT DATE '2024-01-02'")
    assert.is_false(ok)
    assert.is_truthy(tostring(message):find "yield")
    assert.equal("7", conn:value "SELECT '7'")
  end)

  -- Some 100 MB of garbage, of which little may be there at a time.
  it("does not keep what converters throw away until a large result has been read", function()
    local most_kb
    local pool = pools.new(s:options {
      types = {
        bigint = function(n)
          local thrown_away = ("x"):rep(10000 + n % 100)
          most_kb = math.max(most_kb, collectgarbage "count")
          return #thrown_away
        end,
      },
    })
    local conn <close> = assert(pool:checkout())
    local sql = "SELECT 'text' AS a, seq AS b, 'more' AS c FROM seq_1_to_10000"
    local statement = assert(conn:prepare(sql))
    for name, call in pairs {
      query = function()
        return conn:query(sql)
      end,
      arrays = function()
        return conn:query { sql, rows = "array" }
      end,
      execute = function()
        return statement:execute()
      end,
    } do
      collectgarbage()
      most_kb = 0
      local before_kb = collectgarbage "count"
      assert.equal(10000, #assert(call()))
      assert.is_true(most_kb - before_kb < 60 * 1024, ("%s: %.0f KB"):format(name, most_kb - before_kb))
      assert.is_true(most_kb > 0)
    end
  end)

  it("lets no converter use the connection it works for", function()
    local conn
    local calls = {
      function()
        conn:query "SELECT '1'"
      end,
      function()
        conn:release()
      end,
      function()
        conn:discard()
      end,
      function()
        local _ <close> = conn
      end,
    }
    local call
    local pool = pools.new(s:options {
      types = {
        bigint = function() -- what a literal is to MySQL
          call()
        end,
        int = function()
          call()
        end,
      },
    })
    conn = assert(pool:checkout())
    for i = 1, #calls do
      call = calls[i]
      local ok, message = pcall(conn.query, conn, "SELECT 1, 2")
      assert.is_false(ok)
      assert.is_truthy(tostring(message):find("a converter cannot use the connection", 1, true), message)
      assert.equal("7", conn:value "SELECT '7'")
    end
    conn:release()
    assert.equal("7", pool:value "SELECT '7'")
  end)

  it("is refused when it names what is no type, or no function", function()
    mistake("new: types: unknown option 'datetim' (did you mean 'datetime'?)", function()
      mypool.new { types = { DATETIM = tostring } }
    end)
    mistake("new: bad option 'types.date' (function expected, got number)", function()
      mypool.new { types = { date = 1 } }
    end)
    for _, types in ipairs { { tostring }, "date" } do
      mistake("new: bad option 'types' (table of functions by type expected", function()
        mypool.new { types = types }
      end)
    end
  end)
end)

describe("max_result_bytes", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 1, max_result_bytes = 100000 })
  end)

  after_each(pools.close)

  local function assert_refused(fatal, result, err, errno)
    assert.is_nil(result)
    assert.equal("the result exceeds max_result_bytes (100000)", err.message)
    assert.same({ "protocol", "yes", fatal, false }, { err.kind, err.executed, err.fatal, err.retryable })
    assert.is_nil(errno)
  end

  it("refuses a larger result; a short rest is read, so the session stays", function()
    local conn <close> = assert(pool:checkout())
    local id, sql = conn:id(), "SELECT REPEAT('x', 1000) AS a FROM seq_1_to_120"
    assert.equal(90, #conn:query "SELECT REPEAT('x', 1000) AS a FROM seq_1_to_90")
    assert_refused(false, conn:query(sql))
    assert.equal(7, conn:value "SELECT 7")
    assert_refused(false, conn:prepare(sql):execute())
    assert.equal(7, conn:value "SELECT 7")
    assert.equal(id, conn:id())
  end)

  it("gives the session up for a long rest", function()
    local conn <close> = assert(pool:checkout())
    assert_refused(true, conn:query "SELECT REPEAT('x', 1000) AS a FROM seq_1_to_100000")
    assert.equal("lost", select(2, conn:query "SELECT 7").kind)
    conn:release()
    assert.equal(7, pool:value "SELECT 7")
    assert_refused(true, pool:query "SELECT REPEAT('x', 10000000) AS a")
    assert.equal(7, pool:value "SELECT 7")
  end)

  it("may be set for one statement, and does not hold for streams", function()
    local sql = "SELECT REPEAT('x', 1000) AS a FROM seq_1_to_1000"
    assert.equal(1000, #pool:query { sql, max_result_bytes = 2000000 })
    local count = 0
    for _ in assert(pool:rows(sql)) do
      count = count + 1
    end
    assert.equal(1000, count)
    mistake("bad option 'max_result_bytes' (integer from 1", function()
      mypool.new { max_result_bytes = 0 }
    end)
  end)

  it("counts all results of a statement", function()
    local results = "SELECT REPEAT('x', 40000); SELECT REPEAT('y', 40000); SELECT REPEAT('z', 40000);"
    dialect.run(pool, "CREATE OR REPLACE PROCEDURE thrice() BEGIN " .. results .. " END")
    assert_refused(false, pool:query "CALL thrice()")
    assert.equal(7, pool:value "SELECT 7")
  end)
end)

describe("conn:warnings", function()
  it("tells what the last statement warned of", function()
    local conn <close> = assert(pools.new(server.shared():options()):checkout())
    assert.equal(1, conn:query("SELECT CAST('1x' AS SIGNED) AS a").warning_count)
    local warnings = assert(conn:warnings())
    assert.equal(1, #warnings)
    assert.same({ "Warning", 1292 }, { warnings[1].level, warnings[1].code })
    assert.is_truthy(warnings[1].message:find "1x")
    assert(conn:query "SELECT 1 FROM seq_1_to_1")
    assert.same({}, conn:warnings())
    conn:release()
    pools.close()
  end)

  it("tells it as it is, whatever the option types makes of such values", function()
    local types = { varchar = string.len, int = tostring, bigint = tostring }
    local conn <close> = assert(pools.new(server.shared():options { types = types, max_result_bytes = 10 }):checkout())
    assert(conn:query "SELECT CAST('1x' AS SIGNED) AS a")
    local warning = assert(conn:warnings())[1]
    assert.same({ "Warning", 1292 }, { warning.level, warning.code })
    conn:release()
    pools.close()
  end)
end)
