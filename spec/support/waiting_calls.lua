-- Calls that wait several times, one for each public function that may wait: for specs that end their coroutines in
-- the middle. Each has
--
--   name
--   run(pool, pause, lent)   `pause` is called where the program's own functions may wait
--   options                  of the pool, if any; they may call `pause`, too
--   connects                 worth being ended while it connects: on a new pool
--   lends                    all connections are lent meanwhile, one of which is `lent`, to be released
--
-- The database has what waiting_calls.prepare(s) makes.

local waiting_calls = {}

function waiting_calls.prepare(s)
  s:sql "CREATE TABLE app.t (n INT)"
  s:sql "DELIMITER //\nCREATE PROCEDURE two() BEGIN SELECT seq FROM seq_1_to_3000; SELECT seq FROM seq_1_to_3000; END//"
end

local slow = "SELECT SLEEP(0.002)"
local many = "SELECT seq, REPEAT('x', 500) AS pad FROM seq_1_to_5000"

local calls = {}

local function add(name, run, more)
  local call = { name = name, run = run }
  for key, value in pairs(more or {}) do
    call[key] = value
  end
  calls[#calls + 1] = call
end

add("a checkout", function(pool)
  assert(pool:checkout())
end, { connects = true })

add("a checkout that waits for a release", function(pool, _, lent)
  local conn, err = pool:checkout(0.01)
  assert(conn == nil and err.kind == "exhausted", err)
  lent:release()
  assert(pool:checkout())
end, { lends = true })

add("a query", function(pool)
  assert(pool:query(slow))
  assert(pool:one(slow))
  assert(pool:value(slow))
end, { connects = true })

add("queries in a loan", function(pool)
  local conn = assert(pool:checkout())
  assert(conn:query(slow))
  assert(conn:query(slow))
  assert(conn:warnings())
end)

add("the fetch of many rows", function(pool)
  assert(#assert(pool:query(many)) == 5000)
end)

add("a CALL with two results", function(pool)
  assert(#assert(select(2, pool:query "CALL two()")) == 3000)
end)

add("rows in a loop", function(pool, pause)
  for row in assert(pool:rows(many)) do
    if row.seq % 1000 == 0 then
      pause()
    end
  end
end)

add("rows in a loop that is left early", function(pool, pause)
  local conn <close> = assert(pool:checkout())
  for row in assert(conn:rows(slow .. " AS zero FROM seq_1_to_3")) do
    pause()
    if row.zero == 0 then
      break
    end
  end
  assert(conn:ping())
end)

add("pool:with", function(pool, pause)
  pool:with(function(conn)
    assert(conn:query(slow))
    pause()
    assert(conn:query "SET @a = 1")
  end)
end)

add("a transaction", function(pool, pause)
  assert(pool:transaction(function(tx)
    assert(tx:query "INSERT INTO t VALUES (1)")
    pause()
    assert(tx:transaction(function(inner)
      assert(inner:query "INSERT INTO t VALUES (2)")
      pause()
      return true
    end))
    return true
  end))
end)

add("a transaction on a connection", function(pool, pause)
  local conn = assert(pool:checkout())
  assert(conn:transaction({ isolation = "read committed" }, function(tx)
    assert(tx:query "INSERT INTO t VALUES (1)")
    pause()
    return true
  end))
end)

add("a transaction that runs again", function(pool)
  local runs = 0
  assert(pool:transaction(function(tx)
    runs = runs + 1
    if runs == 1 then
      return tx:query "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'on purpose'"
    end
    return true
  end))
end)

add("begin, and what ends it", function(pool)
  local tx = assert(pool:begin())
  assert(tx:query "INSERT INTO t VALUES (2)")
  assert(assert(tx:begin()):rollback())
  assert(tx:commit())
  assert(assert(pool:begin { isolation = "serializable" }):rollback())
end)

add("a prepared statement", function(pool)
  local conn = assert(pool:checkout())
  local statement = assert(conn:prepare "SELECT SLEEP(?), seq FROM seq_1_to_3")
  assert(statement:execute(0.001))
  assert(statement:one(0))
  for _ in assert(statement:rows(0.001)) do -- luacheck: ignore
  end
end)

add("many rows from an iterator", function(pool, pause)
  local n = 0
  assert(pool:execute_many("INSERT INTO t VALUES (?)", function()
    n = n + 1
    pause()
    return n <= 3 and { n } or nil
  end))
end)

-- An answer that is there at once is not waited for, which a machine under load makes of any ping now and then.
add("a ping", function(pool)
  assert(pool:ping())
  local conn = assert(pool:checkout())
  for _ = 1, 4 do
    assert(conn:ping())
  end
end, { may_not_wait = true })

add("a reset in the middle of a loan", function(pool)
  local conn = assert(pool:checkout())
  assert(conn:query "SET @a = 1")
  assert(conn:reset())
end)

add("the stopping of a statement", function(pool)
  local result, err = pool:query { "SELECT SLEEP(5)", timeout = 0.002 }
  assert(result == nil and err.kind == "timeout", err)
  assert(pool:query "SELECT 1")
end)

local pauses = setmetatable({}, { __mode = "k" }) -- by coroutine, those of calls in progress

local function paused()
  local pause = pauses[coroutine.running()]
  if pause then
    pause()
  end
end

local function with_pause(run)
  return function(pool, pause)
    pauses[coroutine.running()] = pause
    run(pool)
  end
end

add(
  "on_connect",
  with_pause(function(pool)
    assert(pool:query "SELECT 1")
  end),
  {
    connects = true,
    options = {
      on_connect = function(conn)
        assert(conn:query "SET @connected = 1")
        paused()
        assert(conn:query(slow))
      end,
    },
  }
)

add(
  "the audit, and its event",
  with_pause(function(pool)
    pool:with(function(conn)
      conn:query "SET time_zone = '+03:00'"
      conn:release { reset = false }
    end)
    assert(pool:query "SELECT 1")
  end),
  { options = { audit = true, on_event = paused } }
)

waiting_calls.calls = calls

return waiting_calls
