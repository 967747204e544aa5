-- Parameters: every value arrives as it was given, whatever it is and whatever the session is set to.

local mypool = require "mypool"
local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mode_changes = require "spec.support.mode_changes"
local pools = require "spec.support.pools"
local server = require "spec.servers.server"

local function hex(bytes)
  return (bytes:gsub(".", function(byte)
    return ("%02X"):format(byte:byte())
  end))
end

local function every_byte()
  local bytes = {}
  for byte = 0, 255 do
    bytes[#bytes + 1] = string.char(byte)
  end
  return table.concat(bytes)
end

-- Strings that break out of quotes where an escaping goes wrong.
local hostile = {
  "'",
  "''",
  '"',
  "`",
  "\\",
  "\\'",
  "\\\\'",
  "'\\",
  "' OR 1=1 -- ",
  "\\' OR 1=1 -- ",
  "'; DROP TABLE t; -- ",
  "*/ OR 1=1 /*",
  "?",
  "'?'",
  "a\0b'",
  "\n\r\26\b\t%_",
  "\xBF'", -- gbk: would swallow the backslash of an escaped quote
  "\xBF\\'",
  "\xBF' OR 1=1 -- ",
  "\x81\\", -- sjis, cp932: the backslash as the second byte of a character
  "\x95\\' OR 1=1 -- ",
  "\xA1\\' OR 1=1 -- ", -- big5
  "é'",
  "ä\\",
  "表'", -- ends in a backslash in sjis
  "許'", -- in big5
  "誠' OR 1=1 -- ",
  "😀'\\",
  "\u{2019}\u{FF07}\u{02BC}", -- other quotes
  "\xC0\xA7", -- an overlong quote
  "\xED\xA0\x80", -- a surrogate
  "\xF4\x90\x80\x80", -- beyond Unicode
}

describe("a parameter", function()
  local s = fixture.shared_server()
  local pool, conn

  before_each(function()
    pool, conn = pools.lend(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  it("may be an integer, up to its limits", function()
    for _, integer in ipairs { 0, 1, -1, 4294967296, math.maxinteger, math.mininteger } do
      assert.equal(integer, (conn:value("SELECT CAST(? AS SIGNED)", integer)))
    end
    assert.equal(3, (conn:value("SELECT 5-?", 2)))
    assert.equal(7, (conn:value("SELECT 5-?", -2)))
    assert.equal(7, (conn:value("SELECT 5--?", 2))) -- would be a comment with a blank before the 2
    assert.equal(3, (conn:value("SELECT CAST(5--? AS SIGNED)", -2)))
    assert.equal(3, (conn:value("SELECT ?-?", 5, 2)))
    assert.equal(7, (conn:value("SELECT ?--?", 5, 2)))
    assert.equal(2, (conn:value("SELECT ?-- 1", 2)))
    assert.equal(1, (conn:value("SELECT 1 LIMIT ?", 1)))
  end)

  it("may be a float, which reads back equal", function()
    local floats = { 0.1, -0.1, 1 / 3, 1e15, 1e16, 2 ^ 53, 123456789.125, 1e-7, 1e300, -1e-300, 3.0, 1e22, 5e-324 }
    floats[#floats + 1] = 1.7976931348623157e308
    floats[#floats + 1] = 2.2250738585072014e-308
    for _, float in ipairs(floats) do
      local value = conn:value("SELECT ?", float)
      assert.equal("float", math.type(value))
      assert.equal(float, value)
    end
  end)

  it("may be a boolean", function()
    assert.same({ t = 1, f = 0 }, conn:one("SELECT ? AS t, ? AS f", true, false))
  end)

  it("may be nil or mypool.null, which are NULL", function()
    local row = conn:one("SELECT ? IS NULL AS a, ? IS NULL AS b, ? IS NULL AS c", nil, mypool.null, nil)
    assert.same({ a = 1, b = 1, c = 1 }, row)
    assert.equal("userdata", type(mypool.null))
  end)

  it("may be a string of any bytes", function()
    local every = every_byte()
    assert.equal(hex(every), conn:value("SELECT HEX(?)", every))
    for byte = 0, 255 do
      local text = "a" .. string.char(byte) .. "b"
      assert.equal(hex(text), (conn:value("SELECT HEX(?)", text)))
      text = string.char(byte)
      assert.equal(hex(text), (conn:value("SELECT HEX(?)", text)))
    end
    assert.equal("", (conn:value("SELECT ?", "")))
  end)

  it("is text when it is UTF-8, and bytes when it is not", function()
    local charset = "SELECT CHARSET(?)"
    for _, text in ipairs { "", "a", "ä", "😀", "a'b", "a\\b", "\0" } do
      assert.equal("utf8mb4", (conn:value(charset, text)), text)
    end
    for _, bytes in ipairs { "\xFF", "a\x80", "\xC0\xA7", "\xED\xA0\x80" } do
      assert.equal("binary", (conn:value(charset, bytes)))
    end
    assert.equal("binary", (conn:value(charset, mypool.binary "text")))
    assert.equal("MÜLLER\\", (conn:value("SELECT UPPER(?)", "müller\\")))
  end)

  it("are a string, not a number, where either may stand", function()
    for _, bytes in ipairs { mypool.binary "7", "7\xff" } do
      assert.equal(7, tonumber((conn:value("SELECT ? + 0", bytes))))
    end
  end)

  it("may be mypool.binary", function()
    for _, bytes in ipairs { "", "text", "\0\xFF'\\", every_byte() } do
      assert.equal(hex(bytes), (conn:value("SELECT HEX(?)", mypool.binary(bytes))))
    end
  end)

  it("stays a token of its own", function()
    assert.same({ a = 1 }, conn:one("SELECT?AS a", 1))
    assert.equal(1, (conn:value("SELECT 1 FROM DUAL WHERE?IN(?,?)AND?", 2, 1, 2, true)))
    assert.equal("ab", (conn:value("SELECT CONCAT(?,?)", "a", "b")))
    assert.equal("x", (conn:value("SELECT N?", "x") or "x"))
  end)

  it("may be a list for IN (?)", function()
    local sql = "SELECT GROUP_CONCAT(seq) FROM seq_1_to_9 WHERE seq IN (?)"
    assert.equal("2,3,5", (conn:value(sql, mypool.list { 2, 3, 5 })))
    assert.equal("7", (conn:value(sql, mypool.list { 7 })))
    assert.equal("4", (conn:value(sql, mypool.list { 4, mypool.null, "x" })))
    for _, text in ipairs(hostile) do
      assert.equal(1, (conn:value("SELECT ? IN (?)", text, mypool.list { "x", text })))
    end
  end)

  it("may be a list of lists: rows", function()
    local list = mypool.list
    local sql = "SELECT COUNT(*) FROM seq_1_to_9 WHERE (seq, seq + 1) IN (?)"
    assert.equal(2, (conn:value(sql, list { list { 1, 2 }, list { 2, 2 }, list { 5, 6 } })))
    assert(conn:query "CREATE TEMPORARY TABLE t (a INT, b TEXT)")
    assert(conn:query("INSERT INTO t VALUES ?", list { list { 1, "x" }, list { 2, mypool.null } }))
    assert.same({ { a = 1, b = "x" }, { a = 2 } }, conn:query "SELECT * FROM t ORDER BY a")
    mistake("bad parameter 1 (lists are nested more than once)", function()
      conn:query("SELECT ?", list { list { list { 1 } } })
    end)
  end)

  it("may not be a list that holds itself", function()
    local list = mypool.list { 1 }
    list[2] = list
    mistake("bad parameter 1 (lists are nested more than once)", function()
      conn:query("SELECT ?", list)
    end)
  end)

  it("may not be an empty list", function()
    mistake("bad parameter 2 (an empty list", function()
      conn:query("SELECT ? IN (?)", 1, mypool.list {})
    end)
    mistake("bad parameter 1 (place 1 of the list is an empty list)", function()
      conn:query("SELECT ?", mypool.list { mypool.list {} })
    end)
  end)

  it("may be a name", function()
    assert(conn:query "CREATE TEMPORARY TABLE `t` (n INT)")
    assert(conn:query("INSERT INTO ? (?) VALUES (?)", mypool.ident "t", mypool.ident "n", 5))
    assert.equal(5, (conn:value("SELECT ? FROM ?", mypool.ident("t", "n"), mypool.ident("app", "t"))))
    assert.equal(5, (conn:value("SELECT t.? FROM t", mypool.ident "n")))
    local names = { "a`b", "``", "a b", "select", "ä", "a.b", "'", '"', "\\", "*/", "a;b", "?", ("é"):rep(64) }
    for _, name in ipairs(names) do
      local row = assert(conn:one("SELECT 1 AS ?", mypool.ident(name)))
      assert.same({ [name] = 1 }, row)
    end
    local hostile_name = "n` FROM t; DROP TABLE t; -- "
    assert.equal(1054, select(3, conn:query("SELECT ? FROM t", mypool.ident(hostile_name))))
    assert.equal(5, (conn:value "SELECT n FROM t"))
  end)

  it("may not be a name that no quotes make safe", function()
    for _, name in ipairs { "", "a\0b", ("a"):rep(65), "\xFF", "a\xBF`" } do
      mistake("bad parameter 1 (not a name that can be quoted)", function()
        conn:query("SELECT 1 AS ?", mypool.ident(name))
      end)
    end
    assert(conn:query "SET NAMES gbk")
    mistake("bad parameter 1 (not a name that can be quoted)", function()
      conn:query("SELECT 1 AS ?", mypool.ident "é")
    end)
    assert.is_truthy(conn:query("SELECT 1 AS ?", mypool.ident "ascii"))
  end)

  it("may not be what SQL has no form for", function()
    local class = setmetatable({}, { __tostring = function() return "1" end }) -- luacheck: ignore
    for _, value in ipairs { {}, { 1, 2 }, class, print, coroutine.create(print), io.stdout, pool, conn } do
      local what = (type(value) == "table" and "a table" or type(value)) .. " has no SQL form"
      mistake("bad parameter 2 (" .. what, function()
        conn:query("SELECT ?, ?", 1, value)
      end)
      if type(value) ~= "table" or getmetatable(value) then -- a plain one is a row
        mistake("bad parameter 1 (" .. what, function()
          conn:query("SELECT ?", mypool.list { value })
        end)
      end
    end
    mistake("bad parameter 1 (SQL has no NaN)", function()
      conn:query("SELECT ?", 0 / 0)
    end)
    for _, infinity in ipairs { math.huge, -math.huge } do
      mistake("bad parameter 1 (SQL has no infinity)", function()
        conn:query("SELECT ?", infinity)
      end)
    end
    assert.equal(1, (conn:value "SELECT 1"))
  end)

  it("must be there, and no more than there are places", function()
    for sql, counts in pairs {
      ["SELECT ?, ?"] = { 2, { 1 } },
      ["SELECT ?, ? "] = { 2, { 1, 2, 3 } },
      ["SELECT 1"] = { 0, { 1 } },
      ["SELECT '?'"] = { 0, { 1 } },
      ["SELECT ?"] = { 1, {} },
      ["SELECT ? -- ?"] = { 1, { 1, 2 } },
    } do
      local message = ("wrong number of parameters (the statement has %d, got %d"):format(counts[1], #counts[2])
      mistake(message, function()
        conn:query(sql, table.unpack(counts[2]))
      end)
    end
    mistake("(the statement has 1, got 2)", function()
      conn:query("SELECT ?", 1, nil)
    end)
    assert.is_nil(conn:value("SELECT ?", nil))
  end)

  it("has its place only outside of quotes and comments", function()
    assert.same({ "?", "?", 5 }, conn:one({ [[SELECT '?', "?", ?]], rows = "array" }, 5))
    assert.same({ ["?"] = 5 }, conn:one("SELECT ? AS `?`", 5))
    assert.same({ "a'?", "a\\", 5 }, conn:one({ [[SELECT 'a''?', 'a\\', ?]], rows = "array" }, 5))
    assert.same({ "'?", 5 }, conn:one({ [[SELECT '\'?', ?]], rows = "array" }, 5))
    assert.equal(5, (conn:value("SELECT /* ? ' */ ? -- ? '\n", 5)))
    assert.equal(5, (conn:value("SELECT # ?\n ?", 5)))
    assert.equal(5, (conn:value("-- ?\nSELECT ?", 5)))
    assert.equal(3, (conn:value("SELECT 1--?", 2)))
    assert.equal(10, (conn:value("SELECT 20/?", 2) + 0) // 1)
  end)

  it("is safe in a comment that the server may execute", function()
    assert.equal(6, (conn:value("SELECT 1 /*! + ? */", 5)))
    assert.equal(1, (conn:value("SELECT 1 /*!999999 + ? */", 5)))
    for _, text in ipairs(hostile) do
      assert.equal(hex(text), (conn:value("SELECT HEX(/*! ? */)", text)))
      assert.same({ 1 }, conn:one({ "SELECT 1 /*!999999 , ? */", rows = "array" }, text))
      assert.same({ 1 }, conn:one({ "SELECT 1 /*M!999999 , ? */", rows = "array" }, mypool.list { text }))
    end
    assert.same({ n = 1 }, conn:one("SELECT 1 AS /*! ? */", mypool.ident "n"))
    mistake("bad parameter 1 (not a name that can be quoted)", function()
      conn:query("SELECT 1 /*!999999 , ? */", mypool.ident "*/ , 2 AS injected -- ")
    end)
  end)

  local sql_modes = {
    "",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES",
    "ANSI",
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
    "TRADITIONAL",
    "ORACLE",
    "MSSQL",
    "POSTGRESQL",
    "DB2",
    "MAXDB",
    "PIPES_AS_CONCAT,IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE",
    "EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL",
  }
  local charsets = { "utf8mb4", "utf8mb3", "latin1", "gbk", "gb2312", "big5", "sjis", "cp932", "ujis", "swe7" }

  local function assert_arrive()
    for _, text in ipairs(hostile) do
      assert.equal(hex(text), (conn:value("SELECT HEX(?)", text)))
    end
    assert.equal(6, (conn:value("SELECT ? + ?", 1, 5)))
  end

  for _, mode in ipairs(dialect.known_modes(sql_modes)) do
    it(("arrives unchanged under sql_mode '%s'"):format(mode), function()
      assert(conn:query("SET sql_mode = ?", mode))
      assert_arrive()
    end)
  end

  for _, charset in ipairs(charsets) do
    it(("arrives unchanged under SET NAMES %s, with and without NO_BACKSLASH_ESCAPES"):format(charset), function()
      assert(conn:query("SET NAMES " .. charset))
      assert_arrive()
      assert(conn:query "SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
      assert_arrive()
      assert(conn:query "CREATE TEMPORARY TABLE t (a TEXT CHARACTER SET utf8mb4)")
      assert(conn:query("INSERT INTO t VALUES (?)", "é'\\😀"))
      assert.equal(hex "é'\\😀", (conn:value "SELECT HEX(a) FROM t"))
    end)
  end

  it("arrives unchanged when the charset changes behind the client's back", function()
    conn:query(mode_changes.off)
    for _, charset in ipairs { "gbk", "sjis", "big5" } do
      assert(conn:query("SET NAMES " .. charset))
      assert_arrive()
    end
  end)

  -- What is stored shows it: HEX(?) takes the bytes for what they are.
  local function assert_stored(db)
    local text = "é'\\😀"
    assert(db:query "CREATE TEMPORARY TABLE kept_text (a TEXT CHARACTER SET utf8mb4)")
    for _ = 1, 2 do
      assert(db:query("INSERT INTO kept_text VALUES (?)", text))
    end
    assert.equal(hex(text .. text), db:value "SELECT HEX(GROUP_CONCAT(a SEPARATOR '')) FROM kept_text")
  end

  local ways = { "SET @@character_set_connection = %s", "/*! SET NAMES %s */", "SET NAMES latin1, NAMES %s" }
  for _, way in ipairs(mode_changes.of_charset) do
    ways[#ways + 1] = way
  end

  for _, way in ipairs(ways) do
    for _, told in ipairs { true, false } do
      it(("is stored unchanged after %s%s"):format(way, told and "" or ", of which nothing is told"), function()
        for _, charset in ipairs { "utf8mb3", "utf8", "latin1", "gbk", "binary", "utf8mb4" } do
          local other <close> = assert(pools.new(s:options()):checkout())
          if not told then
            other:query(mode_changes.off) -- fails where nothing is ever told
          end
          mode_changes.make(other, way, charset)
          assert_stored(other)
          mode_changes.make(other, way, "utf8mb4")
          assert(other:query "DROP TEMPORARY TABLE kept_text")
          assert_stored(other)
        end
      end)
    end
  end

  it("is stored unchanged whatever charset on_connect, init_sql or another loan chose", function()
    for _, charset in ipairs { "utf8mb3", "latin1", "utf8mb4" } do
      for _, way in ipairs { "SET NAMES %s", "SET @@character_set_client = %s" } do
        local sql = way:format(charset)
        local own = pools.new(s:options {
          max_size = 1,
          on_connect = function(other)
            assert(other:query(sql))
          end,
        })
        for _ = 1, 3 do
          local other <close> = assert(own:checkout())
          assert_stored(other)
          assert(other:query "SET NAMES gbk")
        end
        local other <close> = assert(pools.new(s:options { init_sql = { sql } }):checkout())
        assert_stored(other)
      end
    end
  end)

  it("is asked about once after the charset may have changed, and not where the server told it", function()
    local other = assert(pools.new(s:options()):checkout())
    local function selects()
      return (other:one { "SHOW SESSION STATUS LIKE 'Com_select'", rows = "array" })[2] + 0
    end
    local function questions(sql)
      assert(other:query(sql))
      local before = selects()
      for _ = 1, 3 do
        assert(other:query("DO ?, ?", "é", mypool.null))
        assert(other:query("DO ?", "ASCII"))
      end
      return selects() - before
    end
    assert.equal(0, questions "DO 1")
    assert.equal(0, questions "SET time_zone = '+00:00'")
    local told = questions "SET NAMES latin1"
    assert.equal(other:query(mode_changes.off) and 0 or 1, told)
    for _, charset in ipairs { "latin1", "utf8mb4" } do
      assert.equal(1, questions("SET NAMES " .. charset))
      assert.equal(1, questions("SET @@character_set_client = " .. charset))
    end
  end)

  it("arrives unchanged on a pool with another charset", function()
    for _, charset in ipairs { "latin1", "gbk", "utf8mb3" } do
      local other <close> = assert(pools.new(s:options { charset = charset }):checkout())
      for _, text in ipairs(hostile) do
        assert.equal(hex(text), (other:value("SELECT HEX(?)", text)))
      end
      assert.equal(charset == "utf8mb3" and dialect.utf8mb3 or charset, other:value "SELECT @@character_set_client")
    end
  end)

  it("knows the sql_mode of its own session for the places, too", function()
    assert(conn:query "SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
    assert.same({ "\\", 5 }, conn:one({ [[SELECT '\', ?]], rows = "array" }, 5))
    assert(conn:query "SET sql_mode = ''")
    assert.same({ "',?", 5 }, conn:one({ [[SELECT '\',?', ?]], rows = "array" }, 5))
  end)
end)

-- What it is must not depend on what it holds: '' and text with a backslash are text like any other.
describe("text", function()
  local texts = { "Ann", "", "C:\\", "it's", "é\\", "\\", "\\'", "表\\'", "!#$%&*+\\" }
  local s = fixture.shared_server()

  after_each(pools.close)

  local sql = "SELECT COLLATION(?) AS c, COERCIBILITY(?) AS k, HEX(?) AS h, ? IS NULL AS n"

  local function each_session(collation, f)
    local modes = { "", "NO_BACKSLASH_ESCAPES", "ORACLE", "ANSI", "EMPTY_STRING_IS_NULL" }
    for _, mode in ipairs(dialect.known_modes(modes)) do
      local pool = pools.new(s:options { collation = collation, init_sql = { "SET sql_mode = '" .. mode .. "'" } })
      local conn = assert(pool:checkout())
      f(conn)
      conn:query "CALL no_such_procedure()" -- behind an error the mode is in doubt
      f(conn, true)
    end
  end

  for _, collation in ipairs(dialect.known_collations { "utf8mb4_unicode_ci", "utf8mb4_bin", "utf8mb4_nopad_bin" }) do
    it("is of the connection's collation whatever it holds, with " .. collation, function()
      each_session(collation, function(conn, doubtful)
        local of_literals = conn:value "SELECT COERCIBILITY('a')" -- 4, since MariaDB 11 another number
        for _, text in ipairs(texts) do
          if doubtful then
            conn:query "CALL no_such_procedure()"
          end
          local row = assert(conn:one(sql, text, text, text, text))
          assert.same({ c = collation, k = of_literals, h = hex(text), n = 0 }, row)
        end
      end)
    end)
  end

  for _, collation in ipairs { false, "utf8mb4_unicode_ci" } do
    it("mixes with other text under " .. (collation or "the server's collation"), function()
      each_session(collation or nil, function(conn)
        assert(conn:query "CREATE TEMPORARY TABLE texts (a VARCHAR(20))")
        for _, text in ipairs(texts) do
          assert.equal(1, conn:value("SELECT 1 FROM DUAL WHERE ? = ? AND ? IN ('x', ?)", text, text, text, text))
          assert.equal(text, conn:value("SELECT CASE WHEN 1 THEN ? ELSE 'x' END", text))
          assert.equal(2, #assert(conn:query("SELECT ? AS a UNION ALL SELECT 'x'", text)))
          assert(conn:query("INSERT INTO texts VALUES (?)", text))
          local found = conn:value("SELECT COUNT(*) FROM texts WHERE a = ? AND a LIKE ? OR ? IN (a)", text, "%", text)
          assert.is_true(found > 0)
        end
        assert(conn:query "DROP TEMPORARY TABLE texts")
      end)
    end)
  end

  it("compares as its collation says", function()
    local binary = pools.new(s:options { collation = "utf8mb4_bin" })
    assert.equal(0, binary:value("SELECT ? = ?", "A", "a"))
    assert.equal(0, binary:value("SELECT ? = ?", "A\\", "a\\"))
  end)

  it("may stand where only a literal may", function()
    for _, collation in ipairs { "utf8mb4_unicode_ci", "utf8mb4_general_ci" } do
      local conn = assert(pools.new(s:options { collation = collation }):checkout())
      for _, text in ipairs { "a%", "", "a\\_b", "C:\\dir", "it's \\" } do
        assert(conn:query("SHOW TABLES LIKE ?", text))
        assert(conn:query("CREATE TEMPORARY TABLE t (n INT COMMENT ?)", text))
        assert(conn:query "DROP TEMPORARY TABLE t")
        assert(conn:query("SELECT GROUP_CONCAT(seq SEPARATOR ?) FROM seq_1_to_3", text))
      end
    end
  end)

  it("is whole in a session whose charset has no characters of four bytes", function()
    local conn = assert(pools.new(s:options { charset = "utf8mb3" }):checkout())
    assert(conn:query "CREATE TEMPORARY TABLE t (a TEXT CHARACTER SET utf8mb4)")
    assert(conn:query("INSERT INTO t VALUES (?), (?)", "😀", "é\\"))
    assert.equal(hex "😀,é\\", (conn:value "SELECT HEX(GROUP_CONCAT(a)) FROM t"))
  end)

  it("is not shown by the server's messages, in whatever form it was sent", function()
    each_session("utf8mb4_unicode_ci", function(conn, doubtful)
      for _, text in ipairs { "secret\\word", "secret'word\\", "sécrét\\" } do
        if doubtful then
          conn:query "CALL no_such_procedure()"
        end
        local _, err = conn:query("SELECT * FROM no_such_table WHERE a = ? frm", text)
        assert.is_nil(err.message:lower():find("s.?.?cr.?.?t"), err.message)
        _, err = conn:query("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = ?", text)
        assert.is_nil(err.message:lower():find("s.?.?cr.?.?t"), err.message)
      end
    end)
  end)
end)

describe("a whole float", function()
  it("is a float, but where SQL takes digits only", function()
    local pool = pools.new(server.shared():options())
    assert.equal("float", math.type(pool:value("SELECT ?", 2.0)))
    assert.equal(2.5, pool:value("SELECT ? / 4", 10.0))
    assert.equal("2.5000", pool:value("SELECT ? / 4", 10))
    for sql, values in pairs {
      ["SELECT seq FROM seq_1_to_9 LIMIT ?"] = { 10 / 5 },
      ["SELECT seq FROM seq_1_to_9 LIMIT ?, ?"] = { 10 / 5, 2.0 },
      ["SELECT seq FROM seq_1_to_9 LIMIT ? OFFSET ?"] = { 2.0, 4.0 },
      ["(SELECT seq FROM seq_1_to_9 LIMIT ? OFFSET 2) ORDER BY 1"] = { 2.0 },
      ["SELECT seq FROM seq_1_to_9 LIMIT ? ROWS EXAMINED ?"] = { 2.0, 1e6 },
      ["SELECT seq FROM seq_1_to_9 LIMIT ? /* of ? */"] = { mypool.list { 4.0, 2.0 } },
      ["SELECT seq FROM seq_1_to_9 OFFSET ? ROWS FETCH NEXT ? ROWS ONLY"] = { 4.0, 2.0 },
    } do
      for _, known in ipairs(dialect.known { sql }) do
        local rows, err = pool:query(known, table.unpack(values))
        assert.equal(2, rows and #rows, ("%s: %s"):format(sql, tostring(err)))
      end
    end
    assert.is_nil((pool:query("SELECT 1 LIMIT ?", 0.5)))
    pools.close()
  end)
end)

describe("mypool.list, ident and binary", function()
  it("take the right types only", function()
    for _, value in ipairs { 7, "x", true, print } do
      mistake("bad argument to 'list' (array expected, got " .. type(value) .. ")", function()
        mypool.list(value)
      end)
    end
    for _, value in ipairs { 7, {}, true, print } do
      mistake("bad argument to 'ident' (string expected, got " .. type(value) .. ")", function()
        mypool.ident(value)
      end)
      mistake("bad argument to 'ident' (string expected, got " .. type(value) .. ")", function()
        mypool.ident("a", value)
      end)
      mistake("bad argument to 'binary' (string expected, got " .. type(value) .. ")", function()
        mypool.binary(value)
      end)
    end
    for _, name in ipairs { "list", "ident", "binary" } do
      mistake(("bad argument to '%s' ("):format(name), function()
        mypool[name]()
      end)
    end
    mistake("bad argument to 'ident' (string expected, got nil)", function()
      mypool.ident("a", nil)
    end)
  end)

  it("copy a list, so that later changes of the table do not count", function()
    local given = { 1, 2 }
    local list = mypool.list(given)
    given[2] = 3
    local pool = pools.new(server.shared():options())
    assert.equal(2, pool:value("SELECT COUNT(*) FROM seq_1_to_9 WHERE seq IN (?)", list))
    assert.equal(0, pool:value("SELECT 3 IN (?)", list))
    pools.close()
  end)

  it("show nothing of what they hold", function()
    for _, value in ipairs { mypool.list { "secret" }, mypool.ident "secret", mypool.binary "secret" } do
      assert.is_nil(tostring(value):find("secret", 1, true))
    end
  end)
end)
