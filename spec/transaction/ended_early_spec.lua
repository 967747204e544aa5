-- Transactions that end before their helper ends them: undone by the server, ended by a statement, by a reset. None
-- of them is reported as committed, and nothing is added to what is gone.

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local must = require "spec.support.must"
local pools = require "spec.support.pools"
local server = require "spec.servers.server"

after_each(pools.close)

-- What others have locked; a transaction that nobody keeps would be rolled back.
local held = {}

local function hold(pool, sql)
  local tx = assert(pool:begin())
  must(tx:query(sql))
  held[#held + 1] = tx
end

-- ---- undone by the server ----

describe("a transaction that the server has undone", function()
  local lacks = dialect.lacks "data files that may be deleted"
  if lacks then
    return pending(lacks)
  end
  local s = fixture.server()
  local pool, others
  local lock_pages = "SELECT COUNT(*) FROM pages LOCK IN SHARE MODE"

  -- A lock wait that times out undoes all. In so small a buffer pool a third transaction that locks so many pages
  -- fails with 1206.
  setup(function()
    s:stop()
    assert(os.execute(("cd '%s/data' && rm -f ibdata1 ib_logfile* ibtmp1 undo*"):format(s.folder)))
    s:restart {
      "--innodb-rollback-on-timeout=1",
      "--innodb-lock-wait-timeout=0",
      "--innodb-page-size=4k",
      "--innodb-buffer-pool-size=5M",
    }
    s:sql [[
      CREATE TABLE app.moves (id INT PRIMARY KEY) ENGINE=InnoDB;
      CREATE TABLE app.locked (id INT PRIMARY KEY) ENGINE=InnoDB;
      INSERT INTO app.locked VALUES (1);
      CREATE PROCEDURE app.delete_locked() DELETE FROM locked;
      CREATE TABLE app.pages (id INT PRIMARY KEY, pad VARCHAR(1900) CHARACTER SET latin1) ENGINE=InnoDB;
      INSERT INTO app.pages SELECT seq, REPEAT('x', 1200) FROM seq_1_to_36500]]
    others = mypool.new(s:options())
    for _ = 1, 2 do
      hold(others, lock_pages)
    end
    hold(others, "SELECT * FROM locked FOR UPDATE")
  end)

  before_each(function()
    pool = pools.new(s:options { max_size = 2 })
    must(pool:query "DELETE FROM moves")
  end)

  teardown(function()
    others:close()
  end)

  local function ids()
    return pool:value "SELECT GROUP_CONCAT(id ORDER BY id) FROM moves"
  end

  local ways = {
    { name = "a lock wait timeout", errno = 1205, again = true, sql = "DELETE FROM locked" },
    { name = "a lock wait timeout in a CALL", errno = 1205, again = true, sql = "CALL delete_locked()" },
    { name = "a full lock table", errno = 1206, again = false, sql = lock_pages },
  }

  for _, way in ipairs(ways) do
    local runs
    -- Ignores every error, as a careless program does.
    local function careless(fail)
      runs = 0
      return function(tx)
        runs = runs + 1
        must(tx:query "INSERT INTO moves VALUES (100)")
        fail(tx)
        tx:query "INSERT INTO moves VALUES (200)"
        return "committed"
      end
    end

    local function check_failed(...)
      local result, err, errno = ...
      assert.is_nil(result)
      assert.same({ "server", way.errno, "no" }, { err.kind, err.errno, err.executed })
      assert.equal(err.errno, errno)
      assert.equal(way.again, err.retryable)
      assert.same({ nil, way.again and 3 or 1 }, { ids(), runs })
    end

    it(("by %s is not reported as committed"):format(way.name), function()
      check_failed(pool:transaction(careless(function(tx)
        assert.equal(way.errno, select(3, tx:query(way.sql)))
      end)))
    end)

    it(("by %s of a prepared statement is not reported as committed"):format(way.name), function()
      check_failed(pool:transaction(careless(function(tx)
        assert.equal(way.errno, select(3, must(tx:prepare(way.sql)):execute()))
      end)))
    end)

    it(("by %s while rows are read is not reported as committed"):format(way.name), function()
      check_failed(pool:transaction(careless(function(tx)
        local ok, err = pcall(function()
          for _ in must(tx:rows(way.sql)) do
            error "there are no rows"
          end
        end)
        assert.same({ false, way.errno }, { ok, err.errno })
      end)))
    end)

    it(("by %s in a nested part is not reported as committed"):format(way.name), function()
      check_failed(pool:transaction(careless(function(tx)
        assert.is_nil((tx:transaction(function(nested)
          must(nested:query "INSERT INTO moves VALUES (150)")
          must(nested:query(way.sql))
        end)))
      end)))
    end)

    it(("by %s is not reported as committed by one who commits by himself"):format(way.name), function()
      check_failed(pool:transaction(careless(function(tx)
        tx:query(way.sql)
        assert.equal(way.errno, select(3, tx:commit()))
        tx.query = function() end -- it would raise
      end)))
    end)

    it(("by %s refuses all but ROLLBACK"):format(way.name), function()
      for _, begin in ipairs {
        function(conn)
          return must(conn:begin())
        end,
        function(conn)
          return must(conn:query "START TRANSACTION") and conn
        end,
      } do
        local conn <close> = assert(pool:checkout())
        local tx = begin(conn)
        must(conn:query "INSERT INTO moves VALUES (1)")
        assert.equal(way.errno, select(3, conn:query(way.sql)))
        local statement = "INSERT INTO moves VALUES (2)"
        for _, again in ipairs { conn.query, conn.rows, conn.prepare, conn.value } do
          local result, err, errno = again(conn, statement)
          assert.is_nil(result)
          assert.same({ "server", way.errno, "no", false }, { err.kind, errno, err.executed, err.fatal })
          assert.is_truthy(err.message:find("ROLLBACK before anything else", 1, true))
        end
        assert.is_nil((conn:execute_many("INSERT INTO moves VALUES (?)", { { 3 } })))
        must(conn:query "/* by hand */ ROLLBACK")
        assert.equal(0, conn:value "SELECT COUNT(*) FROM moves")
        if tx ~= conn then
          assert.is_true(tx:rollback())
        end
      end
    end)

    it(("by %s can be rolled back, and not committed"):format(way.name), function()
      for finish, expected in pairs { rollback = true, commit = false } do
        local conn <close> = assert(pool:checkout())
        local tx = must(conn:begin())
        must(tx:query "INSERT INTO moves VALUES (1)")
        tx:query(way.sql)
        local done, err = tx[finish](tx)
        assert.equal(expected, done or false)
        assert.equal(not expected and way.errno or nil, err and err.errno)
        must(conn:query "DO 0")
      end
      assert.is_nil(ids())
    end)
  end

  it("by a statement of execute_many does not commit what came before, nor what comes after", function()
    local holder = assert(others:begin())
    must(holder:query "INSERT INTO moves VALUES (1500)")
    local conn <close> = assert(pool:checkout())
    must(conn:query "START TRANSACTION")
    must(conn:query "INSERT INTO moves VALUES (1)")
    local result, err = conn:execute_many("INSERT INTO moves VALUES (?)", { { 2 }, { 1500 } })
    assert.is_nil(result)
    assert.same({ 1205, "no" }, { err.errno, err.executed })
    assert.equal(1205, select(3, conn:query "INSERT INTO moves VALUES (3)"))
    assert.equal(1205, select(3, conn:query "COMMIT"))
    must(conn:query "ROLLBACK")
    must(holder:rollback())
    assert.is_nil(ids())
  end)

  it("is left open by the same error where the server undoes the statement alone", function()
    local other = server.shared()
    other:sql [[CREATE OR REPLACE TABLE app.moves (id INT PRIMARY KEY) ENGINE=InnoDB;
      INSERT INTO app.moves VALUES (1); CREATE OR REPLACE PROCEDURE app.delete_moves() DELETE FROM moves]]
    local there = pools.new(other:options { max_size = 3, init_sql = "SET innodb_lock_wait_timeout = 0" })
    local holder <close> = assert(there:begin())
    must(holder:query "SELECT * FROM moves WHERE id = 1 FOR UPDATE")
    assert.equal(
      "committed",
      there:transaction(function(tx)
        must(tx:query "INSERT INTO moves VALUES (100)")
        assert.equal(1205, select(3, tx:query "DELETE FROM moves WHERE id = 1"))
        assert.equal(1205, select(3, tx:query "CALL delete_moves()"))
        must(tx:query "INSERT INTO moves VALUES (200)")
        return "committed"
      end)
    )
    assert.equal("1,100,200", other:sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM app.moves")[1])
  end)
end)

-- ---- ended by a statement ----

local enders = {
  { "ALTER TABLE ended COMMENT 'x'", "ALTER" },
  { "TRUNCATE ended", "TRUNCATE" },
  { "LOCK TABLES moves WRITE", "LOCK" },
  { "COMMIT", "COMMIT" },
  { "/* by hand */ commit and chain", "COMMIT" },
  { "BEGIN", "BEGIN" },
  { "START TRANSACTION", "START" },
  { "CALL commits()", "CALL" },
  { "CALL rolls_back()", "CALL" },
  { "BEGIN NOT ATOMIC COMMIT; END", "BEGIN" },
  { "EXECUTE IMMEDIATE 'COMMIT'", "EXECUTE" },
  { "CREATE TABLE moves (a INT)", "CREATE", errno = 1050 },
  { "DROP TABLE missing", "DROP", errno = 1051 },
  { "CALL commits_and_fails()", "CALL", errno = 1644 },
  { "CALL commits_and_times_out()", "CALL", errno = 1205 },
}

local ways = {
  query = function(conn, sql)
    return conn:query(sql)
  end,
  ["a prepared statement"] = function(conn, sql)
    local statement <close> = must(conn:prepare(sql))
    return statement:execute()
  end,
}

local function run(way, conn, ender)
  local result, err, errno = ways[way](conn, ender[1])
  assert.equal(ender.errno, errno)
  assert.equal(ender.errno and "unknown" or nil, err and err.executed)
  return result
end

local procedures = [[
  CREATE OR REPLACE TABLE app.moves (id INT PRIMARY KEY) ENGINE=InnoDB;
  CREATE OR REPLACE PROCEDURE app.commits() COMMIT;
  CREATE OR REPLACE PROCEDURE app.rolls_back() ROLLBACK;
  CREATE OR REPLACE TABLE app.ended (a INT);
  CREATE OR REPLACE TABLE app.locked (id INT PRIMARY KEY) ENGINE=InnoDB;
  INSERT INTO app.locked VALUES (1);
  DELIMITER //
  CREATE OR REPLACE PROCEDURE app.fails() BEGIN
    INSERT IGNORE INTO moves VALUES (7); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END//
  CREATE OR REPLACE PROCEDURE app.commits_and_fails() BEGIN
    COMMIT; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END//
  CREATE OR REPLACE PROCEDURE app.commits_and_times_out() BEGIN
    COMMIT; DELETE FROM locked; END//]]

describe("a transaction that a statement in it has ended", function()
  local s = fixture.shared_server()
  local pool, conn, others

  setup(function()
    s:sql(procedures)
    others = mypool.new(s:options())
    hold(others, "SELECT * FROM locked FOR UPDATE")
  end)

  before_each(function()
    pool, conn = pools.lend(s:options { max_size = 2, init_sql = "SET innodb_lock_wait_timeout = 0" })
    must(conn:query "DELETE FROM moves")
  end)

  after_each(function()
    conn:release()
  end)

  teardown(function()
    others:close()
  end)

  local function is_told(err, word)
    assert.same({ "server", "unknown", false, false }, { err.kind, err.executed, err.retryable, err.fatal })
    assert.is_truthy(err.message:find(word .. " has ended this transaction", 1, true), err.message)
  end

  local function refuses(owner)
    local result, err = owner:query "INSERT INTO moves VALUES (2)"
    assert.is_nil(result)
    assert.same({ "server", "no", false }, { err.kind, err.executed, err.fatal })
  end

  for way in pairs(ways) do
    for _, ender in ipairs(enders) do
      if way == "query" or not ender[1]:find "NOT ATOMIC" and not ender[1]:find "IMMEDIATE" then
        it(("(%s, by %s) says so at its end"):format(ender[1], way), function()
          local begins = ender[1]:find "^LOCK" or ender[1]:find "^BEGIN$" or ender[1]:find "^START"
          local lacks = dialect.lacks_in(ender[1])
            or way ~= "query" and begins and dialect.lacks "prepared BEGIN"
          if lacks then
            return pending(lacks)
          end
          for _, finish in ipairs { "rollback", "commit" } do
            must(conn:query "DELETE FROM moves")
            local tx = must(conn:begin())
            must(tx:query "INSERT INTO moves VALUES (1)")
            run(way, conn, ender)
            refuses(tx)
            refuses(conn)
            local done, err = tx[finish](tx)
            assert.is_nil(done)
            is_told(err, ender[2])
            must(conn:query "UNLOCK TABLES")
            assert.is_false(conn:in_transaction())
            must(conn:query "INSERT INTO moves VALUES (3)")
            local rows = ender[1] == "CALL rolls_back()" and "3" or "1,3"
            assert.equal(rows, conn:value "SELECT GROUP_CONCAT(id ORDER BY id) FROM moves")
          end
        end)
      end
    end
  end

  local outcomes = { "returns", "returns an error", "returns the error", "raises an error", "does not look" }
  for _, ender in ipairs(enders) do
    it(("(%s) fails, and is not run again, whatever its function does"):format(ender[1]), function()
      local lacks = dialect.lacks_in(ender[1])
      if lacks then
        return pending(lacks)
      end
      for _, outcome in ipairs(outcomes) do
        must(conn:query "DELETE FROM moves")
        local runs = 0
        local result, err = pool:transaction(function(tx)
          runs = runs + 1
          must(tx:query("INSERT INTO moves VALUES (?)", runs))
          local done, why = tx:query(ender[1])
          if outcome == "returns an error" then
            return nil, "no"
          elseif outcome == "returns the error" and not done then
            return nil, why
          elseif outcome == "raises an error" then
            must(done, why)
            must(tx:query "INSERT INTO moves VALUES (2)")
          elseif outcome == "does not look" then
            tx:query "INSERT INTO moves VALUES (2)"
          end
          return "committed"
        end)
        assert.is_nil(result)
        is_told(err, ender[2])
        assert.equal(1, runs)
        if outcome == "returns the error" and ender.errno then
          assert.is_truthy(err.message:find("it was to be rolled back after this: ", 1, true), err.message)
        end
        assert.equal(ender[1] == "CALL rolls_back()" and 0 or 1, pool:value "SELECT COUNT(*) FROM moves")
      end
    end)
  end

  it("raises again what its function raised, if that is no error of mypool's", function()
    local thrown = {}
    local ok, caught = pcall(pool.transaction, pool, function(tx)
      must(tx:query "COMMIT")
      error(thrown)
    end)
    assert.same({ false, true }, { ok, rawequal(thrown, caught) })
  end)

  it("takes what is nested in it along", function()
    local result, err = pool:transaction(function(tx)
      tx:transaction(function(nested)
        must(nested:query "INSERT INTO moves VALUES (1)")
        must(nested:query "ALTER TABLE ended COMMENT 'x'")
        return nested:query "INSERT INTO moves VALUES (2)"
      end)
      refuses(tx)
      return "committed"
    end)
    assert.is_nil(result)
    is_told(err, "ALTER")
    assert.equal("1", pool:value "SELECT GROUP_CONCAT(id) FROM moves")
  end)

  it("does not let execute_many write a part of its rows", function()
    for _, by_hand in ipairs { true, false } do
      must(conn:query "DELETE FROM moves")
      if by_hand then
        must(conn:query "START TRANSACTION")
      end
      local n = 0
      local result, err = conn:execute_many("INSERT INTO moves VALUES (?)", function()
        n = n + 1
        if n == 1500 then
          must(conn:query "ALTER TABLE ended COMMENT 'x'")
        end
        return n <= 2500 and { n } or nil
      end)
      assert.is_nil(result)
      assert.is_truthy(err.message:find("ALTER has ended this transaction", 1, true), err.message)
      must(conn:query "ROLLBACK")
      assert.equal(1000, conn:value "SELECT COUNT(*) FROM moves") -- those that ALTER has committed
    end
  end)

  it("goes on after a CALL or DDL that failed without ending it", function()
    assert.equal(
      "committed",
      pool:transaction(function(tx)
        must(tx:query "INSERT INTO moves VALUES (1)")
        assert.equal(1644, select(3, tx:query "CALL fails()"))
        assert.equal(1644, select(3, must(tx:prepare "CALL fails()"):execute()))
        assert.is_false(pcall(function()
          for _ in must(tx:rows "CALL fails()") do
            error "there are no rows"
          end
        end))
        assert.equal(1305, select(3, tx:query "CALL missing()"))
        must(tx:query "CREATE TEMPORARY TABLE fine (a INT)")
        tx:transaction(function(nested)
          must(nested:query "DELETE FROM moves")
          must(nested:query "CALL fails()")
        end)
        must(tx:query "INSERT INTO moves VALUES (2)")
        return "committed"
      end)
    )
    assert.equal("1,2,7", pool:value "SELECT GROUP_CONCAT(id ORDER BY id) FROM moves")
  end)

  it("keeps the warnings of the statement that failed", function()
    must(conn:query "START TRANSACTION")
    assert.equal(1644, select(3, conn:query "CALL fails()"))
    local warnings = must(conn:warnings())
    assert.same({ 1644, "no" }, { warnings[1].code, warnings[1].message })
  end)

  it("says so of an error that comes behind the first result", function()
    s:sql [[DELIMITER //
      CREATE OR REPLACE PROCEDURE app.selects_commits_and_fails() BEGIN
        SELECT 1; COMMIT; SELECT 2; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END//]]
    for _, prepared in ipairs { false, true } do
      must(conn:query "DELETE FROM moves")
      local tx = must(conn:begin())
      must(tx:query "INSERT INTO moves VALUES (1)")
      local source = prepared and must(tx:prepare "CALL selects_commits_and_fails()") or conn
      local ok, err = pcall(function()
        local sql = { not prepared and "CALL selects_commits_and_fails()" or nil }
        local rows = table.pack(source:rows(table.unpack(sql)))
        for _ in table.unpack(rows, 1, rows.n) do
        end
      end)
      assert.is_false(ok)
      assert.same({ 1644, "yes" }, { err.errno, err.executed })
      refuses(tx)
      is_told(select(2, tx:rollback()), "CALL")
    end
  end)
end)

-- ---- ended by hand, by a reset, or not at all ----

describe("a transaction", function()
  local s, pool, conn

  before_each(function()
    s = server.shared()
    s:sql "CREATE OR REPLACE TABLE app.moves (id INT PRIMARY KEY) ENGINE=InnoDB"
    pool, conn = pools.lend(s:options { max_size = 2 })
  end)

  after_each(function()
    conn:release()
  end)

  local enders_of_all = {
    ["ROLLBACK by hand"] = function()
      must(conn:query "ROLLBACK")
    end,
    ["a reset"] = function()
      must(conn:reset())
    end,
  }

  for name, finish in pairs(enders_of_all) do
    it("that was undone by " .. name .. " cannot be committed, and accepts nothing more", function()
      dialect.needs("COM_RESET_CONNECTION", pending)
      local tx = must(conn:begin())
      local nested = must(tx:begin())
      must(tx:query "INSERT INTO moves VALUES (1)")
      finish()
      for _, failed in ipairs { { tx:query "INSERT INTO moves VALUES (2)" }, { nested:commit() }, { tx:begin() } } do
        assert.is_nil(failed[1])
        assert.same({ "server", "no", false }, { failed[2].kind, failed[2].executed, failed[2].fatal })
        assert.is_truthy(failed[2].message:find("this transaction is over", 1, true))
      end
      local done, err = tx:commit()
      assert.is_nil(done)
      assert.same({ "server", "no" }, { err.kind, err.executed })
      assert.equal(0, conn:value "SELECT COUNT(*) FROM moves")
    end)

    it("that a statement had ended before " .. name .. " may have been committed", function()
      dialect.needs("COM_RESET_CONNECTION", pending)
      for _, last in ipairs { "rollback", "commit" } do
        local tx = must(conn:begin())
        local nested = must(tx:begin())
        must(tx:query "DELETE FROM moves")
        must(tx:query "INSERT INTO moves VALUES (1)")
        must(tx:query "ALTER TABLE ended COMMENT 'x'")
        finish()
        for _, ending in ipairs { nested, tx } do
          local done, err = ending[last](ending)
          assert.is_nil(done)
          assert.same({ "server", "unknown" }, { err.kind, err.executed })
        end
        assert.equal(1, conn:value "SELECT COUNT(*) FROM moves")
      end
    end)

    it("that was undone by " .. name .. " is rolled back, and the next one is not touched by it", function()
      dialect.needs("COM_RESET_CONNECTION", pending)
      for _, last in ipairs { "rollback", "commit" } do
        local tx = must(conn:begin())
        must(tx:query "INSERT INTO moves VALUES (1)")
        finish()
        local following = must(conn:begin())
        must(following:query "INSERT INTO moves VALUES (2)")
        assert.equal(last == "rollback", tx[last](tx) or false)
        assert.is_true(conn:in_transaction())
        assert.is_true(following:rollback())
        assert.equal(0, conn:value "SELECT COUNT(*) FROM moves")
      end
    end)
  end

  it("that was undone by hand is not reported as committed", function()
    local runs = 0
    local result, err = pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query "INSERT INTO moves VALUES (1)")
      must(tx:query "ROLLBACK")
      assert.is_nil((tx:query "INSERT INTO moves VALUES (2)"))
      return "committed"
    end)
    assert.is_nil(result)
    assert.same({ "no", 1 }, { err.executed, runs })
    assert.equal(0, conn:value "SELECT COUNT(*) FROM moves")
  end)

  it("whose function could not commit it has failed, whatever the function returns", function()
    local result, err = pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      must(tx:query "COMMIT")
      assert.is_nil((tx:commit()))
      return "committed"
    end)
    assert.is_nil(result)
    assert.equal("unknown", err.executed)
  end)

  it("that cannot be rolled back in part cannot be committed", function()
    local result, err = pool:transaction(function(tx)
      must(tx:query "INSERT INTO moves VALUES (1)")
      local nested = must(tx:begin())
      must(nested:query "INSERT INTO moves VALUES (2)")
      must(tx:query "RELEASE SAVEPOINT mypool_2")
      assert.equal(1305, select(3, nested:rollback()))
      local refused, why = tx:query "INSERT INTO moves VALUES (3)"
      assert.is_nil(refused)
      assert.is_truthy(why.message:find("could not be rolled back", 1, true))
      return "committed"
    end)
    assert.is_nil(result)
    assert.same({ "server", "no" }, { err.kind, err.executed })
    assert.is_true(mypool.is_error(err))
    assert.equal(0, conn:value "SELECT COUNT(*) FROM moves")
  end)

  it("that cannot be ended while rows are being read refuses all but ROLLBACK afterwards", function()
    for _, finish in ipairs { "rollback", "commit" } do
      local tx = must(conn:begin())
      must(tx:query "INSERT INTO moves VALUES (1)")
      local stream = must(tx:rows "SELECT seq FROM seq_1_to_100")
      stream()
      assert.equal(2014, select(3, tx[finish](tx)))
      stream:close()
      assert.is_nil((conn:query "INSERT INTO moves VALUES (2)"))
      must(conn:query "ROLLBACK")
      assert.equal(0, conn:value "SELECT COUNT(*) FROM moves")
    end
  end)
end)
