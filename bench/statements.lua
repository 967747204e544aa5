-- What statements and rows cost, beside LuaSQL, LuaDBI and a C program on libmariadb. Client and server
-- share one core and speak over a unix socket; in each round the contenders take turns, so that all meet
-- the same noise. Prints medians of wall and CPU time of the client, and the ratios.
--
--   make bench    or, of this script alone: make all build/bench/baseline, and then
--   LUA_PATH="./lua/?.lua;./lua/?/init.lua;./?.lua;;" LUA_CPATH="./build/?.so;;" lua5.4 bench/statements.lua
--
-- Arguments: rounds (at least 7), millions of rows for the memory of a stream (10; 0: none).
-- Contenders of Debian's packages lua-sql-mysql and lua-dbi-mysql that are missing are skipped.

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

-- The server inherits the core.
if not os.getenv "MYPOOL_BENCH_PINNED" and os.execute "command -v taskset >/dev/null" then
  local words = { "MYPOOL_BENCH_PINNED=1 exec taskset -c 1", quote(arg[-1] or "lua5.4"), quote(arg[0]) }
  for _, word in ipairs(arg) do
    words[#words + 1] = quote(word)
  end
  if os.execute "taskset -c 1 true 2>/dev/null" then
    local _, _, status = os.execute(table.concat(words, " "))
    os.exit(status)
  end
end

local core = require "mypool.core"
local mypool = require "mypool"
local server = require("spec.support.server").start()

local rounds = math.max(7, math.tointeger(tonumber(arg[1])) or 9)
local millions = tonumber(arg[2]) or 10

local pool = mypool.new(server:options { max_size = 1 })
local conn = assert(pool:checkout())
assert(conn:query [[CREATE TABLE bench_rows (
  id INT PRIMARY KEY, name VARCHAR(40), price DOUBLE, made DATETIME) ENGINE = InnoDB]])
assert(conn:query [[INSERT INTO bench_rows
  SELECT seq, CONCAT('name number ', seq), seq * 1.25e0, '2024-01-01' + INTERVAL seq MINUTE FROM seq_1_to_100000]])
assert(conn:query "CREATE TABLE bench_inserts (id INT PRIMARY KEY, name VARCHAR(40), price DOUBLE) ENGINE = InnoDB")

local point = "SELECT id, name, price, made FROM bench_rows WHERE id = "
local all = "SELECT id, name, price, made FROM bench_rows"

-- ---- contenders: name → function(count); what to do before, unmeasured ----

local contenders, before, missing = {}, {}, {}

local function module_of(name, package)
  local ok, module = pcall(require, name)
  if ok then
    return module
  end
  missing[#missing + 1] = ("skipped: %s (Debian: %s)"):format(name, package)
end

local function add_mypool()
  local prepared = assert(conn:prepare(point .. "?"))
  local everything = assert(conn:prepare(all))
  function contenders.select_one_mypool(count)
    for _ = 1, count do
      conn:query "SELECT 1"
    end
  end
  function contenders.point_select_mypool(count)
    for i = 1, count do
      conn:one(point .. "?", i % 10000 + 1)
    end
  end
  function contenders.point_prepared_mypool(count)
    for i = 1, count do
      prepared:one(i % 10000 + 1)
    end
  end
  function contenders.all_rows_mypool()
    assert(#conn:query(all) == 100000)
  end
  function contenders.all_rows_prepared_mypool()
    assert(#everything:execute() == 100000)
  end
  function contenders.stream_mypool()
    local n = 0
    for _ in assert(conn:rows(all)) do
      n = n + 1
    end
    assert(n == 100000)
  end
  function before.inserts_single()
    assert(conn:query "TRUNCATE bench_inserts")
  end
  before.inserts_many = before.inserts_single
  function contenders.inserts_single(count)
    local tx = assert(conn:begin())
    for i = 1, count do
      assert(tx:query("INSERT INTO bench_inserts VALUES (?, ?, ?)", i, "name number " .. i, i * 1.25))
    end
    assert(tx:commit())
  end
  function contenders.inserts_many(count)
    local i = 0
    local result = assert(conn:execute_many("INSERT INTO bench_inserts VALUES (?, ?, ?)", function()
      i = i + 1
      return i <= count and { i, "name number " .. i, i * 1.25 } or nil
    end))
    assert(result.rows == count)
  end
end

local function add_luasql()
  local luasql = module_of("luasql.mysql", "lua-sql-mysql")
  if not luasql then
    return
  end
  local db = assert(luasql.mysql():connect(server.database, server.user, server.password, nil, nil, server.socket))
  function contenders.select_one_luasql(count)
    for _ = 1, count do
      local cursor = assert(db:execute "SELECT 1")
      cursor:fetch({}, "a")
      cursor:close()
    end
  end
  function contenders.point_select_luasql(count)
    for i = 1, count do
      local cursor = assert(db:execute(point .. i % 10000 + 1))
      cursor:fetch({}, "a")
      cursor:close()
    end
  end
  function contenders.all_rows_luasql()
    local cursor, rows = assert(db:execute(all)), {}
    local row = cursor:fetch({}, "a")
    while row do
      rows[#rows + 1] = row
      row = cursor:fetch({}, "a")
    end
    cursor:close()
    assert(#rows == 100000)
  end
end

local function add_luadbi()
  local dbi = module_of("DBI", "lua-dbi-mysql")
  if not dbi then
    return
  end
  -- It knows no sockets but TCP ones.
  local db, message = dbi.Connect("MySQL", server.database, server.user, server.password, server.host, server.port)
  if not db then
    missing[#missing + 1] = "skipped: DBI (" .. message .. ")"
    return
  end
  function contenders.all_rows_luadbi()
    local statement = assert(db:prepare(all))
    assert(statement:execute())
    local rows = {}
    for row in statement:rows(true) do
      local copy = {}
      for name, value in pairs(row) do
        copy[name] = value
      end
      rows[#rows + 1] = copy
    end
    statement:close()
    assert(#rows == 100000)
  end
end

local function add_c()
  local program = io.open "build/bench/baseline"
  if not program then
    missing[#missing + 1] = "skipped: C (make build/bench/baseline)"
    return
  end
  program:close()
  for _, task in ipairs { "select_one", "point_select", "point_prepared", "all_rows" } do
    contenders[task .. "_c"] = function(count)
      local pipe = assert(io.popen(("build/bench/baseline %s %s %s %s %s %d"):format(
        quote(server.socket), quote(server.user), quote(server.password), quote(server.database), task, count)))
      local wall, cpu = pipe:read("n", "n")
      assert(pipe:close(), "baseline failed")
      return wall, cpu
    end
  end
end

-- ---- measuring ----

local function measure(f, count)
  collectgarbage()
  local wall, cpu = core.now(pool), os.clock()
  local own_wall, own_cpu = f(count)
  return own_wall or core.now(pool) - wall, own_cpu or os.clock() - cpu
end

local function median(numbers)
  table.sort(numbers)
  return (numbers[#numbers // 2 + 1] + numbers[(#numbers + 1) // 2]) / 2
end

-- Runs the contenders of a task in turn; prints µs for each of `per`; returns the medians of wall time.
local function compare(title, count, per, names)
  local walls, cpus, result = {}, {}, {}
  for _, name in ipairs(names) do
    walls[name], cpus[name] = {}, {}
  end
  for round = 0, rounds do
    for _, name in ipairs(names) do
      if contenders[name] then
        if before[name] then
          before[name]()
        end
        local wall, cpu = measure(contenders[name], count)
        if round > 0 then -- the first one warms up
          table.insert(walls[name], wall)
          table.insert(cpus[name], cpu)
        end
      end
    end
  end
  print(title)
  for _, name in ipairs(names) do
    if contenders[name] then
      result[name] = median(walls[name])
      local wall, cpu = result[name] / per * 1e6, median(cpus[name]) / per * 1e6
      print(("  %-26s %9.3f µs wall %9.3f µs CPU"):format(name, wall, cpu))
    end
  end
  return result
end

local missed = 0

local function ratio(what, a, b, limit)
  if not a or not b then
    return
  end
  local met = a / b <= limit
  missed = missed + (met and 0 or 1)
  print(("  %-58s %.2f (%s %.2f)"):format(what, a / b, met and "at most" or "MORE THAN", limit))
end

local function resident_kb()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmRSS:%s+(%d+)"
    if kb then
      return math.tointeger(tonumber(kb))
    end
  end
end

local function stream(rows)
  local n = 0
  for _ in assert(conn:rows("SELECT seq, 'some text', seq / 3, NOW() FROM seq_1_to_100000000 LIMIT ?", rows)) do
    n = n + 1
  end
  assert(n == rows)
end

add_mypool()
add_luasql()
add_luadbi()
add_c()
for _, line in ipairs(missing) do
  print(line)
end

local t = compare("SELECT 1 on a held loan", 5000, 5000, { "select_one_mypool", "select_one_luasql", "select_one_c" })
ratio("mypool / C", t.select_one_mypool, t.select_one_c, 1.10)

t = compare("point select, one parameter, four columns", 4000, 4000, {
  "point_select_mypool", "point_select_luasql", "point_select_c", "point_prepared_mypool", "point_prepared_c",
})
ratio("mypool / LuaSQL with the value concatenated", t.point_select_mypool, t.point_select_luasql, 1.0)
ratio("mypool / C that escapes", t.point_select_mypool, t.point_select_c, 1.3)
ratio("mypool prepared / C prepared", t.point_prepared_mypool, t.point_prepared_c, 1.15)

t = compare("100,000 rows of four columns", 1, 100000, {
  "all_rows_mypool", "all_rows_prepared_mypool", "stream_mypool", "all_rows_luasql", "all_rows_luadbi", "all_rows_c",
})
ratio("mypool tables / LuaSQL tables", t.all_rows_mypool, t.all_rows_luasql, 0.40)
ratio("mypool tables / LuaDBI tables", t.all_rows_mypool, t.all_rows_luadbi, 0.50)
ratio("mypool streamed / LuaSQL tables", t.stream_mypool, t.all_rows_luasql, 0.25)

t = compare("10,000 inserts", 10000, 10000, { "inserts_many", "inserts_single" })
ratio("execute_many / one by one in a transaction", t.inserts_many, t.inserts_single, 0.2)

if millions > 0 then
  stream(1000000) -- brings Lua's heap to the size between two collections
  local from = resident_kb()
  stream(math.tointeger(millions * 1000000))
  local grown = resident_kb() - from
  missed = missed + (grown < 2048 and 0 or 1)
  print(("memory of a stream of %g million rows: %+d KiB (at most 2048)"):format(millions, grown))
end

conn:release()
pool:close()
server:remove()
os.exit(missed == 0)
