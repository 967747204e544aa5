-- execute_many: one statement for many rows, all of which take effect, or none.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"
local server = require "spec.servers.server"
local unbound = require "spec.servers.unbound"

-- start(server): an object whose options(extra) are those of pools to it, and which ends with stop().
local function promises(start, binding)
  local s = fixture.shared_server()
  local way = fixture.started(function()
    return start(s)
  end)
  local pool, conn
  local insert = "INSERT INTO bulk (id, a) VALUES (?, ?)"

  setup(function()
    s:sql "CREATE OR REPLACE TABLE app.bulk (id INT PRIMARY KEY, a VARCHAR(400), b DOUBLE, c LONGBLOB) ENGINE = InnoDB"
  end)

  teardown(function()
    s:sql "DROP TABLE app.bulk"
  end)

  before_each(function()
    pool, conn = pools.lend(way:options { max_size = 1 })
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
    dialect.needs("RETURNING", pending)
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

  it("keeps floats, and integers and NULLs beside them, as the floats they are", function()
    assert(conn:query "CREATE TEMPORARY TABLE floats (id INT, n DOUBLE, kind VARCHAR(20))")
    local big = 2 ^ 53 // 1 | 0
    local given = { 0.1, big, 1 / 3, -big, mypool.null, 1.7976931348623157e308, 5e-324, 7, true, -2.5 }
    local rows = {}
    for i, value in ipairs(given) do
      rows[i] = { i, value, i + 0.5 }
    end
    rows[#rows + 1] = { #rows + 1 }
    -- Of a number CHARSET says that it is no text.
    local result = assert(conn:execute_many("INSERT INTO floats VALUES (?, ?, CHARSET(?))", rows))
    assert.same({ affected_rows = #rows, rows = #rows }, result)
    local found = conn:query "SELECT n, kind FROM floats ORDER BY id"
    for i, value in ipairs(given) do
      local expected = value ~= mypool.null and (value == true and 1.0 or value + 0.0) or nil
      assert.equal(expected, found[i].n)
      assert.equal("binary", found[i].kind)
    end
    assert.is_nil(found[#rows].n)
  end)

  local function assert_undone(expected)
    assert.is_false(conn:in_transaction())
    assert.equal(expected or 0, count())
    local exceeded = conn:one "SHOW SESSION STATUS LIKE 'Max_statement_time_exceeded'" -- MariaDB's
    assert.equal("0", exceeded and exceeded.Value or "0")
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

  it("fails when its rows leave a stream of the connection open, and leaves nothing behind", function()
    local n = 0
    local stream
    local result, err, errno = conn:execute_many(insert, function()
      n = n + 1
      if n == 1500 then
        stream = assert(conn:rows "SELECT seq FROM seq_1_to_100000")
        assert.same({ seq = 1 }, stream())
      end
      return n <= 2000 and { n, "x" } or nil
    end)
    assert.is_nil(result)
    assert.same({ "protocol", 2014, "no" }, { err.kind, errno, err.executed })
    assert.equal("rows are being read one by one: end that loop first", err.message)
    conn:release()
    conn = assert(pool:checkout())
    assert_undone()
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
    local to_small = start(small)
    local db = assert(pools.new(to_small:options { max_size = 1 }):checkout())
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
    local zeros = mypool.binary(("\0"):rep(200 * 1024)) -- as text, twice as long
    assert.equal(2, assert(db:execute_many("INSERT INTO large VALUES (?, ?)", { { 61, zeros }, { 62, zeros } })).rows)
    assert.equal(2, (db:value("SELECT COUNT(*) FROM large WHERE c = REPEAT(?, 204800)", mypool.binary "\0")))
    assert(db:query "DELETE FROM large WHERE id > 60")
    rows = { { 101, "x" }, { 102, ("x"):rep(300 * 1024) } }
    local result, err, errno = db:execute_many("INSERT INTO large VALUES (?, ?)", rows)
    assert.is_nil(result)
    assert.same({ "server", 1153, "no", false }, { err.kind, errno, err.executed, err.fatal })
    assert.equal(60, (db:value "SELECT COUNT(*) FROM large"))
    assert.equal(id, db:id())
    db:release()
    to_small:stop()
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
    local shared = pools.new(way:options { max_size = 1, query_timeout = 0.2 })
    local db <close> = assert(shared:checkout())
    local result, err = db:execute_many("INSERT INTO bulk (id, a) VALUES (?, SLEEP(?))", { { 1, 0 }, { 2, 5 } })
    assert.is_nil(result)
    assert.equal("timeout", err.kind)
    eventually(function()
      return count() == 0
    end)
    assert_undone()
  end)

  it("works in coroutines, with an iterator that waits", function()
    local shared = pools.new(way:options { max_size = binding and 3 or 1, wait = scheduler.wait })
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
    local shared = pools.new(way:options { max_size = 1, wait = scheduler.wait })
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
end

describe("execute_many", function()
  promises(unbound.direct, true)
end)

describe("execute_many on a server without array binding", function()
  promises(unbound.start, false)

  local s = fixture.shared_server()
  local way = fixture.started(function()
    return unbound.start(s)
  end)
  local conn

  setup(function()
    s:sql "CREATE OR REPLACE TABLE app.unbound (id INT PRIMARY KEY, a VARCHAR(400), n INT NOT NULL DEFAULT 0)"
    s:sql "CREATE OR REPLACE VIEW app.unbound_pairs AS SELECT id, a FROM app.unbound"
  end)

  teardown(function()
    s:sql "DROP VIEW app.unbound_pairs"
    s:sql "DROP TABLE app.unbound"
  end)

  local function connect(extra)
    conn = assert(pools.new(way:options(extra)):checkout())
    assert(conn:query "DELETE FROM unbound")
  end

  after_each(pools.close)

  local function many(n)
    local rows = {}
    for i = 1, n do
      rows[i] = { i, "row " .. i }
    end
    return rows
  end

  local function status(name)
    return tonumber(conn:query("SHOW SESSION STATUS LIKE ?", name)[1].Value)
  end

  -- How many texts wrote rows, how many statements did by themselves, and the rows affected.
  local function counted(sql, rows)
    local texts, executed = status "Com_insert" + status "Com_replace", status "Com_stmt_execute"
    local result = assert(conn:execute_many(sql, rows))
    assert.equal(#rows, result.rows)
    executed = status "Com_stmt_execute" - executed
    if executed > 0 then
      return 0, executed, result.affected_rows
    end
    return status "Com_insert" + status "Com_replace" - texts, 0, result.affected_rows
  end

  for _, sql in ipairs {
    "INSERT INTO unbound (id, a) VALUES (?, ?)",
    "insert into app.unbound(id,a)values(?,?)",
    " \n INSERT\tunbound\n(id, a)\nVALUES\n( ? , ? )\n",
    "INSERT IGNORE INTO `app`.`unbound` (`id`, `a`) VALUE(?, ?)",
    "REPLACE unbound (id, a) VALUES (?, ?)",
    "INSERT unbound_pairs VALUES (?, ?)",
    "INSERT INTO unbound (id, a) VALUES (?, ?) ON DUPLICATE KEY UPDATE a = CONCAT(VALUES(a), '`(')",
    "INSERT INTO unbound (id, a) VALUES (?,?)ON DUPLICATE KEY UPDATE n = n + 1 -- again",
  } do
    it("sends many rows as one text: " .. sql, function()
      connect()
      assert.same({ 3, 0, 2500 }, { counted(sql, many(2500)) })
      assert.equal(2500, (conn:value "SELECT COUNT(*) FROM unbound WHERE a = CONCAT('row ', id)"))
    end)
  end

  for _, sql in ipairs {
    "INSERT INTO unbound (id, a, n) VALUES (?, ?, 0)",
    "INSERT INTO unbound (id, a) VALUES (?, CONCAT(?))",
    "INSERT INTO unbound (id, a) VALUES (? + 0, ?)",
    "INSERT INTO unbound (id, a) /* VALUES (?, ?) */ VALUES (?, ?)",
    "INSERT INTO unbound (id, a) VALUES (?, ?) /* '*/",
    "INSERT INTO unbound (id, a) VALUES /*! (?, ?) */",
    "INSERT INTO unbound (id, a) -- VALUES (?, ?)\nVALUES (?, ?)",
    "INSERT INTO unbound (id, a) SELECT ?, ?",
    "INSERT INTO unbound (id, a) SELECT id, a FROM unbound WHERE FALSE UNION VALUES (?, ?)",
    "INSERT LOW_PRIORITY INTO unbound (id, a) VALUES (?, ?)",
    "INSERT INTO unbound SET id = ?, a = ?",
    "INSERT INTO unbound (id, a) VALUES (?, ?) RETURNING id",
    "INSERT INTO unbound (id, a) VALUES (?, ?) ON DUPLICATE KEY UPDATE n = 1 RETURNING id",
    "INSERT INTO unbound (id, a) VALUES (?, ?) ON DUPLICATE KEY UPDATE a = '?'",
    "INSERT INTO unbound (id, a) VALUES (?, ?);",
  } do
    it("sends row after row what is anything else: " .. sql, function()
      local lacks = dialect.lacks_in(sql)
      if lacks then
        return pending(lacks)
      end
      connect()
      assert.same({ 0, 20, 20 }, { counted(sql, many(20)) })
      assert.equal(20, (conn:value "SELECT COUNT(*) FROM unbound WHERE a = CONCAT('row ', id)"))
    end)
  end

  it("sends row after row what has several groups, or a parameter behind the only one", function()
    connect()
    local sql = "INSERT INTO unbound (id, a) VALUES (?, ?), (?, ?)"
    assert.same({ 0, 2, 4 }, { counted(sql, { { 1, "a", 2, "b" }, { 3, "c", 4, "d" } }) })
    sql = "INSERT INTO unbound (id, a) VALUES (?, ?) ON DUPLICATE KEY UPDATE a = ?"
    assert.same({ 0, 2, 4 }, { counted(sql, { { 1, "a", "x" }, { 2, "b", "y" } }) })
    assert.same({ { a = "x" }, { a = "y" } }, conn:query "SELECT a FROM unbound WHERE id < 3 ORDER BY id")
  end)

  it("does not take names that look like values for them", function()
    connect()
    assert(conn:query "CREATE TEMPORARY TABLE `odd values (?)` (`a VALUES (?, ?)` INT, `)` INT)")
    local sql = "INSERT INTO `odd values (?)` (`a VALUES (?, ?)`, `)`) VALUES (?, ?)"
    assert.same({ 0, 2, 2 }, { counted(sql, { { 1, 2 }, { 3, 4 } }) })
    sql = "INSERT INTO `odd values (?)` SELECT ?, 2"
    assert.same({ 0, 2, 2 }, { counted(sql, { { 5 }, { 6 } }) })
    local kept = conn:query({ "SELECT * FROM `odd values (?)`", rows = "array" })
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 2 }, { 6, 2 } }, kept)
  end)

  it("does not take a call of what is named values for an INSERT", function()
    connect()
    s:sql "CREATE OR REPLACE PROCEDURE app.`values` (n INT) INSERT INTO app.unbound (id) VALUES (n)"
    local result, err = conn:execute_many("CALL app.values(?)", { { 1 }, { 2 }, { 3 } })
    s:sql "DROP PROCEDURE app.`values`"
    assert(result, err)
    assert.equal(3, (conn:value "SELECT COUNT(*) FROM unbound"))
  end)

  it("refuses NULL for a column that is NOT NULL, in every mode", function()
    local sql = "INSERT INTO unbound (id, n) VALUES (?, ?)"
    for _, mode in ipairs { "", "STRICT_TRANS_TABLES", "STRICT_ALL_TABLES" } do
      connect { init_sql = ("SET sql_mode = '%s'"):format(mode) }
      for _, missing in ipairs { false, true } do
        local rows = { { 1, 1 }, { 2, missing and mypool.null or nil }, { 3, 1 } }
        local result, err = conn:execute_many(sql, rows)
        assert.is_nil(result)
        assert.equal(1048, err.errno)
        assert.equal(0, (conn:value "SELECT COUNT(*) FROM unbound"))
      end
      assert.same({ 1, 0, 2 }, { counted(sql, { { 1, 1 }, { 2, 2 } }) })
    end
  end)

  it("stores the rows as they were given, whatever becomes of them while it waits", function()
    local given = {}
    local function wait(...)
      for _, row in ipairs(given) do
        row[2] = print
      end
      return scheduler.wait(...)
    end
    connect { max_size = 1 }
    local shared = pools.new(way:options { max_size = 1, wait = wait })
    local rows = many(500)
    rows[501] = { 501 } -- for its NULL it asks for the mode
    scheduler.run(function()
      assert(shared:execute_many("INSERT INTO unbound (id, a) VALUES (?, ?)", function()
        local row = table.remove(rows)
        given[#given + 1] = row
        return row
      end))
    end)
    assert.equal(500, (conn:value "SELECT COUNT(*) FROM unbound WHERE a = CONCAT('row ', id)"))
  end)

  it("refuses a name or a list as a value", function()
    connect()
    for _, wrong in ipairs { mypool.ident "a", mypool.list { 1, 2 } } do
      mistake("bad row 2, parameter 2", function()
        local _ = conn:execute_many("INSERT INTO unbound (id, a) VALUES (?, ?)", { { 1, 2 }, { 2, wrong } })
      end)
      assert.equal(0, (conn:value "SELECT COUNT(*) FROM unbound"))
    end
  end)

  it("counts rows that were there already", function()
    connect()
    assert(conn:execute_many("INSERT INTO unbound (id, a) VALUES (?, ?)", many(10)))
    local sql = "INSERT INTO unbound (id, a) VALUES (?, ?) ON DUPLICATE KEY UPDATE a = VALUES(a), n = n + 1"
    assert.same({ 1, 0, 30 }, { counted(sql, many(20)) })
    assert.same({ 1, 0, 5 }, { counted("INSERT IGNORE INTO unbound (id, a) VALUES (?, ?)", many(25)) })
    assert.same({ 1, 0, 40 }, { counted("REPLACE INTO unbound (id, a) VALUES (?, ?)", many(30)) })
  end)
end)
