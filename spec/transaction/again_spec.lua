-- When the function of a transaction is run again, and when it is not.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local must = require "spec.support.must"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"

local s = fixture.shared_server()
local ids = fixture.table(s, "moves", "id INT PRIMARY KEY")

after_each(pools.close)

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
    dialect.needs("COM_RESET_CONNECTION", pending)
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

  -- Its session is lost in the first run; `last` is run behind that. Returns the ids that are there in the end.
  local function lose_first_session(last)
    local runs = 0
    local result = assert(pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query("INSERT INTO moves VALUES (?)", runs))
      if runs == 1 then
        s:kill_sessions { tx:value "SELECT CONNECTION_ID()" }
      end
      last(tx)
      return "done"
    end))
    assert.same({ "done", 2 }, { result, runs })
    return ids()
  end

  it("after its session was lost in the middle", function()
    local found = lose_first_session(function(tx)
      must(tx:query "INSERT INTO moves VALUES (10)")
    end)
    assert.equal("2,10", found)
  end)

  it("after its session was lost before COMMIT could be sent", function()
    assert.equal("2", lose_first_session(function() end))
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
    dialect.needs("COM_RESET_CONNECTION", pending)
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
