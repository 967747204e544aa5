-- mypool.busted: what it promises is seen from outside, in spec files that another busted runs.

local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local program = require "spec.support.program"
local testing = require "mypool.busted"

local s = fixture.shared_server()

-- ---- in this busted ----

describe("mypool.busted.rolled_back", function()
  local pool

  setup(function()
    pool = mypool.new(s:options { max_size = 2 })
    assert(pool:query "CREATE TABLE busted_orders (id INT PRIMARY KEY, item VARCHAR(20))")
  end)

  teardown(function()
    assert(pool:query "DROP TABLE busted_orders")
    pool:close()
  end)

  local db = testing.rolled_back(function()
    return pool
  end)
  testing.all_released(function()
    return pool
  end)

  for _, order in ipairs { "first", "second" } do
    it(("gives the %s test an empty table"):format(order), function()
      assert.equal(0, db:value "SELECT COUNT(*) FROM busted_orders")
      assert(db:query "INSERT INTO busted_orders VALUES (1, 'tea')")
      assert.same({ id = 1, item = "tea" }, db:one "SELECT * FROM busted_orders")
      assert.equal(0, pool:value "SELECT COUNT(*) FROM busted_orders")
    end)
  end

  it("has what a pool and a connection have, but what would end the test's transaction", function()
    local core = require "mypool.core"
    for _, class in ipairs { "mypool.pool", "mypool.connection", "mypool.transaction" } do
      for name in pairs(core[class]) do
        local ends = name == "commit" or name == "rollback" or name == "reset"
        assert.equal(ends and "nil" or "function", type(db[name]), name)
      end
    end
    assert.is_true(db:ping())
    assert.is_true(db:in_transaction())
    assert.equal(db:value "SELECT CONNECTION_ID()", db:id())
    assert.equal(1, db:stats().lent)
    assert(db:query "SELECT 1 / 'x'")
    assert.is_table(db:warnings())
    assert.is_true(db:close())
    db:evict()
    db:discard()
    assert.equal(1, db:value "SELECT 1")
  end)

  it("makes savepoints of transactions", function()
    assert.equal(
      "kept",
      db:transaction({ isolation = "serializable" }, function(tx)
        assert(tx:query "INSERT INTO busted_orders VALUES (1, 'tea')")
        return "kept"
      end)
    )
    local ok, err = db:transaction(function(tx)
      assert(tx:query "INSERT INTO busted_orders VALUES (2, 'milk')")
      return nil, "no milk"
    end)
    assert.same({ nil, "no milk" }, { ok, err })
    local tx = assert(db:begin { read_only = true })
    assert(tx:query "INSERT INTO busted_orders VALUES (3, 'rice')")
    assert(tx:commit())
    local items = assert(db:query { "SELECT item FROM busted_orders ORDER BY id", rows = "array" })
    assert.same({ { "tea" }, { "rice" } }, items)
  end)

  it("lends itself", function()
    db:with(function(conn)
      assert(conn:query "INSERT INTO busted_orders VALUES (1, 'tea')")
    end)
    do
      local conn <close> = assert(db:checkout(1))
      assert.equal(1, conn:value "SELECT COUNT(*) FROM busted_orders")
      conn:release()
    end
    assert.equal(1, db:value "SELECT COUNT(*) FROM busted_orders")
    assert.equal(1, pool:stats().lent)
  end)
end)

-- ---- in another one ----

-- A program that is a spec file as well. In the root folder busted finds no .busted to heed.
local preamble = [[
local root = os.getenv "PWD" .. "/"
package.path, package.cpath = package.path:gsub("%%f[^;%%z]%%./", root), package.cpath:gsub("%%f[^;%%z]%%./", root)
arg = { [0] = "busted", "--directory=/" }
require "busted.runner" { output = "plainTerminal" }
local mypool, testing = require "mypool", require "mypool.busted"
local pool = mypool.new(%q)
]]

-- Runs the text as a spec file with `pool` and `testing` in reach; returns whether its suite passed, and
-- what busted printed.
local function run_suite(text)
  local printed, passed = program(preamble:format(s:dsn()) .. text)
  return passed, printed
end

describe("a suite with mypool.busted", function()
  local look

  setup(function()
    look = mypool.new(s:options())
    assert(look:query "CREATE TABLE busted_suite (id INT PRIMARY KEY)")
  end)

  teardown(function()
    assert(look:query "DROP TABLE busted_suite")
    look:close()
  end)

  before_each(function()
    assert(look:query "TRUNCATE busted_suite")
  end)

  local function rows()
    return look:value "SELECT COUNT(*) FROM busted_suite"
  end

  it("passes and leaves nothing behind, whether its tests pass, fail or raise", function()
    local passed, printed = run_suite [[
      local db = testing.rolled_back(pool)
      testing.all_released(pool)
      it("passes", function()
        assert(db:query "INSERT INTO busted_suite VALUES (1)")
      end)
      describe("in a block", function()
        it("passes, too", function()
          assert(db:query "INSERT INTO busted_suite VALUES (1)")
        end)
      end)]]
    assert(passed, printed)
    assert.match("2 successes / 0 failures / 0 errors", printed)
    assert.equal(0, rows())
    passed, printed = run_suite [[
      local db = testing.rolled_back(pool)
      testing.all_released(pool)
      it("fails", function()
        assert(db:query "INSERT INTO busted_suite VALUES (1)")
        assert.equal(1, 2)
      end)
      it("raises", function()
        assert(db:query "INSERT INTO busted_suite VALUES (1)")
        assert(db:begin())
        error "this one"
      end)
      it("passes", function()
        assert(db:query "INSERT INTO busted_suite VALUES (1)")
      end)]]
    assert.falsy(passed)
    assert.match("1 success / 1 failure / 1 error", printed)
    assert.equal(0, rows())
  end)

  it("fails when a loan is left out, and names the place", function()
    local passed, printed = run_suite [[
      local kept
      testing.all_released(pool)
      it("keeps one", function()
        kept = assert(pool:checkout())
      end)]]
    assert.falsy(passed)
    assert.match("1 success / 0 failures / 1 error", printed)
    assert.match("1 not released: checked out at [^\n]*:10\n", printed)
  end)

  it("fails when a loan was left to the garbage collector", function()
    local passed, printed = run_suite [[
      testing.all_released(pool)
      it("forgets one", function()
        assert(pool:checkout())
        collectgarbage()
        collectgarbage()
        assert.equal(0, pool:stats().lent)
      end)]]
    assert.falsy(passed)
    assert.match("1 not released, but collected as garbage", printed)
  end)

  it("passes when all came back", function()
    local passed, printed = run_suite [[
      testing.all_released(pool)
      it("gives back", function()
        local db <close> = assert(pool:checkout())
        assert(pool:query "DO 0")
      end)]]
    assert(passed, printed)
  end)

  it("fails when a test committed, explicitly or implicitly", function()
    for word, sql in pairs { COMMIT = "COMMIT", CREATE = "CREATE TABLE busted_other (id INT)" } do
      local passed, printed = run_suite(([[
        local db = testing.rolled_back(pool)
        it("commits", function()
          assert(db:query "INSERT INTO busted_suite VALUES (1)")
          assert(db:query "%s")
        end)]]):format(sql))
      assert.falsy(passed)
      assert.match("the test ended its transaction: " .. word .. " has", printed)
      assert.equal(1, rows())
      assert(look:query "TRUNCATE busted_suite")
    end
    assert(look:query "DROP TABLE busted_other")
  end)

  it("fails when there is no server, and when the pool's stand-in is used outside of a test", function()
    local passed, printed = run_suite [[
      local nowhere = mypool.new { host = "127.0.0.1", port = 1, retries = 0 }
      testing.rolled_back(nowhere)
      it("gets nowhere", function() end)]]
    assert.falsy(passed)
    assert.match("no transaction for this test: ", printed)
    passed, printed = run_suite [[
      local db = testing.rolled_back(pool)
      db:query "DO 0"]]
    assert.falsy(passed)
    assert.match(":8: mypool.busted: used outside of a test", printed)
  end)
end)
