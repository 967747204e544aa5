-- execute_many takes its rows for what they are: none is cut, none is dropped, and none is taken for NULLs. What
-- the server cannot have as many rows at once it gets row by row.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"
local unbound = require "spec.servers.unbound"

local null = mypool.null
local insert = "INSERT INTO bulk_rows (id, a, b) VALUES (?, ?, ?)"

local function promises(start)
  local s = fixture.shared_server()
  local way = fixture.started(function()
    return start(s)
  end)
  local pool, conn

  setup(function()
    s:sql "CREATE OR REPLACE TABLE app.bulk_rows (id INT, a VARCHAR(40), b INT, UNIQUE (id)) ENGINE = InnoDB"
  end)

  teardown(function()
    s:sql "DROP TABLE app.bulk_rows"
  end)

  before_each(function()
    pool, conn = pools.lend(way:options { max_size = 1 })
    assert(conn:query "DELETE FROM bulk_rows")
  end)

  after_each(pools.close)

  local function stored()
    local rows = assert(conn:query { "SELECT id, a, b FROM bulk_rows ORDER BY id", rows = "array" })
    for i = 1, #rows do
      rows[i] = { rows[i][1], rows[i][2], rows[i][3] }
    end
    return rows
  end

  -- Gives rows as an array, and as a function that returns one after the other.
  local function each_way(rows, fn)
    fn(rows)
    local i = 0
    fn(function()
      i = i + 1
      return rows[i]
    end)
  end

  local function assert_bad_row(number, words, rows)
    mistake(("bad row %d (%s"):format(number, words), function()
      local _ = conn:execute_many(insert, rows)
    end)
    assert.same({}, stored())
    assert.is_false(conn:in_transaction())
  end

  it("raises for rows keyed by name, and names a key", function()
    for _, row in ipairs {
      { id = 1 },
      { 1, "a", 2, a = "a" },
      { 1, a = "a" },
    } do
      local key = next(row, #row > 0 and #row or nil)
      each_way({ { 8 }, row }, function(rows)
        assert_bad_row(2, ("a row is an array; this one has the key '%s')"):format(key), rows)
      end)
    end
    each_way({ { [true] = 1 } }, function(rows)
      assert_bad_row(1, "a row is an array; this one has a boolean as a key)", rows)
    end)
    each_way({ { [("k"):rep(999)] = 1 } }, function(rows)
      assert_bad_row(1, ("a row is an array; this one has the key '%s')"):format(("k"):rep(60)), rows)
    end)
  end)

  it("raises for the rows of a query, which are keyed by name", function()
    local rows = assert(conn:query "SELECT 1 AS id, 'x' AS a, NULL AS b FROM seq_1_to_3")
    assert_bad_row(1, "a row is an array; this one has the key ", rows)
    rows = assert(conn:query { "SELECT seq, 'x', NULL FROM seq_1_to_3", rows = "array" })
    assert.equal(3, assert(conn:execute_many(insert, rows)).rows)
    assert.same({ { 1, "x" }, { 2, "x" }, { 3, "x" } }, stored())
  end)

  it("raises for keys that are no places of parameters", function()
    for _, key in ipairs { 0, -1, 1.5, -math.huge } do
      each_way({ { 1, "a", 2, [key] = 3 } }, function(rows)
        assert_bad_row(1, "a row is an array; this one has a number as a key)", rows)
      end)
    end
    for _, key in ipairs { 4, 5, 1000, math.maxinteger } do
      each_way({ { 1, [key] = 3 } }, function(rows)
        assert_bad_row(1, "the statement has 3 parameters, got a value for number ", rows)
      end)
    end
  end)

  it("raises for a row that has its values by a metatable", function()
    each_way({ setmetatable({}, { __index = { 1, 2, 3 } }) }, function(rows)
      assert_bad_row(1, "it has no values of its own, and its metatable is not asked)", rows)
    end)
  end)

  it("raises for a table of no rows that has keys, and names one", function()
    for _, rows in ipairs { { id = 1 }, { rows = { { 1 } } }, { x = false } } do
      assert_bad_row(1, ("there is none, but the key '%s': rows are an array of arrays)"):format(next(rows)), rows)
    end
    mistake("bad argument 'rows' to 'execute_many' (array expected, but it has the key 'n')", function()
      local _ = conn:execute_many(insert, { { 1 }, n = 1 })
    end)
    assert.same({ affected_rows = 0, rows = 0 }, conn:execute_many(insert, {}))
    assert.same({}, stored())
  end)

  it("raises for a hole among the rows, wherever it is", function()
    for mask = 1, 63 do
      for _, rows in ipairs { {}, { 0, 0, 0, 0, 0, 0 } } do
        local last, hole = 0, nil
        for i = 6, 1, -1 do
          rows[i] = mask & (1 << i - 1) ~= 0 and { i } or nil
          last = rows[i] and math.max(i, last) or last
          hole = last > 0 and not rows[i] and i or hole
        end
        if hole then
          assert_bad_row(hole, "table expected, got nil, with further rows behind it)", rows)
        else
          assert.equal(last, assert(conn:execute_many(insert, rows)).rows)
          assert(conn:query "DELETE FROM bulk_rows")
        end
      end
    end
  end)

  it("raises for a row that the program takes away while others are on their way", function()
    local shared = pools.new(way:options { max_size = 1, wait = scheduler.wait })
    local rows, ok, message = {}, nil, nil
    for i = 1, 3000 do
      rows[i] = { i }
    end
    scheduler.run(function()
      ok, message = pcall(shared.execute_many, shared, insert, rows)
    end, function()
      rows[2500] = nil
    end)
    assert.is_false(ok)
    assert.is_truthy(message:find("bad row 2500 (table expected, got ", 1, true), message)
    assert.same({}, stored())
  end)

  it("takes NULL at any place of a row, as mypool.null and as nothing", function()
    local expected = {}
    each_way({
      { 1, "a", 1 },
      { 2, nil, 2 },
      { 3, "c", nil },
      { 4, nil, nil },
      { 5, null, 5 },
      { nil, nil, 6 },
      {},
      { [3] = 8 },
    }, function(rows)
      assert(conn:query "DELETE FROM bulk_rows")
      assert.same({ affected_rows = 8, rows = 8 }, conn:execute_many(insert, rows))
      expected = stored()
      assert.same(
        { { nil, nil, nil }, { nil, nil, 6 }, { nil, nil, 8 } },
        (conn:query { "SELECT id, a, b FROM bulk_rows WHERE id IS NULL ORDER BY b", rows = "array" })
      )
      assert.same({ { 1, "a", 1 }, { 2, nil, 2 }, { 3, "c" }, { 4 }, { 5, nil, 5 } }, { table.unpack(expected, 4) })
    end)
  end)

  it("takes a table that its function fills again and again", function()
    local row, n = {}, 0
    local result = assert(conn:execute_many(insert, function()
      n = n + 1
      row[1], row[2], row[3] = n, n % 2 == 0 and "even" or nil, -n
      return n <= 2500 and row or nil
    end))
    assert.same({ affected_rows = 2500, rows = 2500 }, result)
    local sums = "SELECT COUNT(*), SUM(id), SUM(b), COUNT(a) FROM bulk_rows"
    assert.same({ 2500, "3126250", "-3126250", 1250 }, conn:one { sums, rows = "array" })
  end)

  it("takes an array whose metatable fetches its rows, and may wait for them", function()
    local shared = pools.new(way:options { max_size = 2, wait = scheduler.wait })
    local rows = setmetatable({}, {
      __len = function()
        return 1200
      end,
      __index = function(_, i)
        return shared:one({ "SELECT ?, 'fetched', ?", rows = "array" }, i, -i)
      end,
    })
    conn:release()
    scheduler.run(function()
      assert.same({ affected_rows = 1200, rows = 1200 }, shared:execute_many(insert, rows))
    end)
    conn = assert(pool:checkout())
    assert.equal(1200, conn:value "SELECT COUNT(*) FROM bulk_rows WHERE a = 'fetched' AND id = -b")
  end)

  it("copies its rows, also the bytes in a mypool.binary", function()
    local n, last = 0, {}
    assert(conn:execute_many(insert, function()
      last[1] = "changed"
      n, last = n + 1, mypool.binary(("bytes of %d"):format(n + 1))
      collectgarbage "step"
      if n <= 1500 then
        return { n, last, n }
      end
    end))
    assert.equal(1500, conn:value "SELECT COUNT(*) FROM bulk_rows WHERE a = CONCAT('bytes of ', id)")
  end)

  it("takes rows of many values", function()
    local rows, count = {}, 300
    for i = 1, 1000 do
      rows[i] = { i }
      for j = 2, count do
        rows[i][j] = j
      end
    end
    local sum = ("? + "):rep(count - 1) .. "0"
    assert(conn:execute_many(("INSERT INTO bulk_rows (id, b) VALUES (?, %s)"):format(sum), rows))
    assert.same({ 1000, 45149, 45149 }, conn:one {
      "SELECT COUNT(*), MIN(b), MAX(b) FROM bulk_rows",
      rows = "array",
    })
  end)

  for _, n in ipairs { 0, 1, 999, 1000, 1001, 2000 } do
    it(("never calls its function again after the nil behind %d rows"):format(n), function()
      local calls = 0
      local result = assert(conn:execute_many(insert, function()
        calls = calls + 1
        assert(calls <= n + 1, "called again")
        if calls <= n then
          return { calls }
        end
      end))
      assert.same({ n, n + 1 }, { result.rows, calls })
      local generator = coroutine.wrap(function()
        for i = 1, n do
          coroutine.yield { 10000 + i }
        end
      end)
      assert.equal(n, assert(conn:execute_many(insert, generator)).rows)
      assert.equal(2 * n, (conn:value "SELECT COUNT(*) FROM bulk_rows"))
    end)
  end

  it("takes lines of a file, whose iterator closes it", function()
    local name = os.tmpname()
    local file <close> = assert(io.open(name, "w"))
    file:write("1\n2\n3\n"):close()
    local next_line = io.lines(name)
    local result = conn:execute_many(insert, function()
      local line = next_line()
      return line and { tonumber(line), line }
    end)
    os.remove(name)
    assert.same({ affected_rows = 3, rows = 3 }, result)
    assert.same({ { 1, "1" }, { 2, "2" }, { 3, "3" } }, stored())
  end)

  -- A function of `n` rows that fails then, by returning these values.
  local function failing(n, ...)
    local i, values = 0, table.pack(...)
    return function()
      i = i + 1
      if i > n then
        return table.unpack(values, 1, values.n)
      end
      return { i }
    end
  end

  it("undoes all when its function returns nil and an error, and returns them", function()
    local own = { "mine" }
    for _, n in ipairs { 0, 1, 999, 1000, 1001, 2500 } do
      assert.same({ nil, own }, { conn:execute_many(insert, failing(n, nil, own)) })
      assert.same({}, stored())
    end
    local returned = table.pack(conn:execute_many(insert, failing(5, nil, "words", 7, false)))
    assert.same({ n = 4, nil, "words", 7, false }, returned)
    assert.same({}, stored())
    assert.equal(5, assert(conn:execute_many(insert, failing(5, nil, nil))).rows)
    assert(conn:query "DELETE FROM bulk_rows")
    conn:release()
    assert.same({ nil, own }, { pool:execute_many(insert, failing(1500, nil, own)) })
    conn = assert(pool:checkout())
    assert.same({}, stored())
  end)

  it("undoes no more than itself when its function fails in a transaction", function()
    local tx = assert(conn:begin())
    assert(tx:query "INSERT INTO bulk_rows (id) VALUES (-1)")
    assert.same({ nil, "words" }, { tx:execute_many(insert, failing(1500, nil, "words")) })
    assert(tx:commit())
    assert.same({ { -1 } }, stored())
  end)

  it("passes on the error of a query that its function reads rows from", function()
    local n = 0
    local result, err, errno, sqlstate = conn:execute_many(insert, function()
      n = n + 1
      if n == 1200 then
        return conn:one "SELECT nothing FROM nowhere"
      end
      return { n }
    end)
    assert.same({ nil, 1146, 1146, "42S02" }, { result, err.errno, errno, sqlstate })
    assert.is_nil(err.row or err.first_row)
    assert.same({}, stored())
  end)

  it("says which rows an error is about", function()
    for _, at in ipairs { 1, 2, 999, 1000, 1001, 1500 } do
      local rows = {}
      for i = 1, 1500 do
        rows[i] = { i }
      end
      rows[at] = { at == 1 and 2 or 1 }
      local second = math.max(at, 2) -- which is where 1, or 2, is there already
      local _, err = conn:execute_many(insert, rows)
      assert.equal(1062, err.errno)
      local first, last = err.row or err.first_row, err.row or err.last_row
      assert.is_true(first <= second and second <= last, ("%d: %d to %d"):format(at, first, last))
      assert.is_true(last - first < 1000 and (first ~= last) == (err.row == nil))
    end
    local _, err = conn:execute_many(insert, { { 1 }, { 1 } })
    assert.same({ 1, 2 }, { err.first_row, err.last_row })
    assert(conn:query "INSERT INTO bulk_rows (id) VALUES (1)")
    _, err = conn:execute_many(insert, { { 1 } })
    assert.same({ 1, nil, nil }, { err.row, err.first_row, err.last_row })
    _, err = conn:execute_many("INSERT INTO nowhere VALUES (?)", { { 1 } })
    assert.is_nil(err.row or err.first_row)
  end)
end

describe("execute_many", function()
  promises(unbound.direct)
end)

describe("execute_many on a server without array binding", function()
  promises(unbound.start)
end)

describe("execute_many where the server refuses array binding", function()
  local s = fixture.server {
    options = { "--log-bin", "--server-id=1", "--binlog-format=STATEMENT", "--sync-binlog=0" },
  }
  local pool, conn

  local function many(n, first)
    local rows = {}
    for i = 1, n do
      rows[i] = { (first or 0) + i }
    end
    return rows
  end

  setup(function()
    s:sql "CREATE TABLE app.t (id INT PRIMARY KEY CHECK (id > 0), a INT NOT NULL DEFAULT 0) ENGINE = InnoDB"
    pool = pools.new(s:options())
    assert(pool:query "CREATE PROCEDURE app.put(n INT) INSERT INTO app.t (id) VALUES (n)")
    assert(
      pool:query "CREATE PROCEDURE app.put_and_tell(n INT) BEGIN INSERT INTO app.t (id) VALUES (n); SELECT 1, 2; END"
    )
    assert(pool:query "CREATE TRIGGER app.refuse BEFORE INSERT ON app.t FOR EACH ROW IF NEW.a = 7 THEN \z
      SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1295; END IF")
    pools.close()
  end)

  -- As the server has it, and as an account with the privilege may.
  local function in_each_format(fn)
    for _, format in ipairs { "STATEMENT", "ROW" } do
      pool, conn = pools.lend(s:options { max_size = 1, init_sql = ("SET binlog_format = '%s'"):format(format) })
      assert(conn:query "DELETE FROM t")
      fn(format)
    end
  end

  after_each(pools.close)

  for _, sql in ipairs {
    "INSERT INTO t (id) VALUES (?)",
    "INSERT INTO t (id) SELECT ?",
    "CALL put(?)",
    "CALL put_and_tell(?)",
    "REPLACE INTO t SET id = ?",
  } do
    it("runs it row by row, all of them or none: " .. sql, function()
      dialect.needs("a check", pending)
      in_each_format(function()
        local told = sql ~= "CALL put_and_tell(?)" or dialect.has "affected rows of a CALL"
        assert.same({ affected_rows = told and 40 or 0, rows = 40 }, conn:execute_many(sql, many(40)))
        assert.equal(40, (conn:value "SELECT COUNT(*) FROM t"))
        local result, err = conn:execute_many(sql, { { 41 }, { 42 }, { -1 }, { 43 } })
        assert.is_nil(result)
        assert.equal(dialect.check_error, err.errno)
        assert.is_true(err.row == 3 or (err.first_row == 1 and err.last_row == 4))
        assert.equal(40, (conn:value "SELECT COUNT(*) FROM t"))
        assert.is_false(conn:in_transaction())
      end)
    end)
  end

  it("runs it within the transaction that is open", function()
    in_each_format(function()
      local tx = assert(conn:begin())
      assert(tx:query "INSERT INTO t (id) VALUES (100)")
      assert.equal(20, assert(tx:execute_many("CALL put(?)", many(20))).rows)
      assert.is_nil((tx:execute_many("INSERT INTO t (id) VALUES (?)", { { 100 }, { 5 } })))
      assert.equal(21, (tx:value "SELECT COUNT(*) FROM t"))
      assert(tx:rollback())
      assert.equal(0, (conn:value "SELECT COUNT(*) FROM t"))
    end)
  end)

  it("asks for it once for all rows", function()
    in_each_format(function(format)
      local function executed()
        return tonumber(conn:query("SHOW SESSION STATUS LIKE 'Com_stmt_execute'")[1].Value)
      end
      local before = executed()
      assert(conn:execute_many("CALL put(?)", many(1100)))
      assert.is_true(executed() - before <= 1101, format)
    end)
  end)

  it("does not run rows again after an error of one of them that has the same number", function()
    in_each_format(function()
      local rows = many(1500)
      rows[1200] = { 1200, 7 }
      local result, err = conn:execute_many("INSERT INTO t (id, a) SELECT ?, IFNULL(?, 0)", rows)
      assert.is_nil(result)
      assert.same({ 1295, 1200 }, { err.errno, err.row })
      assert.equal(0, (conn:value "SELECT COUNT(*) FROM t"))
    end)
  end)
end)
