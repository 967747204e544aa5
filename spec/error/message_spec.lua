-- Errors: what they say, and what they never say.

local dialect = require "spec.servers.dialect"
local dkjson = require "dkjson"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"

describe("an error", function()
  local s = fixture.shared_server()
  local pool

  setup(function()
    local default = dialect.has "a computed default" and "(UUID())" or "''"
    s:sql(([[
      CREATE OR REPLACE TABLE guarded (id VARCHAR(190) DEFAULT %s PRIMARY KEY, n INT, short VARCHAR(5), d DATE,
        x DECIMAL(4,2), tiny TINYINT, b VARBINARY(50) UNIQUE, j %s, two VARCHAR(100), UNIQUE (n, two))]]):format(
      default,
      dialect.json
    ))
    if dialect.lacks "a computed default" then
      s:sql "CREATE TRIGGER fill BEFORE INSERT ON guarded FOR EACH ROW SET NEW.id = IF(NEW.id = '', UUID(), NEW.id)"
    end
  end)

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  local function failure(...)
    local result, err, errno, sqlstate = pool:query(...)
    assert.is_nil(result)
    assert.is_true(mypool.is_error(err))
    assert.equal(err.errno, errno)
    assert.equal(err.sqlstate, sqlstate)
    return err
  end

  it("of the server says its kind, number and state, and that nothing was executed", function()
    local err = failure "SELECT * FROM missing"
    assert.equal("Table 'app.missing' doesn't exist", err.message)
    assert.same({ "server", 1146, "42S02", "no" }, { err.kind, err.errno, err.sqlstate, err.executed })
    assert.is_false(err.retryable)
    assert.is_false(err.fatal)
  end)

  it("is retryable when the same call may succeed", function()
    local other <close> = assert(pools.new(s:options()):checkout())
    s:sql "CREATE OR REPLACE TABLE locked (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO locked VALUES (1)"
    assert(other:query "START TRANSACTION")
    assert(other:query "DELETE FROM locked")
    local conn <close> = assert(pool:checkout())
    assert(conn:query "SET innodb_lock_wait_timeout = 1")
    local err = select(2, conn:query "DELETE FROM locked")
    assert.same({ "server", 1205, "no", true, false }, { err.kind, err.errno, err.executed, err.retryable, err.fatal })
    assert(other:query "ROLLBACK")
    assert(conn:query "DELETE FROM locked")
  end)

  it("of a transaction that was to be read-only leaves the connection as it is", function()
    local conn <close> = assert(pool:checkout())
    assert(conn:query "SET TRANSACTION READ ONLY")
    assert(conn:query "START TRANSACTION")
    local err = select(2, conn:query "DELETE FROM guarded")
    assert.same({ "server", 1792, "no", false, false }, { err.kind, err.errno, err.executed, err.retryable, err.fatal })
    assert.equal(1, conn:value "SELECT 1")
    conn:release()
    assert.equal(1, pool:stats().size)
  end)

  it("with a number of one's own leaves the connection as it is", function()
    local conn <close> = assert(pool:checkout())
    local id = conn:id()
    local err = select(2, conn:query "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 31999, MESSAGE_TEXT = 'mine'")
    assert.same({ "server", 31999, "mine", false }, { err.kind, err.errno, err.message, err.fatal })
    assert.equal(id, conn:value "SELECT CONNECTION_ID()")
  end)

  it("of a statement that was killed leaves the connection as it is", function()
    dialect.needs("a limit of time", pending)
    local conn <close> = assert(pool:checkout())
    assert(conn:query(dialect.limit_time(0.05)))
    local err = select(2, conn:query "SELECT COUNT(*) FROM seq_1_to_100000 a, seq_1_to_100000 b")
    assert.same({ "server", dialect.time_error, "no", false }, { err.kind, err.errno, err.executed, err.fatal })
    assert.equal(1, conn:value "SELECT 1")
  end)

  it("prints and concatenates as its place, its message and its number", function()
    local err = failure "SELECT * FROM missing"
    local text = ("%s: %s (1146)"):format(err.place, err.message)
    assert.equal(text, tostring(err))
    assert.equal("failed: " .. text, "failed: " .. err)
    assert.equal(text .. "!", err .. "!")
    assert.equal(text .. 7, err .. 7)
    assert.equal(text .. text, err .. err)
    assert.equal(text, ("%s"):format(err))
  end)

  it("prints without the place and the number that it does not have", function()
    local err = failure "SELECT * FROM missing"
    err.place = nil
    assert.equal(err.message .. " (1146)", tostring(err))
    err.errno = nil
    assert.equal(err.message, tostring(err))
  end)

  it("concatenates with another table when that one can", function()
    local err = failure "SELECT * FROM missing"
    assert.is_false(pcall(function()
      return err .. {}
    end))
    assert.is_false(pcall(function()
      return err .. nil
    end))
  end)

  it("encodes as JSON", function()
    local decoded = dkjson.decode(dkjson.encode(failure "SELECT * FROM missing"))
    assert.matches("message_spec.lua:%d+$", decoded.place)
    decoded.place = nil
    assert.same({
      message = "Table 'app.missing' doesn't exist",
      sql = "SELECT * FROM missing",
      kind = "server",
      executed = "no",
      retryable = false,
      fatal = false,
      errno = 1146,
      sqlstate = "42S02",
    }, setmetatable(decoded, nil))
  end)

  it("passes through assert and error", function()
    local printed, ok = program(([[
local mypool = require "mypool"
local pool = mypool.new %q
local _, err = pcall(function() assert(pool:query "SELECT * FROM missing") end)
print(mypool.is_error(err), err.errno, (select(2, pcall(error, err))) == err)]]):format(s:dsn()))
    assert.is_true(ok, printed)
    assert.equal("true\t1146\ttrue\n", printed)
  end)

  it("that nobody catches ends a program with its place, message and number", function()
    local printed, ok = program(([[
local pool = require("mypool").new %q
local rows, err = pool:query "SELECT * FROM missing"
error(err)]]):format(s:dsn()))
    assert.is_false(ok)
    assert.is_truthy(printed:find(":2: Table 'app.missing' doesn't exist (1146)", 1, true), printed)
  end)

  it("has no errno and no sqlstate when neither the server nor the client library spoke", function()
    local holder <close> = pool:checkout()
    local _, err = pool:checkout()
    assert.same({ nil, nil }, { err.errno, err.sqlstate })
    assert.is_truthy(holder)
  end)

  describe("never repeats a parameter:", function()
    local insert = "INSERT INTO guarded (?) VALUES (?)"

    before_each(function()
      assert(pool:query "DELETE FROM guarded")
    end)

    -- The message of a failed statement, which must hold none of the secrets.
    local function assert_silent(expected, secrets, ...)
      local err = failure(...)
      assert.matches(expected, err.message)
      for _, secret in ipairs(secrets) do
        assert.is_nil(err.message:find(secret, 1, true), err.message)
      end
      return err
    end

    local function assert_duplicate(column, value, secrets)
      assert(pool:query(insert, mypool.ident(column), value))
      return assert_silent("^Duplicate entry .* for key '", secrets, insert, mypool.ident(column), value)
    end

    it("a duplicate key", function()
      local err = assert_duplicate("id", "hidden42", { "hidden42" })
      assert.match("^Duplicate entry '<parameter>' for key '%w*%.?PRIMARY'$", err.message)
    end)

    it("a duplicate key with quotes, backslashes, or another form", function()
      assert_duplicate("id", "hid'den'42", { "hid", "den", "42" })
      assert_duplicate("id", "hid\\den'", { "hid", "den" })
      assert_duplicate("id", "' for key 'hidden", { "hidden" })
      assert_duplicate("id", "müller-hidden", { "ller", "hidden" })
      assert_duplicate("id", 471147, { "471147", "4711" })
      assert_duplicate("id", 0.4711, { "4711" })
      assert_duplicate("id", ("hidden"):rep(30), { "hidden" })
      assert_duplicate("id", "'" .. ("hidden"):rep(20), { "hidden" })
      assert_duplicate("b", mypool.binary "hid\xFFden\1", { "hid", "den" })
      assert_duplicate("b", "hid\xFFden\2", { "hid", "den" })
    end)

    it("a value that is like what stands in its place", function()
      local err = assert_silent(
        "'<parameter>'$",
        { "hidden" },
        "SET time_zone = ?, @a = ?, @b = ?",
        "hidden",
        "parameter",
        "<parameter>"
      )
      assert.is_nil(err.message:find("<<", 1, true), err.message)
    end)

    it("but with show_values, which leaves all messages as they came", function()
      local open = pools.new(s:options { show_values = true })
      assert(open:query(insert, mypool.ident "id", "shown42"))
      local err = select(2, open:query(insert, mypool.ident "id", "shown42"))
      assert.matches("^Duplicate entry 'shown42' for key", err.message)
    end)

    it("a duplicate key of several columns", function()
      for _ = 1, 2 do
        pool:query("INSERT INTO guarded (n, two) VALUES (?, ?)", 4711, "hid-den")
      end
      local err = failure("INSERT INTO guarded (n, two) VALUES (?, ?)", 4711, "hid-den")
      assert.match("^Duplicate entry '<parameter>' for key '%w*%.?n'$", err.message)
    end)

    it("a value of the wrong type, or in another form", function()
      assert_silent(
        "^Incorrect integer value: '<parameter>' for column",
        { "hidden" }, insert, mypool.ident "n", "hidden"
      )
      assert_silent(
        "^Incorrect integer value: '<parameter>' for column",
        { "hid", "den" }, insert, mypool.ident "n", "hid'den"
      )
      assert_silent("^Incorrect date value: '<parameter>' for column", { "hidden" }, insert, mypool.ident "d", "hidden")
      assert_silent(
        "^Incorrect decimal value: '<parameter>' for column",
        { "hidden" }, insert, mypool.ident "x", "hidden"
      )
      assert_silent("", { "471" }, insert, mypool.ident "tiny", 4711)
      assert(pool:query "INSERT INTO guarded (n) VALUES (1)")
      assert_silent(
        "^Truncated incorrect DOUBLE value: '<parameter>'$",
        { "hidden" }, "UPDATE guarded SET n = ? + 1", "hidden"
      )
    end)

    it("a value that is too long", function()
      assert_silent("^Data too long for column 'short'", { "hidden" }, insert, mypool.ident "short", "hidden42")
      assert_silent("Incorrect integer value", { "hidd" }, insert, mypool.ident "n", ("hidden"):rep(100))
    end)

    it("a value next to a syntax error", function()
      local values = { "hidden42", "hid'den", "hid\\den", ("hidden"):rep(40), 471147, -0.4711, mypool.binary "hidden" }
      for _, value in ipairs(values) do
        local secrets = { "hidden", "hid'", "den", "hid\\", "471147", "4711", "686964" }
        assert_silent("near '= <parameter>.*' at line 1$", secrets, "SELECT 1 FROM DUAL WHERE = ? AND nonsense", value)
        assert_silent("near 'nonsense <parameter>' at line 1$", secrets, "SELECT 1 nonsense nonsense ?", value)
        assert_silent("at line 1$", secrets, "SELECT 'a long text before', ? ? nonsense ?", value, value, value)
      end
    end)

    it("a value of a prepared statement next to a syntax error", function()
      dialect.run(
        pool,
        "CREATE OR REPLACE PROCEDURE run_text(sql_text TEXT) BEGIN SET @text = sql_text; PREPARE p FROM @text; END"
      )
      local conn <close> = assert(pool:checkout())
      local statement <close> = assert(conn:prepare "CALL run_text(?)")
      local function fail_with(text)
        local _, err = statement:execute(text)
        assert.match("^You have an error in your SQL syntax.* near '.*' at line 1$", err.message)
        assert.is_nil(err.message:find("hidden", 1, true), err.message)
      end
      fail_with "SELECT 1 nonsense nonsense 'hidden')"
      assert(conn:query("SELECT (?)", "hidden")) -- whose text ends as that of the next error
      fail_with "SELECT 1 nonsense 'hidden')"
      fail_with "SELECT 1 AS a b 'hidden')"
      assert.is_nil((conn:query("SELECT nonsense nonsense ?)", "hidden")))
      fail_with "SELECT 1 nonsense nonsense 'hidden')"
    end)

    it("a value that the server cut off next to a syntax error", function()
      for shift = 1, 80, 7 do
        local sql = "SELECT 1 = = " .. ("x"):rep(shift) .. " ?, ?"
        assert_silent("^You have an error", { "hid" }, sql, ("hidden"):rep(20), "hid")
      end
    end)

    it("a value of a list", function()
      local list = mypool.list
      local insert_rows = "INSERT INTO guarded (id, n) VALUES ?"
      assert_silent("Duplicate", { "hid" }, insert_rows, list { list { "hidden", 1 }, list { "hidden", 2 } })
      local sql = "SELECT 1 = = (?) nonsense"
      assert_silent(
        "near '= %(<parameter>,<parameter>,<parameter>%) nonsense' at line",
        { "hid" }, sql, list { "hid", "hid'den", 7 }
      )
      assert_silent("", { "hidden" }, "SET time_zone = ?", list { "hidden" })
    end)

    it("a number out of range", function()
      assert_silent("out of range", { "4711" }, "SELECT ? * ?", 4711000000000000001, 4711)
      assert_silent("", { "hidden" }, "SELECT * FROM guarded WHERE ? = (SELECT id, n FROM guarded)", "hidden")
    end)

    it("a value in a function's complaint", function()
      assert_silent("", { "hidden" }, "SELECT EXTRACTVALUE('<a/>', ?)", "hidden[")
      assert_silent("", { "hidden" }, "SELECT 'x' REGEXP ?", "hidden(")
      assert_silent("", { "hidden" }, "SET sql_mode = ?", "hidden")
      assert_silent("", { "hidden" }, "SET time_zone = ?", "hidden")
      assert_silent("", { "hidden" }, "SELECT CONVERT_TZ(NOW(), ?, ?, ?)", "hidden", "hidden", "hidden")
    end)

    it("but the rest of the message stays, also where a small value happens to occur in it", function()
      local err = failure("SELECT * FROM t1_missing_a WHERE a = ? AND b = ?", 1, "a")
      assert.equal("Table 'app.t1_missing_a' doesn't exist", err.message)
      err = failure("SELECT nonexistent FROM guarded WHERE n = ?", 1)
      assert.equal("Unknown column 'nonexistent' in 'field list'", (err.message:gsub("'SELECT'", "'field list'")))
      err = failure("SELECT ? FROM guarded", mypool.ident "nonexistent")
      assert.is_truthy(err.message:find("'nonexistent'", 1, true), "names are no values: " .. err.message)
    end)

    it("nor does an error of the caller's", function()
      for _, wrong in ipairs { { "SELECT ?", "hidden", "hidden" }, { "SELECT ?, ?", "hidden", { "hidden" } } } do
        local ok, message = pcall(pool.query, pool, table.unpack(wrong))
        assert.is_false(ok)
        assert.is_nil(message:find("hidden", 1, true))
      end
    end)
  end)
end)
