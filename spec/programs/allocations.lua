-- Makes every allocation of Lua's fail in turn, in everything that mypool does, and looks each time whether its
-- pool is whole afterwards. Run by the program allocator:
--
--     allocator spec/programs/allocations.lua SOCKET MODE STRIDE
--
-- MODE: "plain" or "scheduler", and "once" or "lasting": whether one allocation fails, or that and all behind it,
-- as in "plain once". STRIDE: every allocation (1), or each second one (2), and so on. Prints what was wrong, and
-- how many failures there were.

local socket, mode, stride = ...
local allocator = require "allocator"
local core = require "mypool.core"
local mypool = require "mypool"

local lasting, scheduled = mode:find "lasting" ~= nil, mode:find "scheduler" ~= nil
stride = math.tointeger(stride)

local function options(more)
  local all = { socket = socket, user = "app", password = "secret", database = "app", max_size = 1 }
  if scheduled then
    all.wait = function(fd, seconds)
      return core.poll(fd, seconds)
    end
  end
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  return all
end

local function read(iterator, state, first, closing)
  local _ <close> = closing
  local count = 0
  for _ in iterator, state, first do
    count = count + 1
  end
  return count
end

local function read_one(iterator, state, first, closing)
  local _ <close> = closing
  return iterator(state, first)
end

-- What is done; `with` are options of the pool. What they return and raise does not matter: the pool does.
local scenarios = {
  { "mypool.new", function()
    local given = { init_sql = { "SET @a = 1", "SET @b = 2" }, types = { int = tostring }, name = "named" }
    mypool.new(options(given)):close()
  end },
  { "mypool.new of a string", function()
    mypool.new("mariadb://app:se%63ret@localhost:3306/app?max_size=3&socket=%2Fnowhere&query_timeout=1.5")
  end },
  { "mypool.new that raises", function()
    mypool.new { max_sise = 3 }
  end },
  { "checkout", function(pool)
    local conn <close> = assert(pool:checkout())
    return tostring(conn), conn:id(), conn:in_transaction()
  end },
  { "a first connect", function(pool)
    pool:evict()
    pool:ping()
  end },
  { "a handle that is forgotten", function(pool)
    pool:checkout()
    collectgarbage()
  end },
  { "discard", function(pool)
    assert(pool:checkout()):discard()
  end },
  { "query", function(pool)
    pool:query "SELECT seq, CAST(seq AS CHAR) AS name, NULL AS nothing, seq / 3 AS part FROM seq_1_to_3"
  end },
  { "parameters", function(pool)
    pool:query("SELECT ?, ?, ?, ?, ?, ? FROM ? WHERE seq IN (?)", 1, 2.5, "it's\\", true, nil, mypool.binary "\0",
      mypool.ident("app", "seq_1_to_3"), mypool.list { 1, 2 })
  end },
  { "many rows", function(pool)
    pool:query({ "SELECT seq, REPEAT('x', 50) FROM seq_1_to_1000", rows = "array" })
  end, every = 25 },
  { "one and value", function(pool)
    return pool:one "SELECT 1 AS a, 'b' AS b", pool:value "SELECT REPEAT('x', 1000)"
  end },
  { "several results", function(pool)
    pool:query "CALL two()"
  end },
  { "what belongs to a result", function(pool)
    local result = assert(pool:query "SELECT 1 AS a, 'b' AS b")
    return result.columns, result.column_types, result.warning_count
  end },
  { "rows", function(pool)
    read(pool:rows "SELECT seq, REPEAT('x', 50) FROM seq_1_to_20")
  end },
  { "rows that are left", function(pool)
    read_one(assert(pool:rows "SELECT seq, REPEAT('x', 50) FROM seq_1_to_20"))
  end },
  { "prepared statements", function(pool)
    pool:with(function(conn)
      local statement = assert(conn:prepare "SELECT ? AS a, ? AS b, seq FROM seq_1_to_5")
      assert(statement:execute("x", 1))
      assert(statement:value(mypool.binary "y", nil))
      read(statement:rows("z", 2.5))
      statement:close()
    end)
  end },
  { "execute_many", function(pool)
    pool:execute_many("INSERT INTO t VALUES (?, ?)", { { 1, "a" }, { 2, nil }, { 3, mypool.binary "c" } })
  end },
  { "transaction", function(pool)
    pool:transaction(function(tx)
      assert(tx:query("INSERT INTO t VALUES (?, ?)", 1, "x"))
      return tx:transaction(function(inner)
        return inner:query "SELECT 1"
      end)
    end)
  end },
  { "a transaction that raises", function(pool)
    pool:transaction({ read_only = true }, function(tx)
      assert(tx:query "SELECT 1")
      error { "on purpose" }
    end)
  end },
  { "begin", function(pool)
    local tx <close> = assert(pool:begin { isolation = "serializable" })
    assert(tx:query "SELECT 1")
    assert(tx:commit())
  end },
  { "an error of the server", function(pool)
    local _, err = pool:query("SELECT * FROM no_such_table WHERE a = ?", "secret")
    return tostring(err) .. err
  end },
  { "a mistake", function(pool)
    pool:query("SELECT ?", 1, 2)
  end },
  { "exhaustion", function(pool)
    local conn <close> = assert(pool:checkout())
    pool:checkout(0.001)
    return conn
  end },
  { "a result that is too large", function(pool)
    pool:query { "SELECT REPEAT('x', 1000) FROM seq_1_to_5", max_result_bytes = 2000 }
  end },
  { "a connection that dies", function(pool)
    pool:with(function(conn)
      conn:query("KILL ?", conn:id())
      return conn:query "SELECT 1"
    end)
  end },
  { "reset, warnings, stats", function(pool)
    pool:with(function(conn)
      conn:query "SELECT 1 / 0"
      conn:warnings()
      return conn:reset()
    end)
    return pool:stats(), tostring(pool)
  end },
  { "converters", function(pool)
    pool:query "SELECT seq, CAST(seq AS CHAR) AS name FROM seq_1_to_3"
  end, with = { types = { bigint = tostring, varchar = function(text) return { text } end }, null = false } },
  { "hooks", function(pool)
    pool:evict()
    pool:ping()
  end, with = {
    audit = true,
    on_event = function() end,
    on_connect = function(conn) return conn:query "SET @mine = 1" end,
    password = function() return "sec" .. "ret" end,
  } },
  { "loans that are overdue", function(pool)
    local conn <close> = assert(pool:checkout())
    core.poll(-1, 0.002)
    return conn:ping(), pool:stats()
  end, with = {
    leak_after = 0.001,
    name = "p",
    on_event = function(_, details) return details.place .. details.pool end,
  } },
  { "a statement whose time is up", function(pool)
    pool:query { "SELECT SLEEP(5)", timeout = 0.002 }
  end, every = 4 },
}

local wrong = 0
local function complain(name, n, what)
  wrong = wrong + 1
  print(("%s, allocation %d: %s"):format(name, n, what))
end

-- The one place is free, no session is lost, and the session is as new. Under a scheduler a connect whose
-- caller failed goes on, for the next.
local function check(pool, name, n)
  collectgarbage()
  collectgarbage()
  local stats = pool:stats()
  local open = stats.opened - stats.closed
  local opening = scheduled and 0 or stats.opening
  if stats.lent + stats.waiting + opening > 0 or open ~= stats.idle + stats.recovering then
    complain(name, n, ("%d lent, %d waiting, %d opening, %d idle, %d recovering, %d opened, %d closed"):format(
      stats.lent, stats.waiting, stats.opening, stats.idle, stats.recovering, stats.opened, stats.closed))
  end
  local conn, err = pool:checkout()
  if not conn then
    return complain(name, n, "afterwards: " .. tostring(err))
  end
  local seven
  seven, err = conn:value "SELECT IF(@a IS NULL, 7, 8)"
  if seven ~= 7 and seven ~= "7" or conn:in_transaction() then
    complain(name, n, "afterwards: " .. tostring(err or seven))
  end
  conn:release()
end

local descriptors = require "spec.support.descriptors"

local function run(scenario)
  local name, work = scenario[1], scenario[2]
  local pool = mypool.new(options(scenario.with))
  local step, n, failures = (scenario.every or 1) * stride, 1, 0
  check(pool, name, 0)
  pcall(work, pool)
  while true do
    allocator.fail(n, lasting)
    pcall(work, pool)
    local failed = allocator.failed()
    check(pool, name, n)
    if not failed then
      break
    end
    failures = failures + 1
    n = n + step
  end
  pool:close()
  return failures
end

warn "@off"
local total = 0
collectgarbage()
local before = descriptors()
for _, scenario in ipairs(scenarios) do
  local failures = run(scenario)
  if os.getenv "MYPOOL_VERBOSE" then
    print(scenario[1], failures)
  end
  total = total + failures
end
collectgarbage()
collectgarbage()
local after = descriptors()
if after ~= before then
  complain("all", total, ("%d descriptors, before %d"):format(after, before))
end
print("failures", total)
os.exit(wrong == 0, true)
