-- A tour of mypool: what an ordinary pool lets through from one borrower to the next, and what
-- mypool does about it. Each line is checked as it is printed; the first that is not true ends the
-- tour with exit status 1.
--
--   make demo                                              starts a MariaDB server of its own
--   MYPOOL_DSN=mariadb://user:pw@host/database make demo   uses that one, as an account that may
--                                                        create tables and has PROCESS

local mypool = require "mypool"
local server = require("spec.servers.server").shared()

-- ---- a second process, for the deadlock ----
-- This file again, called with the word "rival": it runs the statements that come on its standard
-- input, on a connection of its own to the server of MYPOOL_DSN.

if arg[1] == "rival" then
  local db = assert(mypool.new(server:options()):checkout())
  for sql in io.lines() do
    assert(db:query(sql))
  end
  return
end

-- ---- printing ----

local function chapter(title)
  print(("\n%s\n%s"):format(title, ("-"):rep(#title)))
end

local function stop(line)
  io.stderr:write("NOT TRUE: ", line, "\n")
  os.exit(1, true)
end

local function proven(ok, format, ...)
  local line = format:format(...)
  if not ok then
    stop(line)
  end
  print("  ok  " .. line)
end

-- ---- what borrowers leave behind ----
-- Each: what the first borrower does; what the second one does, and what it finds when the state is
-- still there (leaks) and when it is not (clean).

local function found_value(sql)
  return function(db)
    return tostring(db:value(sql))
  end
end

local traces = {
  {
    first = "START TRANSACTION",
    leave = { "START TRANSACTION" },
    second = "inserts an order",
    find = function(db, look)
      assert(db:query "INSERT INTO tour_orders (item) VALUES ('tea')")
      return assert(look:value "SELECT COUNT(*) FROM tour_orders") == 0 and "never committed" or "committed"
    end,
    leaks = "never committed",
    clean = "committed",
  },
  {
    first = "SET @tenant = 'acme'",
    leave = { "SET @tenant = 'acme'" },
    second = "reads @tenant",
    find = found_value "SELECT @tenant",
    leaks = "acme",
    clean = "nil",
  },
  {
    first = "TEMPORARY TABLE tour_prices",
    leave = {
      "CREATE TEMPORARY TABLE tour_prices (item VARCHAR(20), price DECIMAL(6,2))",
      "INSERT INTO tour_prices VALUES ('tea', 0.01)",
    },
    second = "reads the price of tea",
    find = found_value "SELECT price FROM tour_prices WHERE item = 'tea'",
    leaks = "0.01",
    clean = "4.50",
  },
  {
    first = "GET_LOCK('tour_job')",
    leave = { "DO GET_LOCK('tour_job', 0)" },
    second = "lets others take it",
    find = function(_, look)
      return look:value "SELECT IS_FREE_LOCK('tour_job')" == 1 and "yes" or "no, locked"
    end,
    leaks = "no, locked",
    clean = "yes",
  },
  {
    first = "USE information_schema",
    leave = { "USE information_schema" },
    second = "reads tour_prices",
    find = function(db)
      return db:query "SELECT * FROM tour_prices" and "found" or "no such table"
    end,
    leaks = "no such table",
    clean = "found",
  },
  {
    first = "SET sql_mode = ''",
    leave = { "SET sql_mode = ''" },
    second = "stores '12 apples' as INT",
    find = function(db)
      return db:query "INSERT INTO tour_orders (amount) VALUES ('12 apples')" and "stored as 12" or "refused"
    end,
    leaks = "stored as 12",
    clean = "refused",
  },
  {
    needs_role = true,
    first = "SET ROLE tour_payroll",
    leave = { "SET ROLE tour_payroll" },
    second = "reads the salaries",
    find = function(db)
      return db:query "SELECT * FROM tour_secret.salaries" and "there they are" or "denied"
    end,
    leaks = "there they are",
    clean = "denied",
  },
}

local cleanup = { "DROP TABLE IF EXISTS tour_prices, tour_orders, tour_accounts" }

local setup = {
  cleanup[1],
  "CREATE TABLE tour_prices (item VARCHAR(20), price DECIMAL(6,2))",
  "INSERT INTO tour_prices VALUES ('tea', 4.50)",
  "CREATE TABLE tour_orders (item VARCHAR(20), amount INT)",
  "CREATE TABLE tour_accounts (id INT PRIMARY KEY, owner VARCHAR(20), balance DECIMAL(10,2) NOT NULL)",
  "INSERT INTO tour_accounts WITH RECURSIVE ids (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 100) "
    .. "SELECT id, ELT(id, 'Ann', 'Bob'), 100 FROM ids",
}

-- Only the private server has the account `limited`, for which a role means something.
local role_setup = {
  "CREATE DATABASE tour_secret",
  "CREATE TABLE tour_secret.salaries (name VARCHAR(20), salary INT)",
  "INSERT INTO tour_secret.salaries VALUES ('Ann', 90000)",
  "CREATE ROLE tour_payroll",
  "GRANT SELECT ON tour_secret.* TO tour_payroll",
  "GRANT tour_payroll TO limited@localhost",
}

local function run_all(db, statements)
  for _, sql in ipairs(statements) do
    assert(db:query(sql))
  end
end

local same = true -- so far both borrowers had the same session

-- The first borrower leaves something in a session; the second gets the same session.
local function next_borrower(pool, trace, look)
  local id
  do
    local db <close> = assert(pool:checkout())
    run_all(db, trace.leave)
    id = db:id()
  end
  local db <close> = assert(pool:checkout())
  same = same and db:id() == id
  return trace.find(db, look)
end

local function pool_of_one(reset)
  return mypool.new(server:options { user = server.own and "limited" or nil, max_size = 1, reset = reset })
end

-- A pool for each trace, so that one does not lead to another; after it, nothing is left.
local function try(trace, reset, look)
  local pool = pool_of_one(reset)
  local found = next_borrower(pool, trace, look)
  pool:close()
  assert(look:query "DELETE FROM tour_orders")
  return found
end

local function show_traces(look)
  local line = "%-29s %-27s %-17s %s"
  chapter "1  What a borrower leaves behind"
  print "A connection's session has a memory: transaction, variables, locks, database, modes, role."
  print "Below, a first borrower leaves something in it and gives the connection back. The next"
  print "borrower gets that same server connection, and does something harmless. The ordinary pool"
  print "is mypool with reset = \"never\".\n"
  print(("      " .. line):format("the first borrower", "the next one", "ordinary pool", "mypool"))
  for _, trace in ipairs(traces) do
    if server.own or not trace.needs_role then
      local leaks, clean = try(trace, "never", look), try(trace, "always", look)
      proven(leaks == trace.leaks and clean == trace.clean, line, trace.first, trace.second, leaks, clean)
    end
  end
  proven(same, "every time both borrowers had the same server connection")
end

-- ---- connections that die ----

-- Checks out `count` connections at once, so that as many are idle afterwards. Returns their ids.
local function fill(pool, count)
  local held, ids = {}, {}
  for i = 1, count do
    held[i] = assert(pool:checkout())
    ids[i] = held[i]:id()
    assert(held[i]:query "DO 0")
  end
  for i = 1, count do
    held[i]:release()
  end
  return ids
end

-- Ten queries and a ping; returns how many of them failed.
local function use(pool)
  local failed = pool:ping() and 0 or 1
  for _ = 1, 10 do
    failed = failed + (pool:value "SELECT COUNT(*) FROM tour_accounts" == 100 and 0 or 1)
  end
  return failed
end

local function show_kill(pool, look)
  chapter "2  The server closes every idle connection"
  local ids = fill(pool, 10)
  local before = pool:stats().stale
  for _, id in ipairs(ids) do
    assert(look:query("KILL CONNECTION ?", id))
  end
  proven(pool:stats().idle == 10, "10 connections wait in the pool, all killed on the server")
  proven(use(pool) == 0, "1 ping and 10 queries afterwards: no error")
  proven(pool:stats().stale - before == 10, "10 dead connections were found and replaced, unseen")
end

local function show_restart(pool)
  chapter "3  The server restarts"
  if not server.own then
    print "  (left out: the server of MYPOOL_DSN is not ours to stop)"
    return
  end
  fill(pool, 10)
  server:restart()
  proven(use(pool) == 0, "after a shutdown and start, 1 ping and 10 queries: no error")
  fill(pool, 10)
  server:kill()
  server:resume()
  proven(use(pool) == 0, "after kill -9 and start, 1 ping and 10 queries: no error")
end

-- ---- a deadlock ----

-- INNODB_TRX is renewed only when nobody has looked for a tenth of a second.
local function wait_until(look, sql, ...)
  for _ = 1, 70 do
    local value = look:value(sql, ...)
    if value then
      return value
    end
    look:query "DO SLEEP(0.15)"
  end
  stop "the other process got there within 10 seconds"
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function start_rival()
  local dsn = server.own and ("MYPOOL_DSN=%s "):format(quote(server:dsn())) or ""
  local pipe = assert(io.popen(("%sexec %s %s rival"):format(dsn, quote(arg[-1]), quote(arg[0])), "w"))
  return function(sql)
    if not sql then
      return pipe:close()
    end
    pipe:write(sql, "\n")
    pipe:flush()
  end
end

local rival_waits =
  "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT' AND trx_mysql_thread_id = ?"

local function show_deadlock(pool, look)
  chapter "4  Moving money through a deadlock"
  print "Ann and Bob have 100 each. Another process adds 1 to all, while Ann gives 30 to Bob.\n"
  local rival = start_rival()
  -- InnoDB undoes the transaction that has changed less: ours, since the rival changes 99 rows.
  rival "START TRANSACTION"
  rival "UPDATE tour_accounts SET balance = balance + 1 WHERE id >= 2"
  rival "DO GET_LOCK('tour_rival', 0)"
  local rival_id = wait_until(look, "SELECT IS_USED_LOCK('tour_rival')")
  local runs, refused = 0, nil
  local moved, why = pool:transaction(function(tx)
    runs = runs + 1
    assert(tx:query "UPDATE tour_accounts SET balance = balance - 30 WHERE id = 1")
    if runs == 1 then
      rival "UPDATE tour_accounts SET balance = balance + 1 WHERE id = 1"
      rival "COMMIT"
      wait_until(look, rival_waits, rival_id)
    end
    local ok, err = tx:query "UPDATE tour_accounts SET balance = balance + 30 WHERE id = 2"
    refused = refused or err
    return assert(ok, err) and "moved"
  end)
  proven(refused and refused.errno == 1213, "another process held Bob's row and wanted Ann's: error 1213, deadlock")
  proven(moved == "moved" and runs == 2, "the transfer was rolled back and run again (%d runs): %s", runs, moved or why)
  proven(rival(), "the other process finished its work, too")
  local ann = look:value "SELECT balance FROM tour_accounts WHERE id = 1"
  local bob = look:value "SELECT balance FROM tour_accounts WHERE id = 2"
  proven(ann == "71.00" and bob == "131.00", "30 moved once: Ann 100 + 1 - 30 = %s, Bob 100 + 1 + 30 = %s", ann, bob)
end

-- ---- numbers ----

local shown = {
  { "checkouts", "connections lent" },
  { "opened", "connections opened" },
  { "stale", "found dead in the pool, and replaced" },
  { "resets_sent", "sessions cleaned" },
  { "resets_hidden", "of them without waiting at the next checkout" },
  { "lent", "out right now" },
  { "idle", "waiting in the pool" },
}

local function show_stats(pool)
  local stats = pool:stats()
  chapter "5  pool:stats()"
  for _, row in ipairs(shown) do
    print(("  %6d  %-14s %s"):format(stats[row[1]], row[1], row[2]))
  end
  proven(stats.lent == 0, "every connection came back")
  proven(stats.opened - stats.closed == stats.idle + stats.lent, "opened - closed = idle + lent")
end

-- ---- the tour ----

local pool = mypool.new(server:options { max_size = 10 })
local look = mypool.new(server:options { max_size = 1 }) -- sees what the others have really done

print(("mypool %s on %s %s"):format(
  mypool._VERSION,
  server.own and "a private MariaDB" or "the server of MYPOOL_DSN,",
  assert(look:value "SELECT VERSION()")
))
run_all(look, setup)
if server.own then
  run_all(look, role_setup)
end

show_traces(look)
show_kill(pool, look)
show_restart(pool)
show_deadlock(pool, look)
show_stats(pool)

pool:close()
run_all(look, cleanup)
look:close()
print "\nAll of this is true."
