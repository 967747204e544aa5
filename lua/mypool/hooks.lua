-- Functions that a pool calls for its user at a checkout: on_connect for a new session, on_event for what is
-- worth knowing, the audit for those who want to see that sessions are clean.

local core = require "mypool.core"
local failure = require "mypool.failure"
local is_error = require "mypool.is_error"
local run = require "mypool.run"
local scope = require "mypool.scope"
core.internal()

local hooks = {}

-- By pool; only of those whose options ask for something.
local options_of = setmetatable({}, { __mode = "k" })
hooks.options_of = options_of

-- By pool: the function of its adapter that is told of connections which a program holds for longer than one call.
hooks.lent_of = setmetatable({}, { __mode = "k" })

-- Pools that have either.
hooks.exist_of = setmetatable({}, { __mode = "k" })

-- Keeps what the options of a pool ask for.
function hooks.keep(pool, options)
  hooks.lent_of[pool] = options.lent
  if options.on_connect or options.on_event or options.audit then
    options_of[pool] = {
      name = options.name,
      on_connect = options.on_connect,
      on_event = options.on_event or function() end,
      audit = options.audit,
      fingerprints = {}, -- by the slots of the sessions: so there are never more than max_size
    }
  end
  hooks.exist_of[pool] = (options_of[pool] or options.lent) and true
end

local warn = warn or core.warn -- luacheck: ignore

-- The user's callback must not spoil a checkout, that of `conn` if there is one: what it raises becomes a warning.
local function report(options, event, details, conn)
  details.pool = options.name
  local ok, message = scope.protect(conn, options.on_event, event, details)
  if not ok then
    warn("mypool: on_event raised: " .. tostring(message))
  end
end

local function has(events, name)
  local bit = core.event_bits[name]
  return events % (2 * bit) >= bit
end

local function report_news(pool, options, conn)
  local event, host, what = core.news(pool)
  while event do
    if event == "host_barred" then
      report(options, "host_barred", { host = host, reason = what }, conn)
    else
      report(options, "host_well", { host = host, seconds = what }, conn)
    end
    event, host, what = core.news(pool)
  end
end

-- By host.
local function reasons_of(pool)
  local reasons = {}
  for _, host in ipairs(core.hosts(pool)) do
    reasons[host.host] = host.last_error
  end
  return reasons
end

local function report_events(pool, options, conn)
  local events, why = core.events(pool)
  if has(events, "RESET_REFUSED") then
    report(options, "reset_refused", {
      message = "the server does not know COM_RESET_CONNECTION, or would forget wsrep_sync_wait by it: "
        .. "used sessions are closed instead",
    }, conn)
  end
  if has(events, "RESET_FAILING") then
    report(options, "reset_failing", { message = why }, conn)
  end
  if has(events, "RESET_WORKS") then
    report(options, "reset_works", {}, conn)
  end
  if has(events, "NEWS") then
    report_news(pool, options, conn)
  end
  if has(events, "NO_HOST") then
    report(options, "no_host", { reasons = reasons_of(pool) }, conn)
  end
end

-- ---- statements ----

-- The place as events have it.
local function known(place)
  return place ~= "" and place or nil
end

local function warn_of_slow(details)
  local place = core.place_to_tell(details.place)
  warn(("mypool: a statement at %s took %.1f s: %s"):format(place, details.seconds, details.sql))
end

-- What the user's on_statement raises must not spoil the statement.
local function call_on_statement(options, details)
  local ok, message = pcall(options.on_statement, details)
  if not ok then
    warn("mypool: on_statement raised: " .. tostring(message))
  end
end

-- The error of a statement that was given up does not know yet which that was.
local function complete(err, details)
  if err and not err.sql and is_error(err) then
    err.sql, err.place = details.sql, details.place
  end
  return err
end

-- The function that C calls at the end of a statement.
local function of_statements(options)
  local on_event = options.on_event or function(_, details)
    warn_of_slow(details)
  end
  local reporter = { name = options.name, on_event = on_event }
  return function(place, sql, seconds, began, id, rows, affected_rows, err)
    local details = { place = known(place), sql = sql, seconds = seconds, began = began, id = id }
    details.rows, details.affected_rows = rows or nil, affected_rows or nil
    details.error, details.pool = complete(err, details), options.name
    if options.on_statement then
      call_on_statement(options, details)
    end
    if options.slow_after and seconds >= options.slow_after then
      report(reporter, "slow_statement", details)
    end
  end
end

-- hooks.rerun(pool, place, attempt, err): `transaction` is about to call its function for the attempt of this number.
function hooks.rerun(pool, place, attempt, err)
  local options = options_of[pool]
  if options then
    report(options, "transaction_rerun", {
      place = known(place),
      attempt = attempt,
      errno = err.errno,
    })
  end
end

-- ---- leak_after ----

local function warn_of_left_open(_, details)
  warn(("mypool: a connection checked out at %s was given back with a transaction open, which was undone"):format(
    core.place_to_tell(details.place)
  ))
end

local function warn_of_overdue(_, details)
  warn(("mypool: a connection checked out at %s is out for %.1f s"):format(
    core.place_to_tell(details.place),
    details.age
  ))
end

-- Gives the options of a new pool the functions that C calls: once for each loan that is overdue, and for each that
-- ended in a transaction, for which it warns without on_event; and for statements.
function hooks.watch(options)
  local teller = { name = options.name, on_event = options.on_event or warn_of_left_open }
  function options.left_open(place, id)
    report(teller, "left_open", { place = place, id = id })
  end
  if options.on_statement or options.slow_after then
    options.statement = of_statements(options)
    options.tell_after = options.on_statement and 0 or options.slow_after
  end
  if options.leak_after then
    local reporter = { name = options.name, on_event = options.on_event or warn_of_overdue }
    function options.overdue(place, age, id)
      report(reporter, "loan_overdue", { place = place, age = age, id = id ~= 0 and id or nil })
    end
  end
end

-- ---- on_connect ----

-- Returns the connection; or nil and the error that on_connect returned, or that is one of mypool's and was raised.
-- Raises all else.
local function prepared(conn, ok, first, ...)
  core.held(conn, "on_connect")
  local _, err = core.record(conn, false)
  local refused = ok and first == nil and (...) ~= nil
  if ok and not refused and not err then
    return conn
  end
  conn:discard()
  if refused then
    return nil, failure.of_program(...)
  elseif ok then
    return nil, err
  elseif is_error(first) then
    return nil, first
  end
  error(first, 0)
end

local function prepare(conn, on_connect)
  core.record(conn, true)
  return prepared(conn, scope.protect(conn, on_connect, conn))
end

-- ---- the audit ----

-- The questions of the audit, for the price of one round trip. Not there: temporary tables
-- and locks, which MariaDB shows to nobody or only by name.
local common = {
  "DATABASE()",
  "@@character_set_client",
  "@@character_set_results",
  "@@collation_connection",
  "@@collation_database",
  "@@sql_mode",
  "@@autocommit",
  "@@time_zone",
  "@@foreign_key_checks",
  "@@unique_checks",
  "@@sql_log_bin",
  "@@lock_wait_timeout",
  "@@profiling",
  "LAST_INSERT_ID()",
}

-- Variables that only some servers know, MariaDB, MySQL 8 and later, and MySQL before: they are asked for in turn,
-- until one of these questions is understood.
local special = {
  { "CURRENT_ROLE()", "@@tx_isolation", "@@tx_read_only", "@@in_transaction", "@@max_statement_time" },
  { "CURRENT_ROLE()", "@@transaction_isolation", "@@transaction_read_only", "@@max_execution_time" },
  { "@@tx_isolation", "@@tx_read_only" },
}
local UNKNOWN_VARIABLE, UNKNOWN_FUNCTION = core.errno.UNKNOWN_VARIABLE, core.errno.UNKNOWN_FUNCTION
local ROW, raw = core.shapes.ROW, { rows = "array", raw = true }

local function audited_by(number)
  local names = {}
  for _, list in ipairs { common, special[number] } do
    for _, name in ipairs(list) do
      names[#names + 1] = name
    end
  end
  return names
end

-- The first thing that differs, and both values.
local function difference(names, expected, found)
  for i = 1, #names do
    if expected[i] ~= found[i] then
      return names[i], expected[i], found[i]
    end
  end
end

-- The answers of the session, or nil and an error. Which question a server understands is kept.
local function ask(conn, options)
  options.audited = options.audited or audited_by(1)
  for number = 1, #special do
    local sql = "SELECT " .. table.concat(options.audited, ", ")
    local found, err = run(conn, core.query(conn, ROW, raw, sql))
    local errno, is_last = err and err.errno, number == #special
    if found or is_last or (errno ~= UNKNOWN_VARIABLE and errno ~= UNKNOWN_FUNCTION) then
      return found, err
    end
    options.audited = audited_by(number + 1)
  end
end

-- Returns conn when its session is as it was when it was new; else nothing, and it is closed.
local function audit(conn, options, fresh)
  local found, err = ask(conn, options)
  if not found then
    conn:discard()
    return nil, err
  end
  local id, slot = conn:id(), core.slot(conn)
  local before = options.fingerprints[slot]
  if fresh or not before or before.id ~= id then
    found.id = id
    options.fingerprints[slot] = found
    return conn
  end
  local what, expected, value = difference(options.audited, before, found)
  if not what then
    return conn
  end
  report(options, "leak", { id = id, what = what, expected = expected, found = value }, conn)
  conn:discard()
end

-- ---- after a checkout ----

-- Called with what a checkout of a pool with these options returned; returns what the user gets. Nothing at
-- all: the session was not good, check out another one.
function hooks.after_checkout(pool, options, conn, err)
  report_events(pool, options, conn)
  if not conn then
    return nil, err
  end
  local fresh = core.fresh(conn)
  if fresh then
    conn, err = prepare(conn, options.on_connect or function() end)
  end
  if conn and options.audit then
    return audit(conn, options, fresh)
  end
  return conn, err
end

return hooks
