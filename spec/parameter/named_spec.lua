-- Parameters by name: mypool.named.

local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"

local named, list = mypool.named, mypool.list

describe("named parameters", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = pools.new(s:options())
  end)

  after_each(pools.close)

  local function row(sql, values)
    return pool:one({ sql, rows = "array" }, named(values))
  end

  it("stand for their values wherever they stand, several times too", function()
    assert.same({ 1, "x", 1 }, row("SELECT :a, :b, :a", { a = 1, b = "x" }))
    assert.same({ 3 }, row("SELECT :a+:b", { a = 1, b = 2 }))
    assert.same({ 2, 1 }, row("SELECT :ab, :a", { a = 1, ab = 2, abc = 3 }))
    assert.same({ 6 }, row("SELECT(:_a1)*:B", { _a1 = 2, B = 3 }))
    local some = named { some = list { 1, 2, 99 } }
    assert.equal(2, pool:value("SELECT COUNT(*) FROM seq_1_to_9 WHERE seq IN (:some)", some))
    assert.equal(7, pool:value("SELECT :column FROM seq_7_to_7", named { column = mypool.ident "seq" }))
    assert.equal("\0\xFF", pool:value("SELECT :bytes", named { bytes = mypool.binary "\0\xFF" }))
    assert.equal(1, pool:value("SELECT :a IS NULL", named { a = mypool.null }))
    assert.equal(3, #pool:query("SELECT seq FROM seq_1_to_9 LIMIT :most", named { most = 3.0 }))
    local count = 0
    for _ in pool:rows("SELECT seq FROM seq_1_to_9 WHERE seq > :least", named { least = 5 }) do
      count = count + 1
    end
    assert.equal(4, count)
  end)

  it("are none within quotes, comments and names, behind a letter, and of assignments", function()
    assert.same({ "a:b :c", 1 }, row("SELECT 'a:b :c', :a /* :d */ -- :e\n", { a = 1 }))
    assert.same({ 1, "x" }, row("SELECT :a AS `x:y :z`, \"x\" # :f", { a = 1 }))
    assert.same({ "12:30:00", 1 }, row("SELECT TIME'12:30:00', :a", { a = 1 }))
    assert.same({ 5, 1 }, row("SELECT @v:=5, :a", { a = 1 }))
    assert.same({ "it's :b", 1 }, row([[SELECT 'it\'s :b', :a]], { a = 1 }))
  end)

  it("stay tokens of their own next to what stands in quotes", function()
    assert.same({ "vx" }, row("SELECT :a'x'", { a = "v" }))
    assert.same({ "xv" }, row("SELECT 'x':a", { a = "v" }))
  end)

  it("are values, never SQL", function()
    assert.same({ 1, 2 }, row("SELECT 1 /*!999999 , :a */, 2", { a = "*/, 3 /*" }))
    for _, value in ipairs { "'); DROP TABLE x; --", "\\", "\\'", ":a", "?" } do
      assert.equal(value, pool:value("SELECT :a", named { a = value }))
    end
  end)

  it("ignore what the statement does not name, so that a row can be given", function()
    local found = pool:one "SELECT 1 AS a, 2 AS b, 3 AS c"
    assert.same({ 1, 3 }, row("SELECT :a, :c", found))
    assert.same({ 1 }, row("SELECT :a", { 9, a = 1, [{}] = 2, [true] = 3 }))
  end)

  it("are copied when they are given", function()
    local values = { a = 1 }
    local kept = named(values)
    values.a = 2
    assert.equal(1, pool:value("SELECT :a", kept))
  end)

  it("without a value raise, and say what there is", function()
    mistake("no value for ':b' (named has a, c; NULL is mypool.null)", function()
      pool:query("SELECT :a, :b", named { c = 1, a = 1 })
    end)
    mistake("no value for ':A' (named has nothing; NULL is mypool.null)", function()
      pool:query("SELECT :A", named {})
    end)
    mistake("no value for ':ab' (named has a, abc; NULL is mypool.null)", function()
      pool:query("SELECT :ab", named { a = 1, abc = 3 })
    end)
    mistake("bad parameter :a (function has no SQL form)", function()
      pool:query("SELECT :a", named { a = print })
    end)
    assert.equal(1, pool:value "SELECT 1")
  end)

  it("stand alone: with a ? in the statement, or beside other arguments, they raise", function()
    mistake("bad argument 'sql' (a ? stands in it beside the names of mypool.named)", function()
      pool:query("SELECT :a, ?", named { a = 1 })
    end)
    mistake("bad parameter 1 (mypool.named is the only argument after the statement)", function()
      pool:query("SELECT ?, ?", named { a = 1 }, 2)
    end)
  end)

  it("are refused by prepared statements and execute_many, with advice", function()
    local conn <close> = assert(pool:checkout())
    local statement <close> = assert(conn:prepare "SELECT ?")
    mistake("bad parameter 1 (names are for query, one, value and rows: here values stand in order, for ?)", function()
      statement:execute(named { a = 1 })
    end)
    mistake("bad row 1 (names are for query, one, value and rows: a row is an array, for ?)", function()
      conn:execute_many("DO ?", { named { a = 1 } })
    end)
    mistake("bad argument to 'named' (table expected, got string)", function()
      named "a"
    end)
  end)

  it("are hidden in messages, and by their names in the statement of an error", function()
    local _, err = pool:query("SELECT :a nonsense nonsense :b", named { a = "hidden", b = "hidden" })
    assert.matches("near 'nonsense <parameter>' at line 1$", err.message)
    assert.equal("SELECT :a nonsense nonsense :b", err.sql)
  end)

  it("are right where the session is asked first how it reads the statement", function()
    local conn <close> = assert(pool:checkout())
    for _, mode in ipairs { "", "NO_BACKSLASH_ESCAPES" } do
      assert(conn:query("SET sql_mode = ?", mode))
      assert(conn:query "SET NAMES utf8mb4")
      local text = mode == "" and [[SELECT 'a\'' AS x, :a AS y]] or [[SELECT 'a\' AS x, :a AS y]]
      assert.equal(5, assert(conn:one(text, named { a = 5 })).y)
    end
  end)
end)

describe("mistaken parameters", function()
  local s = fixture.shared_server()
  after_each(pools.close)

  it("say what was meant", function()
    local pool = pools.new(s:options())
    local cases = {
      ["(the statement has 0, got 1: placeholders are written ?, or :name with mypool.named)"] = { "SELECT :a", 1 },
      ["(the statement has 2, got one table: pass its values one by one, table.unpack(t, 1, n), or by name with "
        .. "mypool.named)"] = { "SELECT ?, ?", { 1, 2 } },
      ["bad parameter 1 (a table has no SQL form: mypool.list for IN (?), mypool.named for :name)"] = {
        "SELECT ?",
        { 1 },
      },
      ["bad parameter 1 (place 2 of the list is an empty list)"] = { "SELECT ?", list { { 1 }, {} } },
    }
    for message, arguments in pairs(cases) do
      mistake(message, function()
        pool:query(table.unpack(arguments))
      end)
    end
  end)

  it("are none where an array stands in a list", function()
    local pool = pools.new(s:options())
    assert.equal(1, pool:value("SELECT (1, 'a') IN (?)", list { { 1, "a" }, { 2, "b" } }))
    assert.equal(1, pool:value("SELECT (1, 'a') IN (?)", list { list { 1, "a" }, { 2, mypool.null } }))
  end)
end)

describe("a converter", function()
  local s = fixture.shared_server()
  after_each(pools.close)

  it("gets the column's name, one written in C the value alone", function()
    local names = {}
    local pool = pools.new(s:options {
      types = {
        varchar = function(value, column)
          names[#names + 1] = column
          return value
        end,
        decimal = tonumber,
      },
    })
    local sql = "SELECT 'x' AS first, 'y' AS second, 12.50 AS price"
    assert.equal(12.5, pool:one(sql).price)
    pool:value(sql)
    pool:query { sql, rows = "array" }
    for _ in pool:rows(sql) do -- luacheck: ignore
    end
    local conn <close> = assert(pool:checkout())
    assert(conn:prepare(sql)):value()
    assert.equal("first second first first second first second first", table.concat(names, " "))
  end)
end)
