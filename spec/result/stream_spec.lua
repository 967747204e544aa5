-- Streams: rows one by one, and a session that is never out of step, however the loop is left.

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local monotime = require("cqueues").monotime
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local scheduler = require "spec.support.scheduler"

local FEW, MANY = "SELECT seq AS n FROM seq_1_to_100", "SELECT seq AS n FROM seq_1_to_1000000"

describe("a loop over rows", function()
  local s = fixture.shared_server()
  local pool, conn

  before_each(function()
    pool, conn = pools.lend(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  local function count(...)
    local n = 0
    for row in assert(...) do
      n = n + 1
      if row.n ~= n then
        assert.equal(n, row.n)
      end
    end
    return n
  end

  it("brings every row", function()
    assert.equal(100, count(conn:rows(FEW)))
    assert.equal(0, count(conn:rows "SELECT 1 AS n FROM DUAL WHERE FALSE"))
    assert.equal(100000, count(conn:rows("SELECT seq AS n FROM seq_1_to_1000000 WHERE seq <= ?", 100000)))
    assert.equal(100, count(conn:rows { FEW, timeout = 5 }))
    for row in assert(conn:rows { "SELECT 1 AS a, 2 AS a, NULL AS b", rows = "array" }) do
      assert.same({ 1, 2, nil }, row)
    end
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("brings none for a statement without rows", function()
    assert.equal(0, count(conn:rows "SET @a = 5"))
    assert.equal(0, count(conn:rows "DO 1"))
    assert.equal(5, conn:value "SELECT @a")
  end)

  it("brings the rows of the first result of a CALL, and reads the others to their end", function()
    dialect.run(conn, [[CREATE OR REPLACE PROCEDURE streams() BEGIN
      SELECT 1 AS a; SET @b = 2; SELECT 2 AS b, 'x' AS c; END]])
    local rows = {}
    for row in assert(conn:rows "CALL streams()") do
      rows[#rows + 1] = row
    end
    assert.same({ { a = 1 } }, rows)
    assert.equal(2, conn:value "SELECT @b")
    for _ in assert(conn:rows "CALL streams()") do -- luacheck: ignore 512
      break
    end
    assert.equal(7, conn:value "SELECT 7")
  end)

  it("returns nil and an error when the statement fails", function()
    local iterator, err, errno = conn:rows "SELECT nothing"
    assert.is_nil(iterator)
    assert.same({ "server", 1054 }, { err.kind, errno })
    assert.equal(7, conn:value "SELECT 7")
  end)

  -- Ways to leave a loop early; each is given the function that returns what `for` wants.
  local ways = {
    ["break"] = function(rows)
      for row in rows() do
        if row.n == 3 then
          break
        end
      end
    end,
    ["return"] = function(rows)
      local function first()
        for row in rows() do -- luacheck: ignore 512
          return row.n
        end
      end
      assert.equal(1, first())
    end,
    ["goto"] = function(rows)
      for row in rows() do
        if row.n == 2 then
          goto out
        end
      end
      ::out::
    end,
    ["error"] = function(rows)
      local ok, err = pcall(function()
        for _ in rows() do
          error({ "mine" })
        end
      end)
      assert.is_false(ok)
      assert.same({ "mine" }, err)
    end,
    ["close"] = function(rows)
      local stream = rows()
      assert.equal(1, stream().n)
      stream:close()
      stream:close()
      assert.is_nil(stream())
    end,
  }

  for name, leave in pairs(ways) do
    it("keeps the session when it is left early and little is left: " .. name, function()
      local id = conn:id()
      leave(function()
        return assert(conn:rows(FEW))
      end)
      assert.equal(7, conn:value "SELECT 7")
      assert.equal(id, conn:id())
      local statement <close> = assert(conn:prepare(FEW))
      leave(function()
        return assert(statement:rows())
      end)
      assert.equal(7, conn:value "SELECT 7")
      assert.equal(id, conn:id())
    end)

    it("closes the session when it is left early and much is left: " .. name, function()
      for _, how in ipairs { "text", "prepared" } do
        local db <close> = assert(pools.new(s:options { max_size = 1 }):checkout())
        leave(function()
          if how == "text" then
            return assert(db:rows(MANY))
          end
          return assert(assert(db:prepare(MANY)):rows())
        end)
        assert.is_nil(db:id())
        local result, err = db:query "SELECT 7"
        assert.is_nil(result)
        assert.same({ "lost", "no", true }, { err.kind, err.executed, err.fatal })
      end
    end)

    it("holds the loan of pool:rows exactly as long: " .. name, function()
      conn:release()
      for _, sql in ipairs { FEW, MANY } do
        leave(function()
          local a, b, c, d = assert(pool:rows(sql))
          assert.equal(1, pool:stats().lent)
          return a, b, c, d
        end)
        assert.equal(0, pool:stats().lent)
        assert.equal(7, pool:value "SELECT 7")
      end
    end)
  end

  it("holds the loan of pool:rows until its last row, and none when it fails", function()
    conn:release()
    for row in assert(pool:rows(FEW)) do
      assert.equal(1, pool:stats().lent)
      if row.n == 1 then
        local other, err = pool:query "SELECT 1"
        assert.is_nil(other)
        assert.equal("exhausted", err.kind)
      end
    end
    assert.equal(0, pool:stats().lent)
    assert.is_nil(pool:rows "SELECT nothing")
    assert.equal(0, pool:stats().lent)
    assert.has_error(function()
      pool:rows("SELECT ?", {})
    end)
    assert.equal(0, pool:stats().lent)
  end)

  it("refuses other statements on its connection, which cost it nothing", function()
    local other = assert(pools.new(s:options()):checkout())
    other:release()
    local calls = {
      query = function()
        return conn:query("SELECT ?", "x")
      end,
      one = function()
        return conn:one { "SELECT 1", rows = "array" }
      end,
      value = function()
        return conn:value "SELECT 1"
      end,
      rows = function()
        return conn:rows "SELECT 1"
      end,
      prepare = function()
        return conn:prepare "SELECT 1"
      end,
      many = function()
        return conn:execute_many("DO ?", { { 1 } })
      end,
      ping = function()
        return conn:ping()
      end,
      reset = function()
        return conn:reset()
      end,
      begin = function()
        return conn:begin()
      end,
      warnings = function()
        return conn:warnings()
      end,
    }
    local prepared = assert(conn:prepare "SELECT ? + 1")
    calls.execute = function()
      return prepared:value(1)
    end
    for _, rows in ipairs {
      function()
        return conn:rows(MANY .. " WHERE seq <= 10000")
      end,
      function()
        return assert(conn:prepare(MANY .. " WHERE seq <= 10000")):rows()
      end,
    } do
      local n = 0
      for row in assert(rows()) do
        n = n + 1
        assert.equal(n, row.n)
        if n == 5 or n == 5000 then
          for name, call in pairs(calls) do
            local result, err, errno = call()
            assert.is_nil(result, name)
            assert.same({ "protocol", "no", false, 2014 }, { err.kind, err.executed, err.fatal, errno }, name)
            assert.is_truthy(err.message:find("row", 1, true) or err.message:find("read", 1, true), err.message)
          end
          prepared:with {}
        end
      end
      assert.equal(10000, n)
    end
    assert.equal(3, prepared:value(2))
  end)

  it("is one value, which can be kept and passed on, and is called for the next row", function()
    local wholly = table.pack(conn:rows "SELECT 1 AS n UNION ALL SELECT 2")
    local stream = wholly[1]
    assert.same({ n = 4, stream, nil, nil, stream }, wholly)
    assert.same({ { n = 1 }, { n = 2 } }, { stream(), stream() })
    for _ = 1, 3 do
      assert.same({ nil, n = 1 }, table.pack(stream()))
    end
    stream:close()
    stream:close()
    assert.is_nil(stream())
    assert.equal("mypool.rows (ended)", tostring(stream))
  end)

  it("tells its columns and their types, from before the first row until after the end", function()
    local sql = "SELECT 1.5 AS n, 'x' AS n, NULL AS z"
    for _, tail in ipairs { "", " FROM DUAL WHERE 0" } do
      local stream = assert(conn:rows { sql .. tail, rows = "array" })
      for _ = 1, 2 do
        assert.same({ "n", "n", "z" }, stream.columns)
        assert.same({ "decimal", "varchar", "null" }, stream.column_types)
        while stream() do -- luacheck: ignore
        end
      end
    end
    local stream = assert(conn:rows "DO 0")
    assert.is_nil(stream.columns)
    assert.is_nil(stream())
  end)

  it("is closed and continued only as itself", function()
    local prepared = assert(conn:prepare "SELECT 1")
    local stream = assert(conn:rows(FEW))
    for _, self in ipairs { 7, {}, conn, "x", prepared } do
      mistake("bad argument 'self' to 'close' (mypool.rows expected", function()
        stream.close(self)
      end)
    end
    stream:close()
  end)

  it("raises when its connection is released within", function()
    mistake("bad call of 'rows' (this connection was released at ", function()
      for _ in assert(conn:rows(FEW)) do
        conn:release()
      end
    end)
    assert.equal(7, pool:value "SELECT 7")
    assert.equal(0, pool:stats().lent)
  end)

  it("raises a mypool error that comes in the middle", function()
    local ok, err = pcall(function()
      count(conn:rows "SELECT seq AS n, IF(seq < 3000, 1, (SELECT seq FROM seq_1_to_2)) AS a FROM seq_1_to_4000")
    end)
    assert.is_false(ok)
    assert.is_true(mypool.is_error(err))
    assert.same({ 1242, "server", false }, { err.errno, err.kind, err.fatal })
    assert.equal(7, conn:value "SELECT 7")
  end)

  for _, how in ipairs { "text", "prepared" } do
    local function rows_of(db, sql)
      if how == "text" then
        return db:rows(sql)
      end
      local statement, err = db:prepare(sql)
      if not statement then
        return nil, err
      end
      return statement:rows()
    end

    it("raises what KILL QUERY leads to, and keeps the session: " .. how, function()
      local killer <close> = assert(pools.new(s:options()):checkout())
      local id = conn:id()
      local n = 0
      local ok, err = pcall(function()
        for _ in assert(rows_of(conn, "SELECT seq AS n, REPEAT('x', 100) FROM seq_1_to_3000000")) do
          n = n + 1
          if n == 1000 then
            assert(killer:query("KILL QUERY " .. id))
          end
        end
      end)
      assert.is_false(ok)
      assert.is_true(mypool.is_error(err))
      assert.equal(1317, err.errno)
      assert.is_false(err.fatal)
      assert.equal(7, conn:value "SELECT 7")
      assert.equal(id, conn:id())
    end)

    it("raises the loss of the connection: " .. how, function()
      local killer <close> = assert(pools.new(s:options()):checkout())
      local n = 0
      local ok, err = pcall(function()
        for _ in assert(rows_of(conn, "SELECT seq AS n, REPEAT('x', 100) FROM seq_1_to_3000000")) do
          n = n + 1
          if n == 1000 then
            assert(killer:query("KILL " .. conn:id()))
          end
        end
      end)
      assert.is_false(ok)
      assert.is_true(mypool.is_error(err))
      assert.same({ "lost", true, "unknown" }, { err.kind, err.fatal, err.executed })
      conn:release()
      assert.equal(7, pool:value "SELECT 7")
    end)

    it("raises a timeout in the middle: " .. how, function()
      local db <close> = assert(pools.new(s:options { max_size = 1, query_timeout = 0.2 }):checkout())
      local n = 0
      local ok, err = pcall(function()
        local sql = "SELECT IF(seq > 2000, SLEEP(0.05), 0) AS s, REPEAT('x', 1000) FROM seq_1_to_3000"
        for _ in assert(rows_of(db, sql)) do
          n = n + 1
        end
      end)
      assert.is_false(ok)
      assert.is_true(mypool.is_error(err), tostring(err))
      assert.equal("timeout", err.kind)
      assert.is_true(n > 100)
    end)

    it("keeps its time limit when other operations are refused in its middle: " .. how, function()
      local options = s:options { max_size = 1, query_timeout = 0.5, checkout_timeout = 60 }
      local db <close> = assert(pools.new(options):checkout())
      local began = monotime()
      local ok, err = pcall(function()
        for _ in assert(rows_of(db, "SELECT REPEAT('x', 60000), IF(seq = 4, SLEEP(20), 0) FROM seq_1_to_6")) do
          assert.equal(2014, select(2, db:reset()).errno)
          assert.equal(2014, select(2, db:ping()).errno)
        end
      end)
      assert.is_false(ok)
      assert.equal("timeout", err.kind)
      assert.is_true(monotime() - began < 10)
    end)
  end

  it("works in coroutines, each with a stream of its own", function()
    local shared = pools.new(s:options { max_size = 4, wait = scheduler.wait })
    local sums, tasks = {}, {}
    for i = 1, 8 do
      tasks[i] = function()
        local sum = 0
        for row in assert(shared:rows("SELECT seq AS n FROM seq_1_to_20000 WHERE seq > ?", i)) do
          sum = sum + row.n
          if i % 2 == 0 and row.n == i + 10 then
            break
          end
        end
        sums[i] = sum
      end
    end
    scheduler.run(table.unpack(tasks))
    for i = 1, 8, 2 do
      assert.equal(20000 * 20001 // 2 - i * (i + 1) // 2, sums[i])
    end
    assert.equal(0, shared:stats().lent)
  end)

  it("works under cqueues, and ends with break, error and return", function()
    local cqueues = require "cqueues"
    local shared = pools.new(s:options { max_size = 3, wait = require "mypool.wait.cqueues" })
    local queue = cqueues.new()
    local seen = 0
    for _, leave in pairs(ways) do
      for _, sql in ipairs { FEW, MANY } do
        queue:wrap(function()
          leave(function()
            return assert(shared:rows(sql))
          end)
          assert.equal(7, shared:value "SELECT 7")
          seen = seen + 1
        end)
      end
    end
    assert(queue:loop(20))
    assert.equal(10, seen)
    assert.equal(0, shared:stats().lent)
  end)

  it("leaves the pool whole when its coroutine is abandoned", function()
    local shared = pools.new(s:options { max_size = 1, wait = scheduler.wait })
    local thread = coroutine.wrap(function()
      for _ in assert(shared:rows(MANY)) do
        coroutine.yield "inside"
      end
    end)
    assert.equal("inside", thread())
    assert.equal(1, shared:stats().lent)
    thread = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.equal(0, shared:stats().lent)
    assert.equal(7, shared:value "SELECT 7")
  end)

  it("leaves the pool whole when it never begins", function()
    conn:release()
    for _, sql in ipairs { FEW, MANY } do
      do
        assert(pool:rows(sql))
      end
      collectgarbage()
      collectgarbage()
      assert.equal(0, pool:stats().lent)
      assert.equal(7, pool:value "SELECT 7")
    end
  end)

  -- In a process of its own: here the heap of other specs would decide when garbage is collected.
  it("holds one row at a time, of a million", function()
    if os.getenv "LSAN_OPTIONS" then
      return pending "the address sanitizer keeps what is freed"
    end
    local printed = program(([[
      local pool = require("mypool").new "%s"
      local conn = assert(pool:checkout())
      local sql = "SELECT seq AS n, 'text' AS name, seq / 3 AS d, NOW() AS t FROM seq_1_to_1000000 WHERE seq <= ?"
      local statement = assert(conn:prepare(sql))
      local function resident()
        return tonumber(io.open "/proc/self/status":read "a":match "VmRSS:%%s+(%%d+)")
      end
      local function both(rows)
        local n = 0
        for row in assert(conn:rows(sql, rows)) do n = n + (row.name == "text" and 1 or 0) end
        for row in assert(statement:rows(rows)) do n = n + (row.name == "text" and 1 or 0) end
        assert(n == 2 * rows)
      end
      both(50000)
      collectgarbage()
      local before = resident()
      both(1000000)
      print(resident() - before)
      conn:release()
    ]]):format(s:dsn()))
    local grown = assert(tonumber(printed), printed)
    assert.is_true(grown < 2048, grown .. " KiB")
  end)
end)
