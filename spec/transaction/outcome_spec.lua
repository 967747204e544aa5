-- Transactions: what is committed, what is undone, and when the function is run again.

local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local must = require "spec.support.must"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local scheduler = require "spec.support.scheduler"

local s = fixture.shared_server()

local function ids()
  return s:sql "SELECT GROUP_CONCAT(id ORDER BY id) FROM app.moves"[1]
end

before_each(function()
  s:sql "CREATE OR REPLACE TABLE app.moves (id INT PRIMARY KEY) ENGINE=InnoDB"
end)

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
      mistake("(mypool.transaction expected, got nil)", function()
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
      ["bad option 'snapshot' (boolean expected, got string)"] = { snapshot = "yes" },
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

describe("a deadlock", function()
  local pool

  before_each(function()
    s:sql "CREATE OR REPLACE TABLE app.accounts (id INT PRIMARY KEY, n INT) ENGINE=InnoDB"
    s:sql "INSERT INTO app.accounts VALUES (1, 100), (2, 100)"
    pool = pools.new(s:options { max_size = 3, wait = scheduler.wait, init_sql = "SET innodb_lock_wait_timeout = 10" })
  end)

  it("is survived by running the victim's function again", function()
    local runs, met = 0, 0
    local function move(from, to)
      return function()
        assert(pool:transaction(function(tx)
          runs = runs + 1
          must(tx:query("UPDATE accounts SET n = n - 10 WHERE id = ?", from))
          met = met + 1
          if runs <= 2 then
            scheduler.await(function()
              return met >= 2
            end)
          end
          must(tx:query("UPDATE accounts SET n = n + 10 WHERE id = ?", to))
          return true
        end))
      end
    end
    scheduler.run(move(1, 2), move(2, 1))
    assert.equal(3, runs)
    assert.same({ "100", "100" }, s:sql "SELECT n FROM app.accounts ORDER BY id")
    assert.equal(0, pool:stats().lent)
  end)

  -- Two transactions by hand that meet in a deadlock. Returns the victim's connection and error.
  local function provoke()
    local a, b = assert(pool:checkout()), assert(pool:checkout())
    local met, victim, failure = 0, nil, nil
    local function move(conn, from, to)
      return function()
        must(conn:query "START TRANSACTION")
        must(conn:query("UPDATE accounts SET n = n - 10 WHERE id = ?", from))
        met = met + 1
        scheduler.await(function()
          return met == 2
        end)
        local result, err = conn:query("UPDATE accounts SET n = n + 10 WHERE id = ?", to)
        if result then
          must(conn:query "COMMIT")
        else
          victim, failure = conn, err
        end
      end
    end
    scheduler.run(move(a, 1, 2), move(b, 2, 1))
    return assert(victim, "there was no deadlock"), failure
  end

  it("is an error that says that nothing was executed, and that another run may succeed", function()
    local _, err = provoke()
    assert.same({ "server", 1213, "40001", "no" }, { err.kind, err.errno, err.sqlstate, err.executed })
    assert.same({ true, false }, { err.retryable, err.fatal })
  end)

  it("refuses further statements until ROLLBACK: they would commit by themselves", function()
    local conn = provoke()
    for _, sql in ipairs { "INSERT INTO moves VALUES (1)", "SELECT 1", "COMMIT", "ROLLBACK TO SAVEPOINT x" } do
      local result, err = conn:query(sql)
      assert.is_nil(result, sql)
      assert.same({ "server", "no", false }, { err.kind, err.executed, err.fatal })
      assert.is_truthy(err.message:find("ROLLBACK", 1, true))
    end
    must(conn:query "ROLLBACK")
    must(conn:query "INSERT INTO moves VALUES (2)")
    assert.equal("2", ids())
  end)

  it("of one borrower does not touch the next", function()
    local conn = provoke()
    local id = conn:id()
    conn:release()
    local a, b = assert(pool:checkout()), assert(pool:checkout())
    local again = a:id() == id and a or b
    assert.equal(id, again:id())
    must(again:query "INSERT INTO moves VALUES (3)")
    assert.equal("3", ids())
  end)
end)

describe("a transaction is run again", function()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 3 })
  end)

  after_each(function()
    assert.equal(0, pool:stats().lent)
  end)

  it("after a lock wait timeout", function()
    local other = assert(pool:checkout())
    s:sql "INSERT INTO app.moves VALUES (1)"
    must(other:query "START TRANSACTION")
    must(other:query "DELETE FROM moves")
    local runs = 0
    assert.is_true(pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query "SET innodb_lock_wait_timeout = 0")
      if runs == 2 then
        must(other:query "ROLLBACK")
      end
      must(tx:query("INSERT INTO moves VALUES (?)", 10 + runs))
      must(tx:query "UPDATE moves SET id = 2 WHERE id = 1")
      return true
    end))
    other:release()
    assert.equal(2, runs)
    assert.equal("2,12", ids())
  end)

  it("after a record was changed under its snapshot", function()
    if not pool:query "SELECT @@innodb_snapshot_isolation" then
      return pending "a server without innodb_snapshot_isolation"
    end
    s:sql "INSERT INTO app.moves VALUES (1)"
    local runs = 0
    assert.is_true(pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query "SET innodb_snapshot_isolation = ON")
      local id = tx:value "SELECT id FROM moves"
      if runs == 1 then
        s:sql "UPDATE app.moves SET id = 2"
      end
      must(tx:query("UPDATE moves SET id = ? + 10 WHERE id = 2 OR id = 1", id))
      return true
    end))
    assert.equal(2, runs)
    assert.equal("12", ids())
  end)

  it("after its session was lost in the middle", function()
    local runs = 0
    local result = assert(pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query("INSERT INTO moves VALUES (?)", runs))
      if runs == 1 then
        s:kill_sessions { tx:value "SELECT CONNECTION_ID()" }
      end
      must(tx:query "INSERT INTO moves VALUES (10)")
      return "done"
    end))
    assert.same({ "done", 2, "2,10" }, { result, runs, ids() })
  end)

  it("after its session was lost before COMMIT could be sent", function()
    local runs = 0
    local result = assert(pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query("INSERT INTO moves VALUES (?)", runs))
      if runs == 1 then
        s:kill_sessions { tx:value "SELECT CONNECTION_ID()" }
      end
      return "done"
    end))
    assert.same({ "done", 2, "2" }, { result, runs, ids() })
  end)

  it("not on a connection of one's own that was lost", function()
    local conn <close> = assert(pool:checkout())
    local runs = 0
    local result, err = conn:transaction(function(tx)
      runs = runs + 1
      must(tx:query "INSERT INTO moves VALUES (1)")
      s:kill_sessions { conn:id() }
      return tx:query "INSERT INTO moves VALUES (2)"
    end)
    conn:release()
    assert.is_nil(result)
    assert.same({ "lost", "no", true, 1 }, { err.kind, err.executed, err.fatal, runs })
    assert.equal("NULL", ids())
  end)

  it("as often as the option retries says", function()
    local other = assert(pool:checkout())
    s:sql "INSERT INTO app.moves VALUES (1)"
    must(other:query "START TRANSACTION")
    must(other:query "DELETE FROM moves")
    for _, case in ipairs { { nil, 3 }, { { retries = 0 }, 1 }, { { retries = 1 }, 2 }, { { retries = 4 }, 5 } } do
      local runs = 0
      local result, err = pool:transaction(case[1], function(tx)
        runs = runs + 1
        must(tx:query "SET innodb_lock_wait_timeout = 0")
        return tx:query "DELETE FROM moves"
      end)
      assert.is_nil(result)
      assert.same({ 1205, true, case[2] }, { err.errno, err.retryable, runs })
    end
    other:release()
  end)

  it("not at all where the pool's retries are 0, unless the option of the transaction says so", function()
    local strict = pools.new(s:options { max_size = 2, retries = 0 })
    local conn <close> = assert(strict:checkout())
    for _, owner in ipairs { strict, conn } do
      for _, case in ipairs { { nil, 1 }, { { isolation = "serializable" }, 1 }, { { retries = 2 }, 3 } } do
        local runs = 0
        local result, err = owner:transaction(case[1], function(tx)
          runs = runs + 1
          return tx:query "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'a deadlock'"
        end)
        assert.is_nil(result)
        assert.same({ 1213, case[2] }, { err.errno, runs })
      end
    end
  end)

  it("not for other errors", function()
    local runs = 0
    pool:transaction(function(tx)
      runs = runs + 1
      return tx:query "SELECT nonexistent"
    end)
    pool:transaction(function()
      runs = runs + 1
      return nil, { errno = 1213 } -- no error of mypool's
    end)
    assert.equal(2, runs)
  end)
end)

describe("a COMMIT whose outcome cannot be known", function()
  local r, pool

  before_each(function()
    r = relay.start { host = s.host, port = s.port }
    pool = pools.new(s:tcp_options { max_size = 1, host = r.host, port = r.port, query_timeout = 5 })
  end)

  after_each(function()
    pools.close()
    r:stop()
  end)

  local function lose_commit(...)
    local cut = table.pack(...)
    local runs = 0
    local result, err, errno = pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query "INSERT INTO moves VALUES (1)")
      r:cut_here(table.unpack(cut))
      return "done"
    end)
    assert.is_nil(result)
    assert.equal(1, runs)
    assert.equal(err.errno, errno)
    assert.same({ "commit_unknown", "unknown", true }, { err.kind, err.executed, err.fatal })
    assert.is_false(err.retryable)
    assert.is_truthy(err.message:find("the reply to COMMIT was lost", 1, true))
    assert.equal(0, pool:stats().lent)
    assert.is_true(pool:ping())
  end

  it("is an error of the kind commit_unknown when the reply is lost, and is not run again", function()
    lose_commit("down", 1, "fin")
    assert.equal("1", ids())
  end)

  it("is the same after a reset of the network connection", function()
    lose_commit("down", 1, "rst")
    assert.equal("1", ids())
  end)

  it("is the same when the COMMIT may not even have arrived", function()
    lose_commit("up", 7, "fin")
    assert.equal("NULL", ids())
  end)

  it("is the same when no reply comes in time", function()
    pool = pools.new(s:tcp_options { max_size = 2, host = r.host, port = r.port, query_timeout = 0.3 })
    lose_commit("down", 0, "hold")
    r:release()
    assert.equal("1", ids())
  end)

  it("is returned by a commit by hand, too", function()
    local tx <close> = assert(pool:begin())
    must(tx:query "INSERT INTO moves VALUES (1)")
    r:cut_here("down", 1, "fin")
    local ok, err = tx:commit()
    assert.is_nil(ok)
    assert.same({ "commit_unknown", "unknown" }, { err.kind, err.executed })
    assert.equal("mypool.transaction (failed to commit)", tostring(tx))
    assert.equal(0, pool:stats().lent)
  end)

  it("does not concern a savepoint: the loss of its session undoes the whole transaction", function()
    local runs = 0
    assert.equal("done", pool:transaction(function(tx)
      runs = runs + 1
      return tx:transaction(function(inner)
        must(inner:query("INSERT INTO moves VALUES (?)", runs))
        if runs == 1 then
          r:cut_here("down", 1, "fin")
        end
        return "done"
      end)
    end))
    assert.same({ 2, "2" }, { runs, ids() })
  end)
end)
