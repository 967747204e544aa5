-- LuaDBI, which has no pool: luadbi.lua HOST PORT USER PASSWORD DATABASE. It knows TCP only, and prepares
-- every statement.

local answer = require "bench.contenders.answer"
local bench_rows = require "bench.contenders.rows"
local dbi = require "DBI"

local host, port, user, password, database = table.unpack(arg)

local function open_session()
  return assert(dbi.Connect("MySQL", database, user, password, host, tonumber(port)))
end

local db = open_session()
local all, by_id = bench_rows.all, bench_rows.by_id
local sum_of_row = bench_rows.sum_of_one
local tasks = {}

function tasks.held(watch, count)
  local sum, statement = 0, assert(db:prepare "SELECT 1")
  watch.start()
  for _ = 1, count do
    assert(statement:execute())
    sum = sum + statement:fetch(true)["1"]
  end
  watch.stop()
  statement:close()
  return sum
end

function tasks.point_prepared(watch, count)
  local sum, statement = 0, assert(db:prepare(by_id))
  watch.start()
  for i = 0, count - 1 do
    assert(statement:execute(i % 10000 + 1))
    sum = sum + sum_of_row(statement:fetch(true))
  end
  watch.stop()
  statement:close()
  return sum
end

function tasks.rows_kept(watch)
  local rows = {}
  watch.start()
  local statement = assert(db:prepare(all))
  assert(statement:execute())
  for row in statement:rows(true) do
    rows[#rows + 1] = row
  end
  statement:close()
  watch.stop()
  return bench_rows.sum_of_all(rows)
end

function tasks.rows_streamed(watch)
  local sum = 0
  watch.start()
  local statement = assert(db:prepare(all))
  assert(statement:execute())
  for row in statement:rows(true) do
    sum = sum + row.id + #row.name
  end
  statement:close()
  watch.stop()
  return sum
end

function tasks.insert_one(watch, count)
  watch.start()
  db:autocommit(false)
  local statement = assert(db:prepare "INSERT INTO bench_inserts VALUES (?, ?, ?)")
  for i = 1, count do
    assert(statement:execute(i, "name number " .. i, i * 1.25))
  end
  statement:close()
  assert(db:commit())
  db:autocommit(true)
  watch.stop()
  return 0
end

local kept = {}

function tasks.sessions(_, count)
  for _ = 1, count do
    db = open_session()
    local statement = assert(db:prepare "SELECT 1")
    assert(statement:execute())
    statement:fetch(true)
    statement:close()
    kept[#kept + 1] = db
  end
  collectgarbage()
  return count
end

answer(dbi._VERSION .. ", " .. _VERSION, tasks)
