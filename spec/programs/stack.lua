-- Calls what pushes many values, or as many as its caller likes, from every depth of a coroutine's stack, where any
-- number of places may be left. Run by the program allocator, which looks for what is written beyond the end:
--
--     allocator spec/programs/stack.lua SOCKET

local mypool = require "mypool"

local server = { socket = ..., user = "app", password = "secret", database = "app", max_size = 1 }

local function numbers(count)
  local list = {}
  for i = 1, count do
    list[i] = i
  end
  return list
end

local function with(more)
  local options = {}
  for name, value in pairs(server) do
    options[name] = value
  end
  for name, value in pairs(more) do
    options[name] = value
  end
  return options
end

local function many(count)
  local statements = {}
  for i = 1, count do
    statements[i] = ("SET @v%d = 1"):format(i)
  end
  return statements
end

local pool = mypool.new(server)
local converting = mypool.new(with { types = { int = tostring, bigint = tostring } })
local wide = "SELECT " .. table.concat(numbers(150), ", ")
local questions = "SELECT " .. ("?, "):rep(149) .. "?"
local rows = {}
for i = 1, 50 do
  rows[i] = { i, tostring(i) }
end
assert(pool:query "DROP TABLE IF EXISTS stacked")
assert(pool:query "CREATE TABLE stacked (n INT, x VARCHAR(20))")
local procedure = "BEGIN SELECT 1; SELECT 2; SELECT 3; SELECT 4, 5, 6; SELECT 7; END"
assert(pool:query "DROP PROCEDURE IF EXISTS many")
assert(pool:query("CREATE PROCEDURE many() " .. procedure))

local function same(wanted, ...)
  local got = table.concat({ ... }, " ")
  assert(got == wanted, got)
end

local function stream(from, sql)
  for row in from:rows(sql) do
    same("150", row["150"])
  end
end

local function prepared(conn)
  local statement = assert(conn:prepare(questions))
  same("150", #assert(statement:execute(table.unpack(numbers(150)))).columns)
  statement:close()
  return true
end

local full = with {
  init_sql = many(1),
  name = "full",
  charset = "utf8mb4",
  collation = "utf8mb4_bin",
  tls = false,
  idle_timeout = 1,
  max_lifetime = 1,
  query_timeout = 1,
  leak_after = 1,
  types = {},
  max_result_bytes = 1,
}

local calls = {
  function()
    mypool.new(server)
    mypool.new(full)
  end,
  function(depth)
    mypool.new(with { init_sql = many(1 + depth) })
    mypool.new(with { init_sql = many(200 - depth) })
  end,
  function()
    same("150", #pool:query(wide).columns)
    same("150", #converting:query(wide).columns)
    same("150", pool:one { wide, rows = "array" }[150])
  end,
  function()
    same("150", #pool:query(questions, table.unpack(numbers(150))).columns)
    same("1", pool:value("SELECT 7 IN (?)", mypool.list(numbers(150))))
    same("1", pool:value("SELECT (1, 2) IN (?)", mypool.list { mypool.list(numbers(2)), mypool.list { 3, 4 } }))
  end,
  function()
    same("6", select("#", pool:query "CALL many()"))
    same("3", #select(4, pool:query "CALL many()").columns)
  end,
  function()
    stream(pool, wide)
    stream(converting, wide)
  end,
  function()
    assert(pool:with(prepared))
  end,
  function()
    assert(pool:execute_many("INSERT INTO stacked VALUES (?, ?)", rows))
  end,
  function()
    assert(not pcall(pool.query, pool, "SELECT ?"))
    assert(select(3, pool:query "SELECT missing") == 1054)
    assert(pool:stats().lent == 0)
  end,
}

local function at_depth(left, call, depth)
  if left > 0 then
    return (at_depth(left - 1, call, depth))
  end
  return call(depth)
end

for _, call in ipairs(calls) do
  for depth = 0, 60 do
    local ok, err = coroutine.resume(coroutine.create(at_depth), depth, call, depth)
    assert(ok, err)
  end
end
pool:close()
converting:close()
print "done"
