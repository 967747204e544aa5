-- What the server may do to a statement, and to the session of a loan that has used it already: what the caller is
-- told, what became of the statement, and whether the session stays in the pool.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local whole = require "spec.support.whole"

local scheduler = schedulers.cqueues()
local s = fixture.server { options = { "--max-allowed-packet=16M" } }
fixture.table(s, "runs", "n INT PRIMARY KEY")

setup(function()
  s:sql "CREATE TABLE app.locked (n INT PRIMARY KEY); INSERT INTO app.locked VALUES (1), (2)"
end)

after_each(pools.close)

local function make_account(name, limit)
  for _, account in ipairs { name, name .. "@localhost" } do
    s:sql(("CREATE OR REPLACE USER %s IDENTIFIED BY 'secret' WITH %s"):format(account, limit))
    s:sql(("GRANT ALL ON app.* TO %s"):format(account))
  end
end

local function await(condition)
  eventually(condition, cqueues.sleep)
end

local function count(sql)
  return math.tointeger(s:sql("SELECT COUNT(*) FROM " .. sql)[1])
end

local function is_running(id)
  return count("information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP%' AND ID = " .. id) > 0
end

local function await_end(id)
  await(function()
    return count("information_schema.PROCESSLIST WHERE ID = " .. id) == 0
  end)
end

-- What an error says, in the order of the tables below.
local function words_of(err)
  return { err.kind, err.errno or 0, err.sqlstate or "", err.executed, err.retryable, err.fatal }
end

-- Asserts that the error is one of the expected ones; returns it.
local function assert_one_of(expected, err)
  for _, words in ipairs(expected) do
    if err.errno == words[2] or not err.errno and words[2] == 0 then
      assert.same(words, words_of(err), err.message)
      return err
    end
  end
  assert.same(expected[1], words_of(err), err.message)
end

local function server_error(errno, sqlstate, retryable)
  return { "server", errno, sqlstate, "no", retryable or false, false }
end

local lost_before = { "lost", 2006, "HY000", "no", true, true }
local lost_within = { "lost", 2013, "HY000", "unknown", false, true }
local said_killed = { "lost", 1927, "70100", "unknown", false, true }
local said_down = { "lost", 1053, "08S01", "unknown", false, true } -- MariaDB 10.5
local timed_out = { "timeout", 0, "", "unknown", false, true }

-- A statement that takes its time, then writes one row.
local slow = "INSERT INTO runs SELECT 1 + 0 * SLEEP(20)"
local woken = "an error for a SLEEP that is stopped"

-- In the middle of the statement: strike(id) when the server runs it; sees: one of these.
local during = {
  { "KILL", sees = { lost_within, said_killed }, strike = function(id)
    s:sql("KILL " .. id)
  end },
  { "KILL QUERY", needs = woken, sees = { server_error(1317, "70100") }, stays = true, strike = function(id)
    s:sql("KILL QUERY " .. id)
  end },
  -- Whether the last word comes through before the server closes the session is a matter of chance.
  {
    "SIGTERM and a restart",
    needs = woken,
    sees = { lost_within, server_error(1317, "70100"), said_killed, said_down },
    strike = function()
      s:restart()
    end,
  },
  { "SIGKILL and a restart", sees = { lost_within }, strike = function()
    s:kill()
    s:resume()
  end },
  -- The session may be of use again after it.
  { "SIGSTOP", sees = { timed_out }, timeout = 0.5, stays = "perhaps", strike = function()
    s:pause()
    cqueues.sleep(1)
    s:continue()
  end },
  { "max_statement_time", needs = "max_statement_time", sees = { server_error(1969, "70100") }, stays = true,
    before = function(conn)
      assert(conn:query "SET max_statement_time = 0.1")
    end },
  { "max_statement_time of the account", needs = "max_statement_time", sees = { server_error(1969, "70100") },
    stays = true, user = "hurried" },
}

-- Before the statement, in a loan that ran one: strike(conn, id); `conn` may be a transaction.
local before = {
  { "wait_timeout", sees = { lost_before }, strike = function(conn)
    assert(conn:query "SET wait_timeout = 1")
  end },
  { "idle_transaction_timeout", needs = "idle_transaction_timeout", sees = { lost_before }, strike = function(conn)
    assert(conn:query "SET idle_transaction_timeout = 1")
    assert(conn:query "SELECT * FROM runs")
  end, within = true },
  { "KILL", sees = { lost_before }, strike = function(_, id)
    s:sql("KILL " .. id)
  end },
  { "SIGTERM and a restart", sees = { lost_before }, strike = function()
    s:restart()
  end },
  { "SIGKILL and a restart", sees = { lost_before }, strike = function()
    s:kill()
    s:resume()
  end },
}

-- A statement that the server refuses: run(conn) returns the failure; undo() ends the fault.
local refused = {
  { "read_only", sees = { server_error(1290, "HY000", true) }, user = "limited", run = function(conn)
    s:sql "SET GLOBAL read_only = ON"
    return conn:query "INSERT INTO runs VALUES (1)"
  end, undo = function()
    s:sql "SET GLOBAL read_only = OFF"
  end },
  { "a packet too large", sees = { server_error(1153, "") }, stays = true, run = function(conn)
    return conn:query("INSERT INTO runs SELECT LENGTH(?)", ("x"):rep(17 * 1024 * 1024))
  end },
  { "a packet too large, prepared", sees = { server_error(1153, "") }, stays = true,
    run = function(conn)
      local statement = assert(conn:prepare "INSERT INTO runs SELECT LENGTH(?)")
      return statement:execute(("x"):rep(17 * 1024 * 1024))
    end },
  { "max_queries_per_hour", sees = { server_error(1226, "42000") }, user = "rationed", stays = true,
    run = function(conn)
      local result, err
      repeat
        result, err = conn:query "DO 0"
      until not result
      return nil, err
    end, undo = function()
    s:sql "ALTER USER rationed WITH MAX_QUERIES_PER_HOUR 0; FLUSH USER_RESOURCES"
  end },
  { "a lock wait", sees = { server_error(1205, "HY000", true) }, stays = true, run = function(conn, other)
    assert(other:query "START TRANSACTION")
    assert(other:query "UPDATE locked SET n = n + 10 WHERE n = 1")
    assert(conn:query "SET innodb_lock_wait_timeout = 1")
    local result, err = conn:query "INSERT INTO runs SELECT n FROM locked WHERE n = 1 FOR UPDATE"
    assert(other:query "ROLLBACK")
    return result, err
  end },
  { "a deadlock", sees = { server_error(1213, "40001", true) }, stays = true, run = function(conn, other)
    local id, done = other:id(), false
    assert(other:query "START TRANSACTION")
    assert(other:query "INSERT INTO runs VALUES (11), (12), (13)") -- the victim is who wrote less
    assert(other:query "SELECT n FROM locked WHERE n = 1 FOR UPDATE")
    assert(conn:query "START TRANSACTION")
    assert(conn:query "SELECT n FROM locked WHERE n = 2 FOR UPDATE")
    cqueues.running():wrap(function()
      other:query "SELECT n FROM locked WHERE n = 2 FOR UPDATE"
      done = true
    end)
    await(function()
      return count("information_schema.PROCESSLIST WHERE INFO LIKE '%n = 2 FOR%' AND ID = " .. id) > 0
    end)
    local result, err = conn:query "SELECT n FROM locked WHERE n = 1 FOR UPDATE"
    await(function()
      return done
    end)
    assert(other:query "ROLLBACK")
    return result, err
  end },
}

-- What the fault did to the statement must fit what was said of it. `rows`: that it left behind.
local function account(title, err, rows)
  local lost = (err and err.executed == "no" and rows or 0) + (not err and 1 - rows or 0)
  ledger.enter("server: " .. title, { faults = 1, statements = 1, twice = rows > 1 and 1 or 0, lost = lost })
  assert.is_true(rows <= 1, rows)
  assert.equal(0, lost)
end

-- Gives the connection back; the session stays in the pool exactly if that is expected. A restarted server counts
-- its connections anew, so their ids tell nothing.
local function assert_release(pool, conn, stays)
  local opened = pool:stats().opened
  conn:release()
  assert(pool:checkout()):release()
  if stays ~= "perhaps" and (not stays or dialect.has "COM_RESET_CONNECTION") then
    assert.equal(stays or false, pool:stats().opened == opened)
  end
end

for _, way in ipairs { "options", "tcp_options" } do
  local function new(fault)
    return pools.new(s[way](s, {
      max_size = 3,
      user = fault.user,
      connect_timeout = 1,
      checkout_timeout = 10,
      wait = scheduler.wait,
    }))
  end

  -- A loan that ran a statement already, and its session's id.
  local function begin(pool)
    local conn = assert(pool:checkout())
    assert(conn:query "SET @left_behind = 1")
    return conn, conn:id()
  end

  describe(("#slow in the middle of a statement over %s"):format(way), function()
    setup(function()
      if dialect.has "max_statement_time" then
        make_account("hurried", "MAX_STATEMENT_TIME 0.1")
      end
    end)

    for _, fault in ipairs(during) do
      it(("%s is told as what it is"):format(fault[1]), function()
        dialect.needs(fault.needs, pending)
        local pool = new(fault)
        local conn, id, result, err
        scheduler.run(function()
          conn, id = begin(pool)
          if fault.before then
            fault.before(conn)
          end
          result, err = conn:query { slow, timeout = fault.timeout }
        end, function()
          if fault.strike then
            await(function()
              return id and is_running(id)
            end)
            fault.strike(id)
          end
        end)
        assert.is_nil(result)
        assert_one_of(fault.sees, err)
        account(fault[1], err, count "app.runs")
        scheduler.run(function()
          assert_release(pool, conn, fault.stays)
          whole(pool, 3)
        end)
      end)
    end
  end)

  describe(("#slow in a loan over %s that has been used"):format(way), function()
    for _, fault in ipairs(before) do
      it(("%s is told before anything is sent"):format(fault[1]), function()
        dialect.needs(fault.needs, pending)
        local pool = new(fault)
        scheduler.run(function()
          local conn, id = begin(pool)
          if fault.within then
            assert(conn:query "START TRANSACTION")
          end
          fault.strike(conn, id)
          await_end(id)
          local result, err = conn:query "INSERT INTO runs VALUES (1)"
          assert.is_nil(result)
          assert_one_of(fault.sees, err)
          account(fault[1] .. ", at rest", err, count "app.runs")
          assert_release(pool, conn, false)
          whole(pool, 3)
        end)
      end)

      it(("%s makes a transaction run again"):format(fault[1]), function()
        dialect.needs(fault.needs, pending)
        local pool = new(fault)
        scheduler.run(function()
          local runs = 0
          local result, err = pool:transaction(function(tx)
            runs = runs + 1
            assert(tx:query "INSERT INTO runs VALUES (2)")
            if runs == 1 then
              local id = tx:value "SELECT CONNECTION_ID()"
              fault.strike(tx, id)
              await_end(id)
            end
            local inserted, failure = tx:query "INSERT INTO runs VALUES (1)"
            return inserted and runs, failure
          end)
          assert.equal(2, result, err)
          account(fault[1] .. ", in a transaction", nil, count "app.runs WHERE n = 1")
          assert.equal(2, count "app.runs")
          whole(pool, 3)
        end)
      end)
    end
  end)

  describe(("refused by the server over %s"):format(way), function()
    setup(function()
      if dialect.has "ALTER USER" then
        make_account("rationed", "MAX_QUERIES_PER_HOUR 30")
      end
    end)

    for _, fault in ipairs(refused) do
      it(("%s is told by its number"):format(fault[1]), function()
        dialect.needs(fault.user == "rationed" and "ALTER USER", pending)
        local pool = new(fault)
        scheduler.run(function()
          local other = assert(new({}):checkout())
          local conn = begin(pool)
          local result, err = fault.run(conn, other)
          other:release()
          if fault.undo then
            fault.undo()
          end
          assert.is_nil(result)
          assert_one_of(fault.sees, err)
          account(fault[1], err, count "app.runs")
          assert_release(pool, conn, fault.stays)
          whole(pool, 3)
        end)
      end)
    end
  end)
end
