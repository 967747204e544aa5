-- What an error says of its statement: "no" only where nothing of it can have stayed, whatever way it was run.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local must = require "spec.support.must"
local pools = require "spec.support.pools"

local s = fixture.shared_server()
local pool, conn, blocker

-- Ways to run a statement on a connection. Each returns its error.
local ways = {
  query = function(db, sql)
    return select(2, db:query(sql))
  end,
  one = function(db, sql)
    return select(2, db:one(sql))
  end,
  value = function(db, sql)
    return select(2, db:value(sql))
  end,
  ["query with options"] = function(db, sql)
    return select(2, db:query { sql, timeout = 20 })
  end,
  rows = function(db, sql)
    local _, err = pcall(function()
      for _ in must(db:rows(sql)) do -- luacheck: ignore
      end
    end)
    return err
  end,
}

local function prepared(name)
  return function(db, sql)
    local statement, err = db:prepare(sql)
    if not statement then
      return err
    elseif name ~= "rows" then
      return select(2, statement[name](statement))
    end
    return select(
      2,
      pcall(function()
        for _ in must(statement:rows()) do -- luacheck: ignore
        end
      end)
    )
  end
end

for _, name in ipairs { "execute", "one", "value", "rows" } do
  ways["a prepared statement's " .. name] = prepared(name)
end

setup(function()
  s:sql [[
    CREATE OR REPLACE TABLE app.payments (n INT) ENGINE=InnoDB;
    CREATE OR REPLACE TABLE app.accounts (id INT PRIMARY KEY, v INT) ENGINE=InnoDB;
    INSERT INTO app.accounts VALUES (1, 0);
    DELIMITER //
    CREATE OR REPLACE PROCEDURE app.pay() BEGIN
      INSERT INTO payments VALUES (1); UPDATE accounts SET v = v + 1 WHERE id = 1; END//
    CREATE OR REPLACE PROCEDURE app.pay_and_tell() BEGIN
      SELECT 'paid'; INSERT INTO payments VALUES (1); UPDATE accounts SET v = v + 1 WHERE id = 1; END//]]
end)

before_each(function()
  pool, conn = pools.lend(s:options { max_size = 2, init_sql = "SET innodb_lock_wait_timeout = 0" })
  assert(conn:query "DELETE FROM payments")
  blocker = assert(pool:begin())
  assert(blocker:query "SELECT * FROM accounts FOR UPDATE")
end)

after_each(function()
  blocker:rollback()
  conn:release()
  pools.close()
end)

local function says(err, errno, executed, retryable)
  assert.same({ errno, executed, retryable, false }, { err.errno, err.executed, err.retryable, err.fatal })
end

describe("an error of a statement of which a part stays", function()
  for name, way in pairs(ways) do
    it("says that it may have run: a CALL by " .. name, function()
      says(way(conn, "CALL pay()"), 1205, "unknown", false)
      assert.equal(1, conn:value "SELECT COUNT(*) FROM payments")
    end)

    it("says that a part has run once that has told so: a CALL by " .. name, function()
      says(way(conn, "CALL pay_and_tell()"), 1205, "yes", false)
      assert.equal(1, conn:value "SELECT COUNT(*) FROM payments")
    end)
  end

  local partial = {
    { 1205, "-- pay\n  call pay()" },
    { 1205, "/*!50000 CALL pay() */" },
    { 1205, "/*M! CALL pay() */", needs = "/*M!" },
    { 1205, "SET STATEMENT max_statement_time = 10 FOR CALL pay()" },
    { 1205, "EXECUTE IMMEDIATE 'CALL pay()'" },
    { 1205, "BEGIN NOT ATOMIC INSERT INTO payments VALUES (1); DELETE FROM accounts; END" },
    { 1205, "IF TRUE THEN INSERT INTO payments VALUES (1); DELETE FROM accounts; END IF", needs = "BEGIN NOT ATOMIC" },
  }
  for _, case in ipairs(partial) do
    it("says that it may have run: " .. case[2]:gsub("\n", " "), function()
      local lacks = dialect.lacks(case.needs) or dialect.lacks_in(case[2])
      if lacks then
        return pending(lacks)
      end
      says(ways.query(conn, case[2]), case[1], "unknown", false)
      assert.equal(1, conn:value "SELECT COUNT(*) FROM payments")
      says(ways.rows(conn, case[2]), case[1], "unknown", false)
    end)
  end

  it("says so of DDL and accounts", function()
    dialect.run(conn, "CREATE OR REPLACE TABLE there (a INT)")
    says(select(2, conn:query "DROP TABLE there, missing"), 1051, "unknown", false)
    assert.equal(dialect.has "DDL in parts" and 1146 or nil, select(3, conn:query "SELECT * FROM there") or nil)
    dialect.run(conn, "CREATE OR REPLACE USER fresh")
    assert(conn:query "DROP USER fresh")
    says(select(2, conn:query "CREATE USER fresh, app"), 1396, "unknown", false)
    dialect.run(conn, "CREATE OR REPLACE USER fresh") -- some servers have made it, others neither
    assert(conn:query "DROP USER fresh")
  end)

  it("in a transaction lets that run again", function()
    local runs = 0
    assert.equal(
      "paid",
      conn:transaction(function(tx)
        runs = runs + 1
        if runs == 2 then
          blocker:rollback()
        end
        must(tx:query "CALL pay()")
        return "paid"
      end)
    )
    assert.equal(2, runs)
    assert.equal(1, conn:value "SELECT COUNT(*) FROM payments")
    blocker = assert(pool:begin()) -- for after_each
  end)
end)

describe("an error of a statement that the server undoes as a whole", function()
  local whole = {
    { 1205, "UPDATE accounts SET v = 5", true },
    { 1205, "DELETE FROM accounts", true },
    { 1205, "REPLACE accounts VALUES (1, 1)", true },
    { 1205, "INSERT INTO accounts VALUES (1, 1)", true },
    { 1205, "INSERT INTO payments SELECT v FROM accounts FOR UPDATE", true },
    { 1205, "SELECT * FROM accounts LOCK IN SHARE MODE", true },
    { 1205, " (( /* a */ SELECT * FROM accounts FOR UPDATE))", true },
    { 1205, "-- a\n# b\nWITH a AS (SELECT 1) SELECT * FROM accounts FOR UPDATE", true },
    { 1146, "SELECT * FROM missing" },
    { 1146, "SHOW COLUMNS FROM missing" },
    { 1146, "DESCRIBE missing" },
    { 1146, "DESC missing" },
    { 1146, "EXPLAIN SELECT * FROM missing" },
    { 1146, "DO (SELECT 1 FROM missing)" },
    { 1193, "SET missing = 1" },
    { 1049, "USE missing" },
    { 1305, "RELEASE SAVEPOINT missing" },
    { 1305, "ROLLBACK TO missing" },
    { 1065, "" },
  }
  for _, case in ipairs(whole) do
    it("says that nothing was executed: " .. case[2]:gsub("\n", " "), function()
      dialect.needs(case[2]:match "WITH", pending)
      for _, way in pairs(ways) do
        local err = way(conn, case[2])
        if err.errno ~= 1295 then -- what cannot be prepared
          says(err, case[1], "no", case[3] or false)
        end
      end
      assert.equal(0, conn:value "SELECT COUNT(*) FROM payments")
    end)
  end

  it("is the same for many rows, all of which are undone", function()
    assert(conn:query "SET sql_mode = 'STRICT_ALL_TABLES'")
    local result, err = conn:execute_many("INSERT INTO payments VALUES (?)", { { 1 }, { 2 }, { "many" } })
    assert.is_nil(result)
    assert.equal("no", err.executed)
    assert.equal(0, conn:value "SELECT COUNT(*) FROM payments")
  end)

  it("is the same for what was only prepared, or refused by the client", function()
    says(select(2, conn:prepare "CALL missing("), 1064, "no", false)
    local stream = assert(conn:rows "SELECT 1 UNION SELECT 2")
    stream()
    assert.equal("no", select(2, conn:query "CALL pay()").executed)
    stream:close()
    assert.equal(0, conn:value "SELECT COUNT(*) FROM payments")
  end)
end)
