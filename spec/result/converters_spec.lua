-- Booleans, and the converters of a single statement.

local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"

local s = fixture.shared_server()

after_each(pools.close)

-- Calls f with the rows of a query in each way that brings rows, with these options of the statement.
local function in_each_way(conn, sql, options, f)
  local function collected(stream)
    local rows = {}
    for row in stream do
      rows[#rows + 1] = row
    end
    return rows
  end
  local given = { sql }
  for name, value in pairs(options) do
    given[name] = value
  end
  local statement <close> = assert(conn:prepare(sql))
  local with = statement:with(options)
  f(assert(conn:query(given)), "query")
  f({ assert(conn:one(given)) }, "one")
  f(collected(assert(conn:rows(given))), "rows")
  f(assert(with:execute()), "execute")
  f({ assert(with:one()) }, "prepared one")
  f(collected(assert(with:rows())), "prepared rows")
end

local function is_true(number)
  return number ~= 0
end

describe("a boolean", function()
  local function lend(types)
    local conn = assert(pools.new(s:options { types = types, rows = "array" }):checkout())
    assert(conn:query "CREATE TEMPORARY TABLE flags (a TINYINT(1), b BOOLEAN, c BIT(1), d TINYINT, e BIT(2))")
    assert(conn:query "INSERT INTO flags VALUES (1, FALSE, b'1', 1, b'1')")
    return conn
  end

  local sql = "SELECT a, b, c, d, e FROM flags"

  it("is TINYINT(1) and BIT(1), and an integer unless types says otherwise", function()
    local conn <close> = lend()
    local named = { "boolean", "boolean", "boolean", "tinyint", "bit" }
    assert.same(named, conn:query(sql).column_types)
    assert.same(named, assert(conn:prepare(sql)):execute().column_types)
    in_each_way(conn, sql, {}, function(rows, way)
      assert.same({ { 1, 0, 1, 1, 1 } }, rows, way)
    end)
    assert.is_not.equal("boolean", conn:query("SELECT a = b FROM flags").column_types[1])
  end)

  it("is what types.boolean makes of it", function()
    local conn <close> = lend { boolean = is_true }
    in_each_way(conn, sql, {}, function(rows, way)
      assert.same({ { true, false, true, 1, 1 } }, rows, way)
    end)
    assert.is_false(conn:value "SELECT b FROM flags")
  end)

  it("without types.boolean is what those of tinyint and bit make of it", function()
    local conn <close> = lend { tinyint = tostring, bit = is_true }
    in_each_way(conn, sql, {}, function(rows, way)
      assert.same({ { "1", "0", true, "1", true } }, rows, way)
    end)
  end)

  it("has a converter of its own above these", function()
    local conn <close> = lend { tinyint = tostring, bit = tostring, boolean = is_true }
    in_each_way(conn, sql, {}, function(rows, way)
      assert.same({ { true, false, true, "1", "1" } }, rows, way)
    end)
  end)
end)

describe("types of a statement", function()
  local sql = "SELECT 1.50 AS d, 7 AS i, 'x' AS t"

  it("convert for this statement alone", function()
    local conn <close> = assert(pools.new(s:options()):checkout())
    local columns = {}
    in_each_way(conn, sql, {
      types = {
        DECIMAL = function(value, column)
          columns[column] = true
          return value .. "!"
        end,
      },
    }, function(rows, way)
      assert.same({ { d = "1.50!", i = 7, t = "x" } }, rows, way)
    end)
    assert.same({ d = true }, columns)
    assert.equal("1.50!", conn:value {
      sql,
      types = {
        decimal = function(value)
          return value .. "!"
        end,
      },
    })
    assert.same({ d = "1.50", i = 7, t = "x" }, conn:one(sql))
  end)

  it("stand above the pool's, type by type, and false switches one off", function()
    local conn <close> = assert(pools.new(s:options {
      types = { decimal = tonumber, varchar = string.upper },
    }):checkout())
    in_each_way(conn, sql, { types = { varchar = false } }, function(rows, way)
      assert.same({ { d = 1.5, i = 7, t = "x" } }, rows, way)
    end)
    local function double(text)
      return text .. text
    end
    in_each_way(conn, sql, { types = { varchar = double, decimal = false } }, function(rows, way)
      assert.same({ { d = "1.50", i = 7, t = "xx" } }, rows, way)
    end)
    assert.same({ d = 1.5, i = 7, t = "X" }, conn:one(sql))
  end)

  it("of a prepared statement are its own, before and after others", function()
    local conn <close> = assert(pools.new(s:options()):checkout())
    local statement <close> = assert(conn:prepare(sql))
    local upper = statement:with { types = { varchar = string.upper } }
    assert.equal("X", upper:one().t)
    assert.equal("x", statement:one().t)
    assert.equal(1, conn:value { "SELECT 'x'", types = { varchar = string.len } })
    assert.equal("X", upper:one().t)
    assert.equal("x", conn:value "SELECT 'x'")
  end)

  it("with boolean = false leave booleans alone, whatever tinyint is", function()
    local conn <close> = assert(pools.new(s:options { types = { tinyint = tostring } }):checkout())
    assert(conn:query "CREATE TEMPORARY TABLE flags (a TINYINT(1), b TINYINT)")
    assert(conn:query "INSERT INTO flags VALUES (1, 1)")
    in_each_way(conn, "SELECT a, b FROM flags", { types = { boolean = false } }, function(rows, way)
      assert.same({ { a = 1, b = "1" } }, rows, way)
    end)
  end)

  it("are those of the stream also while another statement was tried", function()
    local conn <close> = assert(pools.new(s:options()):checkout())
    local upper, many = { "SELECT seq, 'x' AS t FROM seq_1_to_500", types = { varchar = string.upper } }, 0
    for row in assert(conn:rows(upper)) do
      assert.equal("X", row.t)
      many = many + 1
      if many % 100 == 1 then
        assert.is_nil((conn:query { "SELECT 'y'", types = { varchar = string.len } }))
      end
    end
    assert.equal(500, many)
  end)

  it("hold where the session is asked first, and where a scheduler waits", function()
    schedulers.cqueues().run(function()
      local pool = pools.new(s:options { max_size = 1, wait = require "mypool.wait.cqueues" })
      local types = { varchar = string.upper, decimal = tonumber }
      assert.equal(1.5, pool:value { "SELECT 1.50 FROM (SELECT SLEEP(0.01)) s", types = types })
      assert.equal("Ä\\B", pool:value({ "SELECT CAST(? AS CHAR)", types = types }, "Ä\\b"))
      local conn <close> = assert(pool:checkout())
      assert(conn:query "SET NAMES latin1")
      assert.same({ t = "A\\" }, conn:one({ "SELECT CONCAT(?, '') AS t", types = types }, "a\\"))
    end)
  end)

  it("are refused by name and kind", function()
    local conn <close> = assert(pools.new(s:options()):checkout())
    mistake("query: bad option 'types.date' (function or false expected, got number)", function()
      conn:query { "SELECT 1", types = { date = 1 } }
    end)
    mistake("query: bad option 'types.date' (function or false expected, got boolean)", function()
      conn:query { "SELECT 1", types = { date = true } }
    end)
    mistake("value: types: unknown option 'datetim' (did you mean 'datetime'?)", function()
      local value = conn:value { "SELECT 1", types = { datetim = print } }
      return value, nil
    end)
    local statement <close> = assert(conn:prepare "SELECT 1")
    mistake("with: bad option 'types' (table of functions by type expected, got table)", function()
      statement:with { types = { print } }
    end)
    mistake("new: bad option 'types.date' (function expected, got boolean)", function()
      mypool.new { types = { date = false } }
    end)
  end)
end)
