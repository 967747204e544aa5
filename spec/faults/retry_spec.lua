-- The retry table, phase by phase: what a caller sees of a connection that is cut, falls silent or lies, how often
-- its statement ran, and that the pool and the server agree on their sessions afterwards.

local dialect = require "spec.servers.dialect"
local is_error = require("mypool").is_error
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local monotime = require("cqueues").monotime
local plain = require "spec.plain"
local pools = require "spec.support.pools"

local s = fixture.server()
local r = fixture.relay(s)
local observer
local last_n = 1000 -- of four digits, so that statements are of one length

setup(function()
  observer = assert(plain.connect { socket = s.socket, user = "root", database = "app" })
  assert(observer:query "CREATE TABLE runs (n INT) ENGINE=InnoDB")
  s:sql [[DELIMITER //
    CREATE PROCEDURE app.insert_and_select(n INT)
      BEGIN INSERT INTO runs VALUES (n); SELECT seq, REPEAT('x', 100) FROM seq_1_to_3000; END//]]
  if dialect.has "ROLE" then
    s:sql "CREATE ROLE reader; GRANT SELECT ON app.* TO reader; GRANT reader TO app@'%'; GRANT reader TO app@localhost"
  end
end)

teardown(function()
  observer:close()
end)

after_each(function()
  r:reset()
  pools.close()
end)

-- ---- what a caller sees ----

local unseen = { runs = 1 }

local function error_of(kind, executed, retryable, errno, runs)
  local fatal = kind ~= "connect" -- of a checkout there is no connection to lose
  return { kind = kind, executed = executed, retryable = retryable, errno = errno, fatal = fatal, runs = runs }
end

local function all(sight)
  return { fin = sight, rst = sight, hold = sight }
end

-- What a cut shows, and what a silence shows that outlasts the caller's patience.
local function cut_or_silent(cut, silent)
  return { fin = cut, rst = cut, hold = silent }
end

local function unknown(runs)
  return cut_or_silent(
    error_of("lost", "unknown", false, 2013, runs),
    error_of("timeout", "unknown", false, nil, runs)
  )
end

-- A call that does nothing on the server.
local harmless = cut_or_silent(error_of("lost", "no", false, 2013, 0), error_of("timeout", "no", false, nil, 0))

-- Found dead before anything was sent; silence cannot be told from a slow server.
local dead =
  cut_or_silent(error_of("lost", "no", true, 2006, 0), error_of("timeout", "unknown", false, nil, 0))
local dead_unseen = cut_or_silent(unseen, dead.hold)

local function commit_unknown(runs)
  return cut_or_silent(
    error_of("commit_unknown", "unknown", false, 2013, runs),
    error_of("commit_unknown", "unknown", false, nil, runs)
  )
end

local no_connection = all(error_of("connect", "no", true, 2013, 0))

-- A reset may come before connect(2) has returned.
local either = "2002 or 2013"
local no_greeting = { fin = no_connection.fin, hold = no_connection.hold }
no_greeting.rst = error_of("connect", "no", true, either, 0)

-- ---- what is done ----

local function insert(n)
  return ("INSERT INTO runs VALUES (%d)"):format(n)
end

local statement_bytes = 4 + 1 + #insert(last_n) -- header, command, text
local commit_bytes = 4 + 1 + #"COMMIT"

local function query(owner, n)
  return owner:query(insert(n))
end

local function call(owner, n)
  return owner:query("CALL insert_and_select(?)", n)
end

-- The first four bytes of a reply are a header, and a row is some 100 bytes.
local into_the_rows = 50000

local function loop(owner, n)
  local ok, err = pcall(function()
    for row in owner:rows("CALL insert_and_select(?)", n) do
      assert(row.seq)
    end
  end)
  return ok or nil, err
end

local function prepare_and_execute(owner, n)
  local statement, err = owner:prepare "INSERT INTO runs VALUES (?)"
  if not statement then
    return nil, err
  end
  return statement:execute(n)
end

local function execute(statement, n)
  return statement:execute(n)
end

local function declared(owner, n)
  return owner:query { insert(n), idempotent = true }
end

local function commit(tx)
  return tx:commit()
end

local function ping(owner)
  return owner:ping()
end

local function reset(conn)
  return conn:reset()
end

-- ---- to whom ----

local function a_pool(pool)
  return pool
end

local function an_idle_session(pool)
  assert(pool:checkout()):release()
  return pool
end

local function a_loan(pool)
  return assert(pool:checkout())
end

local function a_used_loan(pool)
  local conn = assert(pool:checkout())
  assert(conn:query "SET @used = 1")
  return conn
end

local function a_statement(pool)
  return assert(a_loan(pool):prepare "INSERT INTO runs VALUES (?)")
end

local function a_transaction(pool, n)
  local tx = assert(pool:begin())
  assert(tx:query(insert(n)))
  return tx
end

-- Runs once per attempt in a transaction, on connections of its own.
local function transact(pool, n)
  return pool:transaction(function(tx)
    return tx:query(insert(n))
  end)
end

-- ---- the table ----

-- Phase; given: what act(owner, n) is called with; the cut, of the next connection or (here) of those open, counted
-- from then on; what the caller sees, and what it sees of a pool with retries = 0, if that is something else;
-- patience: the option that ends a silence, if not query_timeout.
local phases = {
  { "connect", given = a_pool, next = { "up", 0 }, act = query, sees = all(unseen), strict = no_greeting },
  { "greeting", given = a_pool, next = { "down", 40 }, act = query, sees = all(unseen), strict = no_greeting },
  { "login", given = a_pool, next = { "up", 50 }, act = query, sees = all(unseen), strict = no_connection },
  { "login's answer", given = a_pool, next = { "down", 120 }, act = query, sees = all(unseen), strict = no_connection },
  { "baseline", given = a_pool, next = { "down", 300 }, act = query, sees = all(unseen), strict = no_connection },

  { "idle", given = an_idle_session, here = { "up", 0 }, act = query, sees = dead_unseen },
  { "idle, then a transaction", given = an_idle_session, here = { "up", 0 }, act = transact, sees = dead_unseen },
  {
    "idle, then a ping",
    given = an_idle_session,
    here = { "up", 0 },
    act = ping,
    patience = "checkout_timeout",
    sees = cut_or_silent({ runs = 0 }, harmless.hold),
  },
  { "lent", given = a_loan, here = { "up", 0 }, act = query, sees = dead_unseen, strict = dead },
  { "lent and used", given = a_used_loan, here = { "up", 0 }, act = query, sees = dead },
  { "lent with a statement", given = a_statement, here = { "up", 0 }, act = execute, sees = dead },

  { "sending", given = a_loan, here = { "up", 10 }, act = query, sees = unknown(0) },
  { "sending later", given = a_used_loan, here = { "up", 10 }, act = query, sees = unknown(0) },
  { "sending values", given = a_statement, here = { "up", 5 }, act = execute, sees = unknown(0) },
  { "waiting", given = a_loan, here = { "up", statement_bytes }, act = query, sees = unknown(1) },
  { "waiting later", given = a_used_loan, here = { "up", statement_bytes }, act = query, sees = unknown(1) },
  { "reading the reply", given = a_loan, here = { "down", 1 }, act = query, sees = unknown(1) },
  { "reading the reply later", given = a_used_loan, here = { "down", 1 }, act = query, sees = unknown(1) },
  { "reading the reply to values", given = a_statement, here = { "down", 1 }, act = execute, sees = unknown(1) },
  { "in the middle of rows", given = a_loan, here = { "down", into_the_rows }, act = call, sees = unknown(1) },
  { "in a loop over rows", given = a_loan, here = { "down", into_the_rows }, act = loop, sees = unknown(1) },
  {
    "reading the reply to what may run twice",
    given = a_loan,
    here = { "down", 1 },
    act = declared,
    sees = cut_or_silent({ runs = 2 }, unknown(1).hold),
    strict = unknown(1),
  },

  {
    "before COMMIT",
    given = a_transaction,
    here = { "up", 0 },
    act = commit,
    sees = cut_or_silent(dead.fin, commit_unknown(0).hold),
  },
  { "sending COMMIT", given = a_transaction, here = { "up", 5 }, act = commit, sees = commit_unknown(0) },
  { "COMMIT in flight", given = a_transaction, here = { "up", commit_bytes }, act = commit, sees = commit_unknown(1) },
  { "reply to COMMIT", given = a_transaction, here = { "down", 1 }, act = commit, sees = commit_unknown(1) },

  {
    "preparing",
    given = a_loan,
    here = { "down", 1 },
    act = prepare_and_execute,
    sees = cut_or_silent(unseen, harmless.hold),
    strict = harmless,
  },
  { "preparing later", given = a_used_loan, here = { "down", 1 }, act = prepare_and_execute, sees = harmless },
  {
    "pinging later",
    given = a_used_loan,
    here = { "down", 1 },
    act = ping,
    patience = "checkout_timeout",
    sees = harmless,
  },
  { "resetting by hand", given = a_used_loan, here = { "down", 1 }, act = reset, sees = harmless },
}

-- ---- one run ----

local function new_pool(more)
  local options = s:tcp_options { port = r.port, max_size = 2 }
  for name, value in pairs(more) do
    options[name] = value
  end
  return pools.new(options)
end

local function count_runs(n)
  return math.tointeger(tonumber(observer:value("SELECT COUNT(*) FROM runs WHERE n = " .. n)))
end

local function check_sight(expected, result, err)
  if not expected.kind then
    assert.is_truthy(result, err and err.message)
    return
  end
  assert.is_nil(result)
  assert.is_true(is_error(err), tostring(err))
  local seen = { kind = err.kind, executed = err.executed, retryable = err.retryable, errno = err.errno }
  seen.fatal, seen.runs = err.fatal, expected.runs
  if expected.errno == either and (seen.errno == 2002 or seen.errno == 2013) then
    seen.errno = either
  end
  assert.same(expected, seen)
end

local function sessions_on_server()
  local sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'"
  return math.tointeger(tonumber(observer:value(sql)))
end

local function agrees_with_server(pool)
  local stats = pool:stats()
  local known = stats.idle + stats.recovering
  return stats.recovering == 0 and stats.opened - stats.closed == known and sessions_on_server() == known
end

-- All places can be used, and the sessions that the server has are those that the pool has.
local function check_whole(pool, places)
  local deadline = monotime() + 10
  local stats = pool:stats()
  assert.same({ 0, 0, 0 }, { stats.lent, stats.waiting, stats.opening })
  assert.equal(stats.opened - stats.closed, stats.idle + stats.recovering)
  repeat
    local conns = {}
    for i = 1, places or 2 do
      conns[i] = assert(pool:checkout(10))
    end
    for _, conn in ipairs(conns) do
      assert.is_true(conn:ping())
      assert.is_nil((conn:value "SELECT @used"))
      conn:release()
    end
    assert.is_true(monotime() < deadline, "the server has other sessions than the pool")
  until agrees_with_server(pool)
end

local function give_back(owner, pool)
  local conn = owner.conn or owner -- of a statement or a transaction
  if owner ~= pool and conn.release then
    conn:release()
  end
end

-- Whatever the silence has swallowed never arrives.
local function end_silence()
  r:drop "rst"
  r:reset()
end

local function check_runs(expected)
  assert.equal(expected, count_runs(last_n))
  ledger.enter("retry table", { faults = 1, statements = 1 })
end

-- An attempt: given and act, as in the table; damage(), done between them; sees, a sight; silent, whether the relay
-- holds something in the end; places, max_size if it is not 2.
local function run(pool, attempt)
  last_n = last_n + 1
  local owner = attempt.given(pool, last_n)
  attempt.damage()
  local result, err = attempt.act(owner, last_n)
  check_sight(attempt.sees, result, err)
  give_back(owner, pool)
  if attempt.silent then
    end_silence()
  end
  check_whole(pool, attempt.places)
  check_runs(attempt.sees.runs)
end

local names = { fin = "FIN", rst = "RST", hold = "silence" }

local function describe_sight(sight)
  if not sight.kind then
    return sight.runs == 2 and "is run again, as declared" or "is not seen by the caller"
  end
  local retryable = sight.retryable and ", retryable" or ""
  return ("is an error: %s, executed = %s%s"):format(sight.kind, sight.executed, retryable)
end

-- Options of a pool whose silences end soon.
local function impatient(patience)
  return { connect_timeout = 0.6, [patience or "query_timeout"] = 0.4 }
end

local function it_sees(phase, how, retries, sight)
  local title = "%s by %s, with retries = %d, " .. describe_sight(sight)
  it(title:format(phase[1], names[how], retries), function()
    dialect.needs(retries == 0 and not sight.kind and "COM_RESET_CONNECTION", pending)
    local options = how == "hold" and impatient(phase.patience) or {}
    options.retries = retries
    local pool = new_pool(options)
    local function damage()
      local cut = phase.here or phase.next
      r[phase.here and "cut_here" or "cut"](r, cut[1], cut[2], how)
    end
    run(pool, { given = phase.given, damage = damage, act = phase.act, sees = sight, silent = how == "hold" })
  end)
end

describe("the end of a connection #slow, in the phase:", function()
  for _, phase in ipairs(phases) do
    for _, how in ipairs { "fin", "rst", "hold" } do
      it_sees(phase, how, 2, phase.sees[how])
      if phase.strict or how ~= "hold" then
        it_sees(phase, how, 0, (phase.strict or phase.sees)[how])
      end
    end
  end
end)

-- ---- the reset and what restores the baseline ----

-- A pool whose flight has all of its packets, and is cut between them and within them.
local function new_pool_with_baseline(how)
  local options = how == "hold" and impatient() or {}
  options.collation, options.init_sql = "utf8mb4_bin", "SET @base = 1, @more = 2"
  options.max_size = 1 -- so that there is no other session to prefer
  return new_pool(options)
end

-- Its reset waits in the relay until the fault is set.
local function a_reset_on_its_way(pool)
  local conn = a_used_loan(pool)
  r:hold()
  conn:release()
  return pool
end

-- How many bytes go up and down until a reset has been answered.
local function reset_bytes()
  local pool = new_pool_with_baseline()
  local conn = a_used_loan(pool)
  local before = r:last()
  conn:release()
  assert(pool:checkout()):release()
  local after = r:last()
  return { up = after.up - before.up, down = after.down - before.down }
end

describe("the end of a connection whose reset is in flight #slow", function()
  for _, way in ipairs { "up", "down" } do
    for _, how in ipairs { "fin", "rst", "hold" } do
      it(("is not seen by the next borrower, whose statement runs once (%s, %s)"):format(way, names[how]), function()
        dialect.needs("COM_RESET_CONNECTION", pending)
        local bytes = reset_bytes()[way]
        assert.is_true(bytes > (way == "up" and 120 or 6 * 11), "the flight has not all of its packets")
        for after = 0, bytes - 1, how == "hold" and bytes // 4 or 5 do
          local pool = new_pool_with_baseline(how)
          local function damage()
            r:cut_here(way, after, how)
            r:release()
          end
          local attempt = { given = a_reset_on_its_way, damage = damage, act = query, sees = unseen, places = 1 }
          attempt.silent = how == "hold"
          run(pool, attempt)
          assert.equal(1, (pool:value "SELECT @base"))
          local found = pool:stats().stale + pool:stats().resets_failed
          assert.is_true(how == "hold" and found >= 1 or found == 1, found)
          pool:close()
        end
      end)
    end
  end
end)

-- ---- a server that cannot be reached, and answers that are not the server's ----

describe("a server that refuses connections", function()
  it("is an error of the kind connect, and nothing of it is left when it is back", function()
    for _, retries in ipairs { 2, 0 } do
      local pool = new_pool { retries = retries, checkout_timeout = 0.3 }
      r:refuse(true)
      last_n = last_n + 1
      local result, err = query(pool, last_n)
      check_sight(error_of("connect", "no", true, 2002, 0), result, err)
      r:refuse(false)
      check_whole(pool)
      check_runs(0)
      pool:close()
    end
  end)
end)

local function error_packet(number, code, state, message)
  local payload = ("<BI2"):pack(0xff, code) .. "#" .. state .. message
  return ("<I3B"):pack(#payload, number) .. payload
end

describe("an answer that is not the server's:", function()
  -- The statement ran behind each of them.
  for code, state in pairs { [1053] = "08S01", [1158] = "08S01", [1927] = "70100", [1180] = "HY000" } do
    it(("error %d, of a connection that ends, leaves the outcome unknown"):format(code), function()
      local function damage()
        r:replace(error_packet(1, code, state, "the end"))
      end
      local sight = error_of("lost", "unknown", false, code, 1)
      run(new_pool { retries = 2 }, { given = a_loan, damage = damage, act = query, sees = sight })
    end)
  end

  it("a length that is too great leaves the outcome unknown", function()
    local function damage()
      r:corrupt_here("down", 0, 0xff)
    end
    local pool = new_pool { retries = 2, query_timeout = 0.5 }
    run(pool, { given = a_loan, damage = damage, act = query, sees = unknown(1).hold, silent = true })
  end)

  it("a length that is too small leaves nothing for the next statement to take for its answer", function()
    local pool = new_pool { retries = 2 }
    last_n = last_n + 1
    local conn = a_loan(pool)
    r:corrupt_here("down", 0, 0x05)
    query(conn, last_n)
    local result, err = conn:query "SELECT 1"
    assert.is_nil(result)
    assert.same({ "lost", "no", true }, { err.kind, err.executed, err.fatal })
    conn:release()
    check_whole(pool)
    check_runs(1)
  end)
end)

-- ---- a network that is only slow ----

describe("a network that delivers", function()
  local slowness = {
    ["one byte at a time"] = function()
      r:chunk(1)
    end,
    ["at a low rate"] = function()
      r:throttle(1000000)
    end,
    ["everything late"] = function()
      r:delay(10)
    end,
  }
  for how, slow_down in pairs(slowness) do
    it(how .. " changes nothing", function()
      dialect.needs("COM_RESET_CONNECTION", pending)
      local pool = new_pool {}
      slow_down()
      for _, given in ipairs { a_pool, a_used_loan } do
        for _, act in ipairs { query, transact, prepare_and_execute, call, loop } do
          if given == a_used_loan or act ~= prepare_and_execute then
            run(pool, { given = given, damage = slow_down, act = act, sees = unseen })
          end
        end
      end
      local stats = pool:stats()
      assert.same({ 0, 0, 0 }, { stats.retries, stats.timeouts, stats.resets_failed })
    end)
  end
end)
