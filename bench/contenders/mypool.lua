-- mypool: mypool.lua SOCKET USER PASSWORD DATABASE.

local answer = require "bench.contenders.answer"
local bench_rows = require "bench.contenders.rows"
local clock = require "bench.clock"
local crowd = require "bench.contenders.crowd"
local mypool = require "mypool"

local socket, user, password, database = table.unpack(arg)

local pools = {}

-- Port 0 is the socket. `reset`: "always", "never", or "apart": always, but not together with a statement.
local function options_of(port, size, reset)
  local options = {
    socket = port == 0 and socket or nil,
    host = port ~= 0 and "127.0.0.1" or nil,
    port = port ~= 0 and port or nil,
    user = user,
    password = password,
    database = database,
    max_size = size,
    reset = reset == "never" and "never" or "always",
  }
  if reset == "apart" then
    options.reset_together = false
  end
  return options
end

local function new_pool(port, size, reset)
  return mypool.new(options_of(port, size, reset))
end

-- One pool for each way to the server, kept between the tasks.
local function pool_of(port, size, reset)
  local key = table.concat({ port, size, reset }, " ")
  pools[key] = pools[key] or new_pool(port, size, reset)
  return pools[key]
end

local conn = assert(new_pool(0, 1, "always"):checkout())
local tasks = {}

function tasks.held(watch, count, method)
  local sum = 0
  watch.start()
  if method == "query" then
    for _ = 1, count do
      sum = sum + conn:query("SELECT 1")[1]["1"]
    end
  else
    for _ = 1, count do
      sum = sum + conn:value "SELECT 1"
    end
  end
  watch.stop()
  return sum
end

-- As many sessions as the program has used at once.
local function open_sessions(pool, count)
  local held = {}
  for i = 1, count do
    held[i] = assert(pool:checkout())
    assert(held[i]:value "SELECT 1" == 1)
  end
  for i = 1, count do
    held[i]:release()
  end
end

-- loan COUNT PORT SESSIONS PAUSE_US RESET: the time between the loans does not count.
function tasks.loan(watch, count, port, sessions, pause, reset)
  local pool, sum = pool_of(port, sessions, reset), 0
  open_sessions(pool, sessions)
  watch.start()
  for _ = 1, count do
    local db = assert(pool:checkout())
    sum = sum + db:value "SELECT 1"
    db:release()
    if pause > 0 then
      watch.stop()
      clock.sleep(pause * 1000)
      watch.start()
    end
  end
  watch.stop()
  return sum
end

local one_loan = {}

function one_loan.call(pool)
  return assert(pool:value "SELECT 1")
end

function one_loan.transaction(pool)
  return assert(pool:transaction(function(tx)
    return tx:value "SELECT 1"
  end))
end

-- calls COUNT PORT SESSIONS WHAT RESET: one caller, back to back, by calls of the pool or transactions.
function tasks.calls(watch, count, port, sessions, what, reset)
  local pool, call, sum = pool_of(port, sessions, reset), one_loan[what], 0
  open_sessions(pool, sessions)
  watch.start()
  for _ = 1, count do
    sum = sum + call(pool)
  end
  watch.stop()
  return sum
end

function tasks.bookkeeping(watch, count, reset)
  local pool = pool_of(0, 1, reset)
  open_sessions(pool, 1)
  watch.start()
  for _ = 1, count do
    pool:checkout():release()
  end
  watch.stop()
  return count
end

-- What any pool in Lua would have to do: an object is made, and a method of it called.
local Object = {}
Object.__index = Object

function Object:release()
  self.released = true
end

function tasks.object(watch, count)
  watch.start()
  for _ = 1, count do
    setmetatable({}, Object):release()
  end
  watch.stop()
  return count
end

local all, by_id = bench_rows.all, bench_rows.by_id
local sum_of_row = bench_rows.sum_of_one

function tasks.point_text(watch, count)
  local sum = 0
  watch.start()
  for i = 0, count - 1 do
    sum = sum + sum_of_row(conn:one(by_id, i % 10000 + 1))
  end
  watch.stop()
  return sum
end

function tasks.point_prepared(watch, count)
  local sum, statement = 0, assert(conn:prepare(by_id))
  watch.start()
  for i = 0, count - 1 do
    sum = sum + sum_of_row(statement:one(i % 10000 + 1))
  end
  watch.stop()
  statement:close()
  return sum
end

function tasks.rows_kept(watch)
  watch.start()
  local rows = assert(conn:query(all))
  watch.stop()
  return bench_rows.sum_of_all(rows)
end

function tasks.rows_kept_prepared(watch)
  local statement = assert(conn:prepare(all))
  watch.start()
  local rows = assert(statement:execute())
  watch.stop()
  statement:close()
  return bench_rows.sum_of_all(rows)
end

local function sum_of_stream(watch, open, self, ...)
  local sum = 0
  watch.start()
  for row in assert(open(self, ...)) do
    sum = sum + row.id + #row.name
  end
  watch.stop()
  return sum
end

function tasks.rows_streamed(watch)
  return sum_of_stream(watch, conn.rows, conn, all)
end

function tasks.rows_streamed_prepared(watch)
  local statement = assert(conn:prepare(all))
  local sum = sum_of_stream(watch, statement.rows, statement)
  statement:close()
  return sum
end

-- rows_endless COUNT: as many rows as wanted.
function tasks.rows_endless(watch, count)
  local n = 0
  watch.start()
  for _ in assert(conn:rows("SELECT seq, 'some text', seq / 3, NOW() FROM seq_1_to_100000000 LIMIT ?", count)) do
    n = n + 1
  end
  watch.stop()
  return n
end

function tasks.insert_one(watch, count)
  watch.start()
  local tx = assert(conn:begin())
  for i = 1, count do
    assert(tx:query("INSERT INTO bench_inserts VALUES (?, ?, ?)", i, "name number " .. i, i * 1.25))
  end
  assert(tx:commit())
  watch.stop()
  return 0
end

function tasks.insert_many(watch, count)
  local i = 0
  local function next_row()
    i = i + 1
    return i <= count and { i, "name number " .. i, i * 1.25 } or nil
  end
  watch.start()
  assert(conn:execute_many("INSERT INTO bench_inserts VALUES (?, ?, ?)", next_row))
  watch.stop()
  return 0
end

-- sessions COUNT: opens them, and keeps them idle.
function tasks.sessions(_, count)
  if count > 0 then
    open_sessions(pool_of(0, count, "always"), count)
  end
  collectgarbage()
  return count
end

local function options_of_crowd(port, reset)
  local options = options_of(port or 0, 8, reset)
  options.checkout_timeout = 600
  return options
end

-- crowd COUNT COROUTINES REQUEST RESET [PORT], on 8 sessions.
function tasks.crowd(watch, count, coroutines, what, reset, port)
  return crowd.run(options_of_crowd(port, reset), watch, count, coroutines, what)
end

-- descriptors COROUTINES: the checksum is what the process has while all wait.
function tasks.descriptors(_, coroutines)
  return crowd.descriptors(options_of_crowd(0, "never"), coroutines)
end

answer(_VERSION, tasks)
