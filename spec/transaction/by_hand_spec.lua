-- Transactions that a program begins and ends by itself, and the options of all transactions.

local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local must = require "spec.support.must"
local pools = require "spec.support.pools"

local s = fixture.shared_server()
local ids = fixture.table(s, "moves", "id INT PRIMARY KEY")

after_each(pools.close)

describe("a transaction by hand", function()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 2 })
  end)

  it("is committed, and its connection released", function()
    local tx = assert(pool:begin())
    must(tx:query("INSERT INTO moves VALUES (?)", 1))
    assert.same({ id = 1 }, tx:one "SELECT * FROM moves")
    assert.equal(1, tx:value "SELECT id FROM moves")
    assert.equal("NULL", ids())
    assert.equal(1, pool:stats().lent)
    assert.is_true(tx:commit())
    assert.equal("1", ids())
    assert.equal(0, pool:stats().lent)
  end)

  it("is rolled back, and its connection released", function()
    local tx = assert(pool:begin())
    must(tx:query "INSERT INTO moves VALUES (1)")
    assert.is_true(tx:rollback())
    assert.equal("NULL", ids())
    assert.equal(0, pool:stats().lent)
  end)

  it("is rolled back at the end of its block unless it was committed", function()
    do
      local tx <close> = assert(pool:begin())
      must(tx:query "INSERT INTO moves VALUES (1)")
    end
    assert.same({ "NULL", 0 }, { ids(), pool:stats().lent })
    do
      local tx <close> = assert(pool:begin())
      must(tx:query "INSERT INTO moves VALUES (2)")
      assert.is_true(tx:commit())
    end
    assert.same({ "2", 0 }, { ids(), pool:stats().lent })
    assert.is_false(pcall(function()
      local tx <close> = assert(pool:begin())
      must(tx:query "INSERT INTO moves VALUES (3)")
      error "x"
    end))
    assert.same({ "2", 0 }, { ids(), pool:stats().lent })
  end)

  it("on a connection of one's own leaves that connection to its holder", function()
    local conn <close> = assert(pool:checkout())
    local tx = must(conn:begin())
    assert.is_true(conn:in_transaction())
    must(conn:query "INSERT INTO moves VALUES (1)")
    assert.is_true(tx:commit())
    assert.is_false(conn:in_transaction())
    assert.equal(1, conn:value "SELECT id FROM moves")
    do
      local other <close> = must(conn:begin())
      must(other:query "INSERT INTO moves VALUES (2)")
    end
    assert.is_false(conn:in_transaction())
    assert.equal("1", ids())
  end)

  it("is forgotten, and rolled back with its connection", function()
    local small = pools.new(s:options { max_size = 1 })
    local function forget()
      must(must(small:begin()):query "INSERT INTO moves VALUES (1)")
    end
    forget()
    assert.equal(0, small:value "SELECT COUNT(*) FROM moves")
  end)

  it("is shown with its state", function()
    local tx = assert(pool:begin())
    assert.equal("mypool.transaction (open)", tostring(tx))
    tx:commit()
    assert.equal("mypool.transaction (committed)", tostring(tx))
    tx = assert(pool:begin())
    tx:rollback()
    assert.equal("mypool.transaction (rolled back)", tostring(tx))
    assert.is_false(getmetatable(tx))
  end)

  it("raises when it is used after its end", function()
    for _, finish in ipairs { "commit", "rollback" } do
      local tx = assert(pool:begin())
      tx[finish](tx)
      for _, name in ipairs { "query", "one", "value", "commit", "rollback", "begin", "transaction" } do
        mistake(("bad call of '%s' (this transaction was ended: "):format(name), function()
          tx[name](tx, name == "transaction" and print or "SELECT 1")
        end)
      end
    end
    assert.equal(0, pool:stats().lent)
  end)

  it("raises when its methods are given something else as self", function()
    local tx <close> = assert(pool:begin())
    local conn <close> = assert(pool:checkout())
    for _, name in ipairs { "query", "one", "value", "commit", "rollback", "begin", "transaction" } do
      for _, self in ipairs { {}, "tx", 7, pool, conn, { state = "open" } } do
        mistake(("bad argument 'self' to '%s' (mypool.transaction expected, got "):format(name), function()
          tx[name](self, name == "transaction" and print or "SELECT 1")
        end)
      end
      mistake("(mypool.transaction expected, got nil: call it with a colon", function()
        tx[name](nil, name == "transaction" and print or "SELECT 1")
      end)
    end
  end)

  it("raises when the connection is in one already", function()
    local conn <close> = assert(pool:checkout())
    local tx = must(conn:begin())
    mistake("bad call of 'begin' (the connection is in a transaction)", function()
      conn:begin()
    end)
    mistake("bad call of 'transaction' (the connection is in a transaction)", function()
      conn:transaction(print)
    end)
    assert.is_true(tx:commit())
    must(conn:query "START TRANSACTION")
    mistake("bad call of 'begin' (the connection is in a transaction)", function()
      conn:begin()
    end)
  end)

  it("fails, without a connection left out, when it cannot begin", function()
    local down = pools.new { socket = "/nonexistent", retries = 0 }
    local tx, err = down:begin()
    assert.is_nil(tx)
    assert.equal("connect", err.kind)
    assert.equal(0, pool:stats().lent)
  end)

  it("raises when a savepoint is used after the end of its transaction", function()
    for _, finish in ipairs { "commit", "rollback" } do
      local tx = assert(pool:begin())
      local inner = must(tx:begin())
      tx[finish](tx)
      for _, name in ipairs { "query", "one", "value", "commit", "rollback", "begin", "transaction" } do
        mistake(("bad call of '%s' (this transaction was ended: "):format(name), function()
          inner[name](inner, name == "transaction" and print or "INSERT INTO moves VALUES (1)")
        end)
      end
    end
    do
      local tx = assert(pool:begin())
      local inner <close> = must(tx:begin())
      assert.is_truthy(inner)
      tx:commit()
    end
    assert.same({ "NULL", 0 }, { ids(), pool:stats().lent })
  end)
end)

describe("the options of a transaction", function()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 2 })
  end)

  it("set the isolation level of this transaction only", function()
    local level = [[
      SELECT trx_isolation_level FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id = CONNECTION_ID()]]
    local conn <close> = assert(pool:checkout())
    for _, name in ipairs { "read uncommitted", "READ COMMITTED", "repeatable read", "Serializable" } do
      local tx <close> = must(conn:begin { isolation = name })
      must(tx:query "INSERT INTO moves VALUES (1)")
      os.execute "sleep 0.12" -- the server renews INNODB_TRX at most every 0.1 s
      assert.equal(name:upper(), tx:value(level))
    end
    local tx <close> = must(conn:begin())
    must(tx:query "INSERT INTO moves VALUES (1)")
    os.execute "sleep 0.12"
    assert.equal("REPEATABLE READ", tx:value(level))
  end)

  it("make it read-only", function()
    local tx <close> = assert(pool:begin { read_only = true })
    assert.equal(1792, select(3, tx:query "INSERT INTO moves VALUES (1)"))
    assert.equal(0, tx:value "SELECT COUNT(*) FROM moves")
    local writing <close> = assert(pool:begin { read_only = false })
    must(writing:query "INSERT INTO moves VALUES (1)")
  end)

  it("take a consistent snapshot at its begin", function()
    local tx <close> = assert(pool:begin { snapshot = true, read_only = true })
    s:sql "INSERT INTO app.moves VALUES (1)"
    assert.equal(0, tx:value "SELECT COUNT(*) FROM moves")
    assert.is_true(tx:rollback())
    local both <close> = assert(pool:begin { snapshot = true, isolation = "Repeatable Read" })
    assert.equal(0, #must(both.conn:warnings()))
    local later <close> = assert(pool:begin())
    s:sql "INSERT INTO app.moves VALUES (2)"
    assert.equal(2, later:value "SELECT COUNT(*) FROM moves")
  end)

  it("are checked", function()
    local conn <close> = assert(pool:checkout())
    for expected, options in pairs {
      ["unknown option 'readonly' (did you mean 'read_only'?)"] = { readonly = true },
      ["bad option 'isolation' ('read uncommitted', 'read committed', "] = { isolation = "chaos" },
      ["bad option 'isolation'"] = { isolation = 1 },
      ["bad option 'read_only' (boolean expected, got 1)"] = { read_only = 1 },
      ["bad option 'snapshot' (boolean expected, got 'yes')"] = { snapshot = "yes" },
      ["bad option 'snapshot' (the server ignores it with any isolation but 'repeatable read')"] = {
        snapshot = true,
        isolation = "READ committed",
      },
      ["bad option 'retries' (integer from 0 to 1000 expected, got -1)"] = { retries = -1 },
      ["bad argument 'options' to "] = 7,
    } do
      for _, owner in ipairs { pool, conn } do
        mistake(expected, function()
          owner:begin(options)
        end)
        mistake(expected, function()
          owner:transaction(options, print)
        end)
      end
    end
    assert.equal(1, pool:stats().lent)
  end)
end)
