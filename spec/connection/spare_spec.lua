-- A handle leaves its buffers and the names of its columns to the next handle of its pool.

local fixture = require "spec.support.fixture"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local program = require "spec.support.program"

local sanitized = os.getenv "MYPOOL_PRELOAD"

-- Statements of the same shape and of other shapes, with what their results must be.
local statements = {
  { sql = "SELECT 1 AS a, 'x' AS b", columns = { "a", "b" }, row = { a = 1, b = "x" } },
  { sql = "SELECT 1 AS b, 'x' AS a", columns = { "b", "a" }, row = { b = 1, a = "x" } },
  { sql = "SELECT '1' AS a, 2 AS b", columns = { "a", "b" }, row = { a = "1", b = 2 } },
  { sql = "SELECT 1 AS a", columns = { "a" }, row = { a = 1 } },
  { 7, 8, 9, sql = "SELECT ? AS a, ? AS b, ? AS c", columns = { "a", "b", "c" }, row = { a = 7, b = 8, c = 9 } },
}

describe("what a handle leaves to the next", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = mypool.new(s:options { max_size = 12 })
  end)

  after_each(function()
    pool:close()
    pools.close()
  end)

  local function run(conn, statement)
    local result = assert(conn:query(statement.sql, table.unpack(statement, 1, #statement)))
    assert.same(statement.columns, result.columns)
    assert.same({ statement.row }, { result[1] })
    return result
  end

  it("never shows: each statement has its own columns, one handle after the other, and many at once", function()
    local random = 1
    for _ = 1, 60 do
      local held = {}
      for i = 1, random % 12 + 1 do
        held[i] = assert(pool:checkout())
      end
      for i = 1, 2 * #held do
        random = random * 16807 % 2147483647
        run(held[i % #held + 1], statements[random % #statements + 1])
        if random % 3 == 0 then
          assert.same("v", held[i % #held + 1]:value "SELECT 'v'")
        end
      end
      for _, conn in ipairs(held) do
        conn:release()
      end
    end
  end)

  it("leaves earlier results as they were", function()
    local results = {}
    for _, statement in ipairs(statements) do
      local conn <close> = assert(pool:checkout())
      results[#results + 1] = run(conn, statement)
    end
    for i, statement in ipairs(statements) do
      assert.same(statement.columns, results[i].columns)
    end
  end)

  it("keeps a value of the last statement out of the words of an error", function()
    local first = assert(pool:checkout())
    assert.equal("secret", first:value("SELECT ?", "secret"))
    first:release()
    local second <close> = assert(pool:checkout())
    local _, err = second:query "SELECT 1 FROM nowhere WHERE 'secret' = 1"
    assert.equal(1146, err.errno)
    local ok, message = pcall(first.query, first, "SELECT 1")
    assert.False(ok)
    assert.matches("released", message)
  end)

  it("is no more than a few kilobytes, whatever was sent", function()
    if sanitized then
      return -- a sanitizer keeps what is freed
    end
    local printed, ok = program(
      ([[
        local mypool = require "mypool"
        local pool = mypool.new(%q)
        local function resident()
          return tonumber(io.open "/proc/self/status":read "a":match "VmRSS:%%s+(%%d+)")
        end
        local held = {}
        for i = 1, 4 do
          held[i] = assert(pool:checkout())
        end
        local before = resident()
        for i = 1, 4 do
          local length, err = held[i]:value("SELECT LENGTH(?)", ("x"):rep(20 << 20)) -- too large for most servers
          assert(length == 20 << 20 or err.errno == 1153, err)
          collectgarbage()
        end
        for i = 1, 4 do
          held[i]:release()
        end
        held = nil
        collectgarbage()
        collectgarbage()
        print(resident() - before)
      ]]):format(s:dsn()),
      "MALLOC_MMAP_THRESHOLD_=131072"
    )
    assert(ok, printed)
    assert.True(tonumber(printed) < 20000, printed)
  end)
end)
