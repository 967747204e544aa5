-- A process of `make soak`: mixed load on one pool while soak.lua breaks things around it. Each key that it
-- inserts goes to a file with what mypool said of it: "yes", "no" or "unknown".
--
--   require "tools.soak_load" { port = …, seconds = …, cqueues = true, name = "c", record = "file" }
--
-- In the end it checks its pool and prints numbers as name=value; it raises when something does not hold.

local auxlib = require "cqueues.auxlib"
local cqueues = require "cqueues"
local mypool = require "mypool"
local strangers = require "spec.support.strangers"

local function chance(n)
  return math.random(n) == 1
end

local WARM_SECONDS = 120 -- until then the memory still grows to what the load needs

local pool, record, name
local keys, kinds = 0, {}

-- ---- what was said of each key ----

local function new_key()
  keys = keys + 1
  return name .. keys
end

-- Of keys that come and go together.
local function report(outcome, ...)
  local first = ...
  for _, key in ipairs { ... } do
    assert(record:write(key, " ", outcome, " ", first, "\n"))
  end
end

local function count(err)
  kinds[err.kind] = (kinds[err.kind] or 0) + 1
end

-- Of a statement that commits by itself.
local function report_statement(key, result, err)
  if result then
    return report("yes", key)
  end
  count(err)
  report(err.executed, key)
end

-- Of a transaction: unless its COMMIT is in doubt, an error means that nothing of it is there.
local function report_transaction(list, ok, err)
  if not ok then
    count(err)
  end
  report(ok and "yes" or err.kind == "commit_unknown" and "unknown" or "no", table.unpack(list))
end

-- What the faults did to a statement that inserts nothing.
local function forgive(result, err)
  if not result and err then
    count(err)
  end
  return result
end

-- ---- the load ----

local INSERT = "INSERT INTO soak VALUES (?, ?)"

local function query()
  local key = new_key()
  report_statement(key, pool:query(INSERT, key, ("x"):rep(math.random(200))))
end

local function several_in_a_loan()
  local conn <close> = forgive(pool:checkout())
  for _ = 1, conn and 3 or 0 do
    local key = new_key()
    forgive(conn:query("SET @key = ?", key))
    report_statement(key, conn:query(INSERT, key, "loan"))
  end
end

local function transaction()
  local list = { new_key(), new_key() }
  report_transaction(list, pool:transaction(function(tx)
    for _, key in ipairs(list) do
      assert(tx:query(INSERT, key, "transaction"))
    end
    return true
  end))
end

local function rolled_back()
  local key = new_key()
  local _, err = pool:transaction(function(tx)
    assert(tx:query(INSERT, key, "rolled back"))
    return nil, "changed my mind"
  end)
  if err ~= "changed my mind" then
    count(err)
  end
  report("no", key)
end

local function prepared()
  local conn <close> = forgive(pool:checkout())
  local statement = conn and forgive(conn:prepare(INSERT))
  for _ = 1, statement and 3 or 0 do
    local key = new_key()
    report_statement(key, statement:execute(key, "prepared"))
  end
end

local function bulk()
  local list, rows = {}, {}
  for i = 1, 50 do
    list[i] = new_key()
    rows[i] = { list[i], "bulk" }
  end
  report_transaction(list, pool:execute_many(INSERT, rows))
end

-- The time limit comes before, while or after it takes effect.
local function timed_out()
  local key = new_key()
  local sql = "INSERT INTO soak SELECT ?, SLEEP(?)"
  report_statement(key, pool:query({ sql, timeout = 0.02 }, key, math.random() * 0.04))
end

-- A text that others are sending, too.
local function timed_out_among_others()
  forgive(pool:query { strangers.texts[math.random(#strangers.texts)], timeout = math.random() * 0.25 })
end

-- What fails and, where a lock wait that times out undoes everything, all before it.
local harms = {
  "UPDATE soak_locked SET n = n + 1",
  "SELECT * FROM missing",
  "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'a deadlock'",
}

-- By key, what was said of its statement; and what the transaction's COMMIT returned.
local function report_parts(outcomes, ok, err)
  local doubtful, together = not ok and err.kind == "commit_unknown", {}
  for key, outcome in pairs(outcomes) do
    if outcome == "yes" then
      together[#together + 1] = key
    else
      report((ok or doubtful) and outcome or "no", key)
    end
  end
  report(ok and "yes" or doubtful and "unknown" or "no", table.unpack(together))
end

-- Its caller looks at no error.
local function careless()
  local list, half, outcomes = { new_key(), new_key(), new_key() }, new_key(), {}
  local function note(key, result, err)
    outcomes[key] = result and "yes" or err.executed
  end
  local ok, err = pool:transaction(function(tx)
    for _, key in ipairs(list) do
      note(key, tx:query(INSERT, key, "careless"))
      if chance(2) then
        tx:query(harms[math.random(#harms)])
      end
    end
    outcomes[half] = "no" -- as long as it does not run
    if chance(2) then
      note(half, tx:query("CALL half(?)", half))
    end
    return true
  end)
  if not ok then
    count(err)
  end
  report_parts(outcomes, ok, err)
end

-- Half of it may be there, which its error says.
local function failing_call()
  local key = new_key()
  report_statement(key, pool:query("CALL half(?)", key))
end

local function stream()
  pcall(function() -- a loop has no place for an error but to raise it
    for row in assert(pool:rows "SELECT seq, REPEAT('y', 100) AS y FROM seq_1_to_5000") do
      if row.seq >= 3000 and chance(2) then
        break
      end
    end
  end)
end

-- Session state that nobody else may see.
local function state()
  local conn <close> = forgive(pool:checkout())
  if not conn then
    return
  end
  assert(forgive(conn:value "SELECT @mine") == nil, "a session was not clean")
  forgive(conn:query "SET @mine = 1, autocommit = 0")
  if chance(3) then
    forgive(conn:reset())
  end
end

local function unread()
  forgive(pool:query "SELECT seq FROM seq_1_to_20000")
end

local function ping()
  forgive(pool:ping())
end

local loads = { query, query, several_in_a_loan, transaction, rolled_back, prepared, bulk, timed_out,
  timed_out_among_others, careless, failing_call, stream, state, unread, ping }

local function one_load()
  loads[math.random(#loads)]()
end

-- ---- in a plain program, or in coroutines ----

-- Nobody hears the end of what this coroutine began.
local function abandoned()
  local key = new_key()
  report("unknown", key)
  local inner = cqueues.new()
  inner:wrap(function()
    local conn = forgive(pool:checkout())
    if conn then
      forgive(conn:query("INSERT INTO soak SELECT ?, SLEEP(?)", key, math.random() * 0.02))
    end
  end)
  inner:step(math.random() * 0.03)
end

-- Of what is interrupted nobody knows whether it took effect; but all of it did, or nothing.
local function two_in_a_transaction(list)
  return pool:transaction(function(tx)
    for _, key in ipairs(list) do
      assert(tx:query(INSERT, key, "interrupted"))
    end
    return true
  end)
end

local function closed()
  local list = { new_key(), new_key() }
  report("unknown", table.unpack(list))
  local co = coroutine.create(two_in_a_transaction)
  cqueues.running():wrap(auxlib.resume, co, list)
  cqueues.sleep(math.random() * 0.02)
  assert(coroutine.close(co))
end

local adapter = require "mypool.wait.cqueues"
local interrupted = setmetatable({}, { __mode = "k" }) -- coroutines

local function wait_or_raise(fd, seconds)
  if interrupted[coroutine.running()] and chance(4) then
    error("on purpose", 0)
  end
  return adapter.wait(fd, seconds)
end

local function raised()
  local list, co = { new_key(), new_key() }, coroutine.running()
  report("unknown", table.unpack(list))
  interrupted[co] = true
  local ok, err = pcall(two_in_a_transaction, list)
  interrupted[co] = nil
  assert(ok or err == "on purpose", err)
end

local ends = { abandoned, closed, raised }

local function work_until(deadline, may_end)
  while cqueues.monotime() < deadline do
    if may_end and chance(15) then
      ends[math.random(#ends)]()
    else
      one_load()
    end
  end
end

local function run_in_coroutines(deadline)
  local loop = cqueues.new()
  for _ = 1, 10 do
    loop:wrap(work_until, deadline, true)
  end
  assert(loop:loop())
end

-- ---- what holds in the end ----

local function number_in(file, pattern)
  local opened <close> = assert(io.open(file))
  return tonumber(opened:read("a"):match(pattern))
end

local function resident_kib()
  collectgarbage()
  collectgarbage()
  return number_in("/proc/self/status", "VmRSS:%s+(%d+)")
end

local count_descriptors = require "spec.support.descriptors"

local function descriptors()
  collectgarbage()
  collectgarbage()
  return count_descriptors()
end

-- Every place can be used, within the time that recovering takes.
local function use_all(size)
  local deadline, conns = cqueues.monotime() + 60, {}
  while #conns < size do
    local conn, err = pool:checkout(5)
    if conn and conn:ping() then
      conns[#conns + 1] = conn
    elseif conn then
      conn:release()
    end
    assert(cqueues.monotime() < deadline, err or "the pool does not recover")
  end
  for _, conn in ipairs(conns) do
    conn:release()
  end
end

local function check_pool(size)
  collectgarbage()
  collectgarbage()
  use_all(size)
  local stats = pool:stats()
  assert(stats.lent == 0 and stats.waiting == 0, "a loan is out")
  assert(stats.opened - stats.closed == stats.idle + stats.recovering, "opened - closed is not what there is")
  assert(stats.size == stats.idle + stats.recovering + stats.opening, "a place is lost")
  return stats
end

local function print_numbers(numbers)
  local parts = {}
  for title, number in pairs(numbers) do
    parts[#parts + 1] = ("%s=%s"):format(title, number)
  end
  table.sort(parts)
  print(table.concat(parts, " "))
end

return function(given)
  warn "@off" -- of abandoned loans
  cqueues.sleep(0) -- outside of a controller it makes one for good
  local before, began = descriptors(), cqueues.monotime()
  name, record = given.name, assert(io.open(given.record, "w"))
  math.randomseed(given.seed)
  pool = mypool.new {
    host = "127.0.0.1", port = given.port, user = "app", password = "secret", database = "app",
    max_size = 6, checkout_timeout = 2, connect_timeout = 2, query_timeout = 2,
    wait = given.cqueues and { wait = wait_or_raise, forget = adapter.forget } or nil,
  }
  local run = given.cqueues and run_in_coroutines or work_until
  run(began + math.max(given.seconds / 4, math.min(given.seconds / 2, WARM_SECONDS)))
  local warm = resident_kib()
  run(began + given.seconds)
  record:close()
  local numbers = check_pool(6)
  pool:close()
  assert(pool:stats().opened == pool:stats().closed, "a closed pool has sessions")
  pool = nil
  numbers.kib_warm, numbers.kib_end, numbers.keys = warm, resident_kib(), keys
  for kind, errors in pairs(kinds) do
    numbers["failed_" .. kind] = errors
  end
  print_numbers(numbers)
  local after = descriptors()
  assert(after <= before, ("%d descriptors in the beginning, %d in the end"):format(before, after))
  local grown = given.seconds >= 2 * WARM_SECONDS and numbers.kib_end - warm or 0
  assert(grown <= 8192, ("%d KiB when warm, %d in the end"):format(warm, numbers.kib_end))
end
