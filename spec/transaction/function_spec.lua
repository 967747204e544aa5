-- A function that runs in a transaction, or in one within another: what is committed when it returns, and what is
-- undone when it fails.

local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local must = require "spec.support.must"
local pools = require "spec.support.pools"

local s = fixture.shared_server()
local ids = fixture.table(s, "moves", "id INT PRIMARY KEY")

after_each(pools.close)

describe("a function in a transaction", function()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 2 })
  end)

  after_each(function()
    assert.equal(0, pool:stats().lent)
  end)

  it("is committed, and all its values are returned", function()
    local values = table.pack(pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      assert.equal("NULL", ids())
      return 1, nil, "x", nil
    end))
    assert.same({ n = 4, 1, nil, "x", nil }, values)
    assert.equal("1", ids())
    assert.same({ n = 1, nil }, table.pack(pool:transaction(function()
      return nil
    end)))
    assert.same({ n = 1, false }, table.pack(pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (2)")
      return false
    end)))
    assert.equal("1,2", ids())
  end)

  it("that returns nothing has succeeded: true is returned", function()
    local conn <close> = assert(pool:checkout())
    assert.same({ n = 1, true }, table.pack(pool:transaction(function() end)))
    assert.same({ n = 1, true }, table.pack(conn:transaction(function() end)))
    assert.same({ n = 1, true }, table.pack(pool:with(function() end)))
    assert(pool:transaction(function(tx)
      assert.same({ n = 1, true }, table.pack(tx:transaction(function() end)))
      assert(tx:transaction(function(nested)
        must(nested:query "INSERT INTO moves VALUES (1)")
      end))
      must(tx:commit())
    end))
    conn:release()
    assert.equal("1", ids())
  end)

  it("is rolled back when it returns nil and something, which are passed", function()
    local reason = {}
    local values = table.pack(pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      return nil, reason, 7
    end))
    assert.same({ 3, nil, 7 }, { values.n, values[1], values[3] })
    assert.equal(reason, values[2])
    assert.equal("NULL", ids())
  end)

  it("is rolled back when a statement's failure is returned", function()
    local result, err, errno, sqlstate = pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      return tx:query "INSERT INTO moves VALUES (1)"
    end)
    assert.is_nil(result)
    assert.same({ "server", 1062, "23000" }, { err.kind, errno, sqlstate })
    assert.equal("NULL", ids())
  end)

  it("is rolled back when it raises an error of mypool's, which is returned", function()
    local result, err, errno, sqlstate = pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      must(tx:query "INSERT INTO moves VALUES (1)")
    end)
    assert.is_nil(result)
    assert.same({ "server", 1062, "23000" }, { err.kind, errno, sqlstate })
    assert.is_true(mypool.is_error(err))
    assert.equal("NULL", ids())
  end)

  it("is rolled back when it raises anything else, which is raised again untouched", function()
    local thrown = setmetatable({}, { __tostring = error })
    for _, value in ipairs { thrown, 7, "text", print } do
      local ok, caught = pcall(pool.transaction, pool, function(tx)
        must(tx:query "INSERT INTO moves VALUES (1)")
        error(value, 0)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, caught))
    end
    local ok, caught = pcall(pool.transaction, pool, function()
      error(nil)
    end)
    assert.same({ false, nil }, { ok, caught })
    assert.equal("NULL", ids())
  end)

  it("may commit or roll back by itself", function()
    assert.equal("fine", pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      assert.is_true(tx:rollback())
      return "fine"
    end))
    assert.equal("NULL", ids())
    assert.equal("fine", pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      assert.is_true(tx:commit())
      return "fine"
    end))
    assert.equal("1", ids())
  end)

  it("runs on a connection of one's own, too", function()
    local conn <close> = assert(pool:checkout())
    assert.equal("fine", conn:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      return "fine"
    end))
    assert.is_nil((conn:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (2)")
      return nil, "no"
    end)))
    assert.is_false(pcall(conn.transaction, conn, error))
    assert.same({ "1", false }, { ids(), conn:in_transaction() })
    conn:release()
  end)

  it("takes options and a function only", function()
    for _, wrong in ipairs { {}, { 7 }, { {} }, { {}, "f" }, { {}, {} }, { nil, 7 } } do
      mistake("to 'transaction' (", function()
        pool:transaction(table.unpack(wrong, 1, 2))
      end)
    end
    assert.equal("fine", pool:transaction(nil, function()
      return "fine"
    end))
  end)

  it("is not called when there is no connection", function()
    local a, b = pool:checkout(), pool:checkout()
    local called = false
    local result, err = pool:transaction(function()
      called = true
    end)
    assert.is_nil(result)
    assert.same({ "exhausted", false }, { err.kind, called })
    a:release()
    b:release()
  end)

  it("may hold yields", function()
    local run = coroutine.wrap(function()
      return pool:transaction(function(tx)
        must(tx:query("INSERT INTO moves VALUES (?)", coroutine.yield "begun"))
        return "done"
      end)
    end)
    assert.equal("begun", run())
    assert.equal("done", run(5))
    assert.equal("5", ids())
  end)

  it("loses no slot and commits nothing when it is abandoned at a yield", function()
    local small = pools.new(s:options { max_size = 1 })
    local run = coroutine.wrap(function()
      small:transaction(function(tx)
        must(tx:query "INSERT INTO moves VALUES (1)")
        coroutine.yield()
      end)
    end)
    run()
    run = nil -- luacheck: ignore
    assert.equal(0, small:value "SELECT COUNT(*) FROM moves")
  end)
end)

describe("a nested transaction", function()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 2 })
  end)

  it("is a savepoint: what it did is undone alone", function()
    assert(pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      local inner = must(tx:begin())
      must(inner:query "INSERT INTO moves VALUES (2)")
      local innermost = must(inner:begin())
      must(innermost:query "INSERT INTO moves VALUES (3)")
      assert.is_true(innermost:rollback())
      assert.equal(2, inner:value "SELECT COUNT(*) FROM moves")
      assert.is_true(inner:commit())
      do
        local closed <close> = must(tx:begin())
        must(closed:query "INSERT INTO moves VALUES (4)")
      end
      return true
    end))
    assert.equal("1,2", ids())
  end)

  it("runs a function", function()
    assert(pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      assert.equal("inner", tx:transaction(function(inner)
        must(inner:query "INSERT INTO moves VALUES (2)")
        return "inner"
      end))
      local result, err = tx:transaction(function(inner)
        must(inner:query "INSERT INTO moves VALUES (3)")
        must(inner:query "INSERT INTO moves VALUES (1)")
      end)
      assert.is_nil(result)
      assert.equal(1062, err.errno)
      local thrown = {}
      local ok, caught = pcall(tx.transaction, tx, function(inner)
        must(inner:query "INSERT INTO moves VALUES (4)")
        error(thrown)
      end)
      assert.is_false(ok)
      assert.equal(thrown, caught)
      return true
    end))
    assert.equal("1,2", ids())
  end)

  it("goes down with the outer one", function()
    assert.is_nil((pool:transaction(function(tx)
      must(tx:transaction(function(inner)
        return inner:query "INSERT INTO moves VALUES (2)"
      end))
      return nil, "no"
    end)))
    assert.equal("NULL", ids())
  end)
end)
