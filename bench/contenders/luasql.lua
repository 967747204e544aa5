-- LuaSQL, which has no pool: luasql.lua SOCKET USER PASSWORD DATABASE. It knows neither parameters nor
-- types: values are concatenated, and all that comes back is text.

local answer = require "bench.contenders.answer"
local bench_rows = require "bench.contenders.rows"
local luasql = require "luasql.mysql"

local socket, user, password, database = table.unpack(arg)

local environment = luasql.mysql()

local function open_session()
  return assert(environment:connect(database, user, password, nil, nil, socket))
end

local db = open_session()
local all = bench_rows.all
local tasks = {}

local function first_row(sql)
  local cursor = assert(db:execute(sql))
  local row = cursor:fetch({}, "a")
  cursor:close()
  return row
end

function tasks.held(watch, count)
  local sum = 0
  watch.start()
  for _ = 1, count do
    sum = sum + tonumber(first_row("SELECT 1")["1"])
  end
  watch.stop()
  return sum
end

-- As the others' sum, but what a program would do with text is done here, where it counts.
local function sum_of_row(row)
  return tonumber(row.id) + #row.name + tonumber(row.price) * 4
end

function tasks.point_text(watch, count)
  local sum = 0
  watch.start()
  for i = 0, count - 1 do
    sum = sum + sum_of_row(first_row(all .. " WHERE id = " .. i % 10000 + 1))
  end
  watch.stop()
  return sum
end

function tasks.rows_kept(watch)
  local rows = {}
  watch.start()
  local cursor = assert(db:execute(all))
  local row = cursor:fetch({}, "a")
  while row do
    rows[#rows + 1] = row
    row = cursor:fetch({}, "a")
  end
  cursor:close()
  watch.stop()
  return bench_rows.sum_of_all(rows)
end

-- Into one table again and again.
function tasks.rows_streamed(watch)
  local sum = 0
  watch.start()
  local cursor = assert(db:execute(all))
  local row = cursor:fetch({}, "a")
  while row do
    sum = sum + tonumber(row.id) + #row.name
    row = cursor:fetch(row, "a")
  end
  cursor:close()
  watch.stop()
  return sum
end

function tasks.insert_one(watch, count)
  watch.start()
  assert(db:execute "START TRANSACTION")
  for i = 1, count do
    local name = db:escape("name number " .. i)
    assert(db:execute(("INSERT INTO bench_inserts VALUES (%d, '%s', %.17g)"):format(i, name, i * 1.25)))
  end
  assert(db:execute "COMMIT")
  watch.stop()
  return 0
end

local kept = {}

function tasks.sessions(_, count)
  for _ = 1, count do
    db = open_session()
    first_row "SELECT 1"
    kept[#kept + 1] = db
  end
  collectgarbage()
  return count
end

answer(luasql._VERSION:gsub(" %(.*", "") .. ", " .. _VERSION, tasks)
