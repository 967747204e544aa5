-- execute_many: one statement for many rows, all of which take effect, or none.

local cqueues = require "cqueues"
local mypool = require "mypool"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"
local server = require "spec.support.server"

describe("execute_many", function()
  local s, pool, conn
  local insert = "INSERT INTO bulk (id, a) VALUES (?, ?)"

  setup(function()
    s = server.shared()
    s:sql "CREATE OR REPLACE TABLE app.bulk (id INT PRIMARY KEY, a VARCHAR(400), b DOUBLE, c LONGBLOB) ENGINE = InnoDB"
  end)

  teardown(function()
    s:sql "DROP TABLE app.bulk"
  end)

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
    conn = assert(pool:checkout())
    assert(conn:query "DELETE FROM bulk")
  end)

  after_each(pools.close)

  local function count()
    return (conn:value "SELECT COUNT(*) FROM bulk")
  end

  local function many(n, first)
    local rows = {}
    for i = 1, n do
      rows[i] = { (first or 0) + i, "row " .. i }
    end
    return rows
  end

  local function iterator(rows)
    local i = 0
    return function()
      i = i + 1
      return rows[i]
    end
  end

  for _, n in ipairs { 0, 1, 2, 999, 1000, 1001, 10000 } do
    it(("takes an array or an iterator of %d rows"):format(n), function()
      assert.same({ affected_rows = n, rows = n }, conn:execute_many(insert, many(n)))
      assert.equal(n, count())
      assert.same({ affected_rows = n, rows = n }, conn:execute_many(insert, iterator(many(n, 20000))))
      assert.equal(2 * n, count())
      local sum = "SELECT COUNT(*) FROM bulk WHERE a = CONCAT('row ', id % 20000)"
      assert.equal(2 * n, (conn:value(sum)))
    end)
  end

  it("works on a pool, and in a transaction", function()
    conn:release()
    assert.same({ affected_rows = 3, rows = 3 }, pool:execute_many(insert, many(3)))
    local tx = assert(pool:begin())
    assert.equal(5, assert(tx:execute_many(insert, many(5, 100))).rows)
    assert(tx:rollback())
    assert.equal(3, (pool:value "SELECT COUNT(*) FROM bulk"))
    conn = assert(pool:checkout())
  end)

  it("runs UPDATE, DELETE and REPLACE", function()
    assert(conn:execute_many(insert, many(100)))
    local changes = { { "x", 1 }, { "y", 2 }, { "z", 900 } }
    local result = assert(conn:execute_many("UPDATE bulk SET a = ? WHERE id = ?", changes))
    assert.same({ affected_rows = 2, rows = 3 }, result)
    assert.same({ { a = "x" }, { a = "y" } }, conn:query "SELECT a FROM bulk WHERE id < 3 ORDER BY id")
    assert.equal(3, conn:execute_many("DELETE FROM bulk WHERE id = ?", { { 1 }, { 2 }, { 3 }, { 900 } }).affected_rows)
    assert.equal(97, count())
    assert(conn:execute_many("REPLACE INTO bulk (id, a) VALUES (?, ?)", { { 4, "r" }, { 5, "r" } }))
    assert.equal(2, (conn:value "SELECT COUNT(*) FROM bulk WHERE a = 'r'"))
  end)

  it("takes statements with RETURNING: what they return is counted", function()
    local sql = insert .. " RETURNING id"
    assert.same({ affected_rows = 2500, rows = 2500 }, conn:execute_many(sql, many(2500)))
    assert.equal(2500, count())
    sql = "DELETE FROM bulk WHERE id = ? RETURNING id"
    assert.same({ affected_rows = 2, rows = 3 }, conn:execute_many(sql, { { 1 }, { 2 }, { 9000 } }))
    assert.equal(2498, count())
  end)

  it("takes NULL and mixed types in each column", function()
    local null = mypool.null
    local rows = {
      { 1, "text", 1, "bytes \xFF" },
      { 2, null, null, null },
      { 3, 7, 2.5, "text" },
      { 4, 2.5, math.maxinteger, mypool.binary "x" },
      { 5, true, -1, 5 },
      { 6, nil, nil, nil },
      { 7, "ä\\'\0", 0.1, ("z"):rep(70000) },
      { 8 },
      { 9, math.mininteger, 1e300, "" },
    }
    assert.equal(9, assert(conn:execute_many("INSERT INTO bulk (id, a, b, c) VALUES (?, ?, ?, ?)", rows)).rows)
    local found = conn:query "SELECT * FROM bulk ORDER BY id"
    assert.same({ id = 1, a = "text", b = 1.0, c = "bytes \xFF" }, found[1])
    assert.same({ id = 2 }, found[2])
    assert.same({ id = 3, a = "7", b = 2.5, c = "text" }, found[3])
    assert.same({ id = 4, a = "2.5", b = math.maxinteger + 0.0, c = "x" }, found[4])
    assert.same({ id = 5, a = "1", b = -1.0, c = "5" }, found[5])
    assert.same({ id = 6 }, found[6])
    assert.same({ id = 7, a = "ä\\'\0", b = 0.1, c = ("z"):rep(70000) }, found[7])
    assert.same({ id = 8 }, found[8])
    assert.same({ id = 9, a = tostring(math.mininteger), b = 1e300, c = "" }, found[9])
  end)

  it("keeps large integers exact beside floats, and NULLs anywhere", function()
    assert(conn:query "CREATE TEMPORARY TABLE exact (id INT, n BIGINT, d DECIMAL(30,5))")
    local big = 2 ^ 53 // 1 | 0
    local rows = { { 1, big + 1, 1.5 }, { 2, 1.0, big + 1 }, { 3, mypool.null, 2 }, { 4, 5, mypool.null } }
    assert(conn:execute_many("INSERT INTO exact VALUES (?, ?, ?)", rows))
    local found = conn:query "SELECT * FROM exact ORDER BY id"
    assert.same({ id = 1, n = big + 1, d = "1.50000" }, found[1])
    assert.same({ id = 2, n = 1, d = "9007199254740993.00000" }, found[2])
    assert.same({ id = 3, d = "2.00000" }, found[3])
    assert.same({ id = 4, n = 5 }, found[4])
    assert(conn:execute_many("INSERT INTO exact VALUES (?, ?, ?)", { { mypool.null, mypool.null, mypool.null } }))
    assert.equal(1, (conn:value "SELECT COUNT(*) FROM exact WHERE id IS NULL AND n IS NULL AND d IS NULL"))
  end)

  local function assert_undone(expected)
    assert.is_false(conn:in_transaction())
    assert.equal(expected or 0, count())
    assert.equal("0", conn:query("SHOW SESSION STATUS LIKE 'Max_statement_time_exceeded'")[1].Value)
  end

  it("undoes everything when a row fails, early or late", function()
    for _, at in ipairs { 1, 500, 1000, 1001, 3500 } do
      local rows = many(3500)
      rows[at] = { at == 1 and 2 or 1, "twice" }
      local result, err, errno, sqlstate = conn:execute_many(insert, rows)
      assert.is_nil(result)
      assert.same({ "server", false, 1062, "23000" }, { err.kind, err.fatal, errno, sqlstate })
      assert_undone()
    end
  end)

  it("undoes no more than itself in a transaction", function()
    local tx = assert(conn:begin())
    assert(tx:query "INSERT INTO bulk (id) VALUES (1)")
    local rows = many(2500, 10)
    rows[2400] = { 1, "twice" }
    local result, err = tx:execute_many(insert, rows)
    assert.is_nil(result)
    assert.equal(1062, err.errno)
    assert.equal(1, (tx:value "SELECT COUNT(*) FROM bulk"))
    assert.equal(2, assert(tx:execute_many(insert, many(2, 10))).rows)
    assert(tx:commit())
    assert.equal(3, count())
  end)

  it("raises for a bad row, names it, and leaves nothing behind", function()
    for at, row in pairs {
      [1] = "x",
      [2] = { 1, 2, 3 },
      [700] = 7,
      [1000] = { 1, {} },
      [1500] = { 1, print },
      [2001] = { 0 / 0, 1 },
      [2002] = false,
    } do
      for _, rows in ipairs { "array", "iterator" } do
        local given = many(2500)
        given[at] = row
        if rows == "iterator" then
          given = iterator(given)
        end
        local message = mistake("bad row " .. at, function()
          local _ = conn:execute_many(insert, given)
        end)
        assert.is_truthy(message)
        assert_undone()
      end
    end
    assert.equal("0", conn:query("SHOW SESSION STATUS LIKE 'Prepared_stmt_count'")[1].Value)
  end)

  it("raises what the iterator raises, and leaves nothing behind", function()
    for _, at in ipairs { 1, 10, 1000, 1001, 2500 } do
      local next_row, n = iterator(many(3000)), 0
      local failure = { "mine" }
      local ok, err = pcall(conn.execute_many, conn, insert, function()
        n = n + 1
        if n == at then
          error(failure, 0)
        end
        return next_row()
      end)
      assert.is_false(ok)
      assert.equal(failure, err)
      assert_undone()
    end
  end)

  it("may read its rows from the connection itself", function()
    local n = 0
    local result = assert(conn:execute_many(insert, function()
      n = n + 1
      if n <= 1500 then
        return { conn:value("SELECT ? + 5", n), "read" }
      end
    end))
    assert.equal(1500, result.rows)
    assert.equal(1500, count())
  end)

  it("refuses what it cannot work with", function()
    for _, rows in ipairs { 7, "x", true } do
      mistake("bad argument 'rows' to 'execute_many' (array or function expected, got " .. type(rows) .. ")", function()
        local _ = conn:execute_many(insert, rows)
      end)
    end
    mistake("bad argument 'rows' to 'execute_many' (array or function expected, got nil)", function()
      local _ = conn:execute_many(insert)
    end)
    mistake("bad argument 'sql' to 'execute_many' (it has no parameters)", function()
      local _ = conn:execute_many("DELETE FROM bulk", { { 1 } })
    end)
    local result, err = conn:execute_many("INSERT INTO nowhere VALUES (?)", { { 1 } })
    assert.is_nil(result)
    assert.equal(1146, err.errno)
    assert.equal("0", conn:query("SHOW SESSION STATUS LIKE 'Prepared_stmt_count'")[1].Value)
  end)

  it("splits what is larger than max_allowed_packet", function()
    local small = server.start { options = { "--max-allowed-packet=300K" } }
    local db = assert(pools.new(small:options { max_size = 1 }):checkout())
    assert(db:query "CREATE TABLE large (id INT PRIMARY KEY, c LONGBLOB)")
    local rows = {}
    for i = 1, 60 do
      rows[i] = { i, ("x"):rep(20000 * (i % 10)) }
    end
    rows[33][2] = ("y"):rep(300 * 1024 - 100)
    local id = db:id()
    assert.same({ affected_rows = 60, rows = 60 }, db:execute_many("INSERT INTO large VALUES (?, ?)", rows))
    assert.equal(id, db:id())
    assert.equal(300 * 1024 - 100, (db:value "SELECT MAX(LENGTH(c)) FROM large"))
    rows = { { 101, "x" }, { 102, ("x"):rep(300 * 1024) } }
    local result, err, errno = db:execute_many("INSERT INTO large VALUES (?, ?)", rows)
    assert.is_nil(result)
    assert.same({ "server", 1153, "no", false }, { err.kind, errno, err.executed, err.fatal })
    assert.equal(60, (db:value "SELECT COUNT(*) FROM large"))
    assert.equal(id, db:id())
    db:release()
    small:remove()
  end)

  it("is lost whole when its connection is killed", function()
    local killer <close> = assert(pools.new(s:options()):checkout())
    local n = 0
    local result, err = conn:execute_many(insert, function()
      n = n + 1
      if n == 1500 then
        assert(killer:query("KILL ?", conn:id()))
      end
      return n <= 3000 and { n, "x" } or nil
    end)
    assert.is_nil(result)
    assert.is_true(err.fatal)
    conn:release()
    conn = assert(pool:checkout())
    assert_undone()
  end)

  it("meets a timeout with nothing left behind", function()
    local shared = pools.new(s:options { max_size = 1, query_timeout = 0.2 })
    local db <close> = assert(shared:checkout())
    local result, err = db:execute_many("INSERT INTO bulk (id, a) VALUES (?, SLEEP(?))", { { 1, 0 }, { 2, 5 } })
    assert.is_nil(result)
    assert.equal("timeout", err.kind)
    local deadline = cqueues.monotime() + 5
    while count() > 0 and cqueues.monotime() < deadline do
      cqueues.sleep(0.01)
    end
    assert_undone()
  end)

  it("works in coroutines, with an iterator that waits", function()
    local shared = pools.new(s:options { max_size = 3, wait = scheduler.wait })
    local tasks = {}
    for i = 1, 6 do
      tasks[i] = function()
        local n = 0
        local result = assert(shared:execute_many(insert, function()
          n = n + 1
          if n % 500 == 0 then
            scheduler.sleep(0.001)
          end
          if n <= 2000 then
            return { i * 10000 + n, ("text"):rep(n % 50) }
          end
        end))
        assert(result.rows == 2000)
      end
    end
    scheduler.run(table.unpack(tasks))
    assert.equal(12000, count())
    assert.equal(0, shared:stats().lent)
  end)

  it("holds the strings of rows that are changed while they are on their way", function()
    local shared = pools.new(s:options { max_size = 1, wait = scheduler.wait })
    local rows = {}
    for i = 1, 900 do
      rows[i] = { i, "string number " .. i }
    end
    rows[900][1] = 1
    local result, err
    scheduler.run(function()
      result, err = shared:execute_many(insert, rows)
    end, function()
      for _ = 1, 50 do
        scheduler.sleep(0.0005)
        for i = 1, 900 do
          rows[i][2] = nil
        end
        collectgarbage()
      end
    end)
    assert.is_nil(result)
    assert.equal(1062, err.errno)
  end)
end)
