-- The leak matrix: one row for each kind of session state that a borrower can leave behind.
--
-- A row says how the state is made and how the next borrower would see it:
--
--   name          as it stands in doc/why/isolation.md
--   dirty         function(conn, env): makes the session dirty; conn is a handle of mypool's or a
--                 connection of spec/programs/plain.c
--   plain         the same for plain.c, where it needs other means; false: nothing to compare with
--   probe         function(conn, env): returns, as a string, what the next borrower sees
--   clean         what it must see; by default what a brand-new connection shows
--   leaks         what leaves it behind, so that the probe is known to see it: "reuse" (the default), "reset",
--                 "change_user", or false when bare reuse is right too
--   connection    "kept" (the default): mypool lends the same server connection again; "discarded": another
--   account       "app" (the default), "member", "deputy", "late", "outsider": see `leaks.setup`
--   database      "app" (the default), "western", or false for none
--   loan          function(pool, env) instead of dirty and a release: the whole loan
--   cleanup       function(env): takes away what is outside of the session
--   harm          "breaks", where what goes wrong is not a leak
--   exception     why no client can clean this; mypool's answer is then documented, not required
--   alone         true when it disturbs other sessions, does not go together with other rows, or takes its time
--   spoils        true when bare libmariadb leaves locks in the server for good: run on a server of its own
--   needs         what the server must have, in the words of spec.servers.dialect.lua
--   variables     names of session variables, those of which are tried that the server has
--   note          for the reader of doc/why/isolation.md
--
-- env.id is a word of this run's own; env.observer another connection, of an account that may do everything;
-- env.interrupt(calls, fn) runs fn and raises out of the wait function at its call number `calls`.

local dialect = require "spec.servers.dialect"

local leaks = { groups = {} }

local group

local function section(name)
  group = { name = name }
  leaks.groups[#leaks.groups + 1] = group
end

local function row(r)
  group[#group + 1] = r
end

-- ---- making dirty ----

local function run(conn, sql, ...)
  local ok, err = conn:query(sql, ...)
  if not ok then
    error(("%s: %s"):format(sql, tostring(err)), 2)
  end
end

-- Runs these statements.
local function sql(...)
  local statements = { ... }
  return function(conn)
    for _, statement in ipairs(statements) do
      run(conn, statement)
    end
  end
end

-- A statement left in the middle: mypool's by a wait function that raises at the given call, a plain one by
-- not reading on.
local function unfinished(r)
  r.dirty = function(conn, env)
    run(conn, r.before or "DO 1")
    env.interrupt(r.calls or 1, function()
      conn:query(r.sql)
    end)
  end
  r.plain = r.plain or function(conn)
    run(conn, r.before or "DO 1")
    conn:send(r.sql)
  end
  r.alone = true
  return row(r)
end

-- ---- probing ----

local function text(value)
  if type(value) == "number" then
    return ("%d"):format(value)
  end
  return value == nil and "NULL" or tostring(value)
end

local function value(conn, statement, ...)
  local answer, err, errno = conn:value(statement, ...)
  if err then
    return "error " .. text(errno)
  end
  return text(answer)
end

-- What these expressions give.
local function ask(...)
  local expressions = { ... }
  return function(conn)
    local answers = {}
    for i, expression in ipairs(expressions) do
      answers[i] = value(conn, "SELECT " .. expression)
    end
    return table.concat(answers, " | ")
  end
end

-- Whether a statement succeeds, and what it fails with. `after` is run behind it.
local function try(statement, after)
  return function(conn)
    local ok, _, errno = conn:query(statement)
    if after then
      conn:query(after)
    end
    return ok and "ok" or "error " .. text(errno)
  end
end

-- The same through another connection: locks are seen best from outside.
local function try_elsewhere(statement)
  return function(_, env)
    local ok, _, errno = env.observer:query(statement)
    return ok and "ok" or "error " .. text(errno)
  end
end

-- How many rows a hostile parameter gets at: none, where it is encoded for the session as it is.
local function injected(parameter)
  return function(conn)
    return value(conn, "SELECT COUNT(*) FROM fixed WHERE owner = ?", parameter)
  end
end

-- Several variables, set and asked in alphabetic order.
local function variables(title, assignments, more)
  local names = {}
  for name in pairs(assignments) do
    names[#names + 1] = name
  end
  table.sort(names)
  local r = { name = title or table.concat(names, ", "), variables = names }
  function r.dirty(conn)
    for _, name in ipairs(r.variables) do
      run(conn, ("SET SESSION %s = %s"):format(name, assignments[name]))
    end
  end
  function r.probe(conn)
    local asked = {}
    for i, name in ipairs(r.variables) do
      asked[i] = "@@" .. name
    end
    return ask(table.unpack(asked))(conn)
  end
  for key, v in pairs(more or {}) do
    r[key] = v
  end
  row(r)
end

-- Why the row does not apply to the server of this connection; nil where it does.
function leaks.lacks(r, conn)
  if not r.variables then
    return dialect.lacks(r.needs)
  end
  local had = {}
  for _, name in ipairs(r.variables) do
    local answer, err = conn:value("SELECT @@session." .. name)
    if answer ~= nil or not err then
      had[#had + 1] = name
    end
  end
  r.variables = had
  return #had == 0 and "the server has no such session variables" or nil
end

-- ---- what the server must have, run by a superuser ----

leaks.setup = {
  "CREATE OR REPLACE TABLE app.t (n INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100)) ENGINE = InnoDB",
  "CREATE OR REPLACE TABLE app.fixed (n INT PRIMARY KEY, owner VARBINARY(100)) ENGINE = InnoDB",
  "INSERT INTO app.fixed SELECT seq, 'nobody' FROM seq_1_to_100",
  "CREATE OR REPLACE TABLE app.versioned (n INT)"
    .. (dialect.has "SYSTEM VERSIONING" and " WITH SYSTEM VERSIONING" or ""),
  "INSERT INTO app.versioned VALUES (1)",
  "CREATE OR REPLACE TABLE app.distributed (id VARCHAR(20))",
  "CREATE OR REPLACE TABLE app.loaded (line TEXT)",
  "CREATE OR REPLACE TABLE other.secret (n INT)",
  "CREATE OR REPLACE DATABASE western CHARACTER SET latin1 COLLATE latin1_german1_ci",
  "CREATE OR REPLACE PROCEDURE app.many_results() BEGIN SELECT SLEEP(0.05); SELECT SLEEP(0.2); SELECT 3; END",
  "CREATE OR REPLACE FUNCTION app.hidden() RETURNS INT BEGIN SET @hidden = 1; RETURN 1; END",
  "CREATE OR REPLACE FUNCTION app.set_mode() RETURNS INT BEGIN SET SESSION sql_mode = 'ANSI_QUOTES'; RETURN 1; END",
  "SET GLOBAL local_infile = 1",
}

local function also(needed, statements)
  if dialect.has(needed) then
    table.move(statements, 1, #statements, #leaks.setup + 1, leaks.setup)
  end
end

also("SEQUENCE", { "CREATE OR REPLACE SEQUENCE app.numbers" })
also("ROLE", {
  "CREATE OR REPLACE ROLE keeper",
  "CREATE OR REPLACE ROLE clerk",
  "GRANT SELECT ON other.* TO keeper",
  "CREATE OR REPLACE PROCEDURE app.become_keeper() SQL SECURITY INVOKER SET ROLE keeper",
  "CREATE OR REPLACE FUNCTION app.keeper_too() RETURNS INT SQL SECURITY INVOKER BEGIN SET ROLE keeper; RETURN 1; END",
})

-- member has a role that is not in force at connect, deputy a default role and another, late none until it
-- connects, outsider none.
for _, host in ipairs { "'%'", "'localhost'" } do
  for _, account in ipairs { "member", "deputy", "late", "outsider" } do
    local name = account .. "@" .. host
    also(nil, {
      ("CREATE OR REPLACE USER %s IDENTIFIED BY 'secret'"):format(name),
      ("GRANT ALL ON app.* TO %s"):format(name),
    })
  end
  also("ROLE", {
    "GRANT keeper TO member@" .. host,
    "GRANT keeper TO deputy@" .. host,
    "GRANT clerk TO deputy@" .. host,
    ("SET DEFAULT ROLE keeper FOR deputy@%s"):format(host),
  })
end

local function empty(...)
  local tables = { ... }
  return function(env)
    for _, name in ipairs(tables) do
      run(env.observer, "DELETE FROM app." .. name)
    end
  end
end

-- ================================================================================================

section "Transactions"

row {
  name = "open transaction with uncommitted rows",
  dirty = sql("START TRANSACTION", "INSERT INTO t (v) VALUES ('uncommitted')"),
  probe = ask(dialect.in_transaction, "COUNT(*) FROM t"),
  clean = "0 | 0",
  alone = true,
}
row {
  name = "the client's own idea of being in a transaction",
  dirty = sql "START TRANSACTION",
  probe = function(conn)
    return tostring(conn:in_transaction())
  end,
  clean = "false",
  note = "`mysql_reset_connection` does not parse the reply in which the server says so",
}
local lock_fixed = "SELECT * FROM fixed WHERE n = 7 FOR UPDATE " .. dialect.select_nowait
row {
  name = "row locks",
  dirty = sql("START TRANSACTION", "SELECT * FROM fixed WHERE n = 7 FOR UPDATE"),
  probe = try_elsewhere(lock_fixed),
  clean = "ok",
  alone = true,
}
row {
  name = "metadata locks of a transaction",
  dirty = sql("START TRANSACTION", "SELECT * FROM versioned"),
  probe = try_elsewhere("ALTER TABLE versioned " .. dialect.nowait .. " COMMENT 'changed'"),
  clean = "ok",
  alone = true,
}
row {
  name = "snapshot of an earlier moment",
  dirty = function(conn, env)
    run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
    run(env.observer, "INSERT INTO t (v) VALUES ('new')")
  end,
  probe = ask "COUNT(*) FROM t WHERE v = 'new'",
  clean = "1",
  cleanup = empty "t",
  alone = true,
}
row {
  name = "savepoint",
  dirty = sql("START TRANSACTION", "SAVEPOINT mine"),
  probe = try "ROLLBACK TO SAVEPOINT mine",
  clean = "error 1305",
}
variables("autocommit off", { autocommit = "0" }, { clean = "1" })
row {
  name = "autocommit off: what the next borrower writes",
  dirty = sql "SET autocommit = 0",
  probe = function(conn, env)
    run(conn, "INSERT INTO t (v) VALUES ('kept')")
    return value(env.observer, "SELECT COUNT(*) FROM app.t")
  end,
  clean = "1",
  cleanup = empty "t",
  alone = true,
}
row {
  name = "isolation level of the session",
  dirty = sql "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
  probe = ask("@@" .. dialect.isolation_variable),
}
row {
  name = "isolation level of the next transaction",
  dirty = sql "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
  probe = function(conn, env)
    run(conn, "START TRANSACTION")
    run(conn, "SELECT COUNT(*) FROM fixed") -- locks them in a serializable transaction only
    local locked = try_elsewhere(lock_fixed)(conn, env)
    run(conn, "ROLLBACK")
    return locked
  end,
  clean = "ok",
  alone = true,
}
row {
  name = "read-only session",
  dirty = sql "SET SESSION TRANSACTION READ ONLY",
  probe = ask("@@" .. dialect.read_only_variable),
  clean = "0",
  alone = true, -- a write that it refuses makes mypool retire the connection
}
row {
  name = "read-only next transaction",
  dirty = sql "SET TRANSACTION READ ONLY",
  probe = function(conn)
    run(conn, "START TRANSACTION")
    return try("DELETE FROM t", "ROLLBACK")(conn)
  end,
  clean = "ok",
  alone = true, -- a write that it refuses makes mypool retire the connection
}
row {
  name = "open read-only transaction",
  dirty = sql "START TRANSACTION READ ONLY",
  probe = try("DELETE FROM t", "ROLLBACK"),
  clean = "ok",
  alone = true, -- a write that it refuses makes mypool retire the connection
}
variables("completion_type: COMMIT opens the next transaction", { completion_type = "'CHAIN'" })
row {
  name = "completion_type: COMMIT ends the connection",
  dirty = sql "SET SESSION completion_type = 'RELEASE'",
  probe = function(conn)
    conn:query "COMMIT"
    return try "DO 1"(conn)
  end,
  clean = "ok",
  alone = true,
}
row {
  name = "transaction that the server has undone (deadlock)",
  dirty = function(conn)
    run(conn, "START TRANSACTION")
    conn:query "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"
  end,
  probe = function(conn)
    return tostring(conn:in_transaction()) .. " " .. try "DELETE FROM t"(conn)
  end,
  clean = "false ok",
}
row {
  name = "a transaction object of the client, never ended",
  loan = function(pool)
    local conn = assert(pool:checkout())
    local tx = assert(conn:begin())
    run(tx, "INSERT INTO t (v) VALUES ('uncommitted')")
    conn:release()
  end,
  plain = false,
  probe = ask(dialect.in_transaction, "COUNT(*) FROM t"),
  clean = "0 | 0",
  leaks = false,
  alone = true,
}
row {
  name = "XA transaction, active",
  dirty = sql("XA START 'active'", "INSERT INTO t (v) VALUES ('xa')"),
  probe = function(conn)
    return try("START TRANSACTION", "ROLLBACK")(conn) .. " " .. value(conn, "SELECT COUNT(*) FROM t")
  end,
  clean = "ok 0",
  connection = "discarded",
  alone = true,
}
row {
  name = "XA transaction, ended",
  dirty = sql("XA START 'ended'", "INSERT INTO t (v) VALUES ('xa')", "XA END 'ended'"),
  probe = function(conn)
    return try("START TRANSACTION", "ROLLBACK")(conn) .. " " .. value(conn, "SELECT COUNT(*) FROM t")
  end,
  clean = "ok 0",
  connection = "discarded",
  alone = true,
}

-- XA COMMIT and XA ROLLBACK are possible as soon as the server has noticed that the connection is gone.
local function end_xa(env, how)
  for _ = 1, 50 do
    if env.observer:query(("XA %s '%s'"):format(how, env.id)) then
      return true
    end
    env.observer:query "DO SLEEP(0.02)"
  end
  return false
end

local function prepare_xa(conn, env)
  run(conn, ("XA START '%s'"):format(env.id))
  run(conn, ("INSERT INTO distributed VALUES ('%s')"):format(env.id))
  run(conn, ("XA END '%s'"):format(env.id))
  run(conn, ("XA PREPARE '%s'"):format(env.id))
end

local function roll_back_xa(env)
  end_xa(env, "ROLLBACK")
end

row {
  name = "XA transaction, prepared: the session",
  dirty = prepare_xa,
  probe = try("START TRANSACTION", "ROLLBACK"),
  clean = "ok",
  connection = dialect.has "XA PREPARE" and "discarded" or "kept",
  leaks = dialect.has "XA PREPARE" and "reuse",
  cleanup = roll_back_xa,
  spoils = true,
}
row {
  name = "XA transaction, prepared: XA COMMIT by another connection",
  needs = "XA that outlives its session",
  dirty = prepare_xa,
  probe = function(_, env)
    local committed = end_xa(env, "COMMIT")
    local rows = value(env.observer, "SELECT COUNT(*) FROM distributed WHERE id = ?", env.id)
    return (committed and "committed, rows: " or "impossible, rows: ") .. rows
  end,
  clean = "committed, rows: 1",
  harm = "breaks",
  connection = dialect.has "XA PREPARE" and "discarded" or "kept",
  leaks = dialect.has "XA PREPARE" and "reuse",
  spoils = true,
  note = "after a reset MariaDB 10.11 answers XA COMMIT with success, loses the rows, and keeps their locks; only "
    .. "closing the connection is right",
}
row {
  name = "XA transaction, prepared: its place in XA RECOVER",
  needs = "XA that outlives its session",
  dirty = prepare_xa,
  probe = function(_, env)
    for _, xa in ipairs(assert(env.observer:query "XA RECOVER")) do
      if xa[4] == env.id then
        return "prepared"
      end
    end
    return "nothing"
  end,
  clean = "nothing",
  connection = "discarded",
  cleanup = roll_back_xa,
  spoils = true,
  exception = "a prepared transaction belongs to the server, not to the session: XA promises that it outlives the "
    .. "connection and waits for XA COMMIT or XA ROLLBACK by another one. Closing the connection leaves it too.",
}

-- ------------------------------------------------------------------------------------------------

section "Variables"

variables(nil, { sql_mode = "'ANSI_QUOTES,PIPES_AS_CONCAT'" })
row {
  name = "sql_mode, set inside a stored function",
  dirty = sql("SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT set_mode()"),
  probe = ask "@@sql_mode",
}
variables(nil, { time_zone = "'-07:00'" })
row {
  name = "timestamp: NOW() stands still",
  dirty = sql "SET timestamp = 86400",
  probe = ask "YEAR(UTC_TIMESTAMP()) > 2000",
  clean = "1",
}
variables("insert_id", { insert_id = "424242" })
row {
  name = "insert_id: the number of the next row",
  dirty = sql "SET insert_id = 424242",
  probe = function(conn, env)
    run(conn, "INSERT INTO t (v) VALUES ('x')")
    local seen = value(conn, "SELECT n = 424242 FROM t")
    run(env.observer, "TRUNCATE TABLE app.t")
    return seen
  end,
  clean = "0",
  alone = true,
}
variables("last_insert_id, identity", { identity = "31", last_insert_id = "32" }, { clean = "0 | 0" })
row {
  name = "rand_seed1, rand_seed2: RAND() can be foretold",
  dirty = sql("SET rand_seed1 = 1", "SET rand_seed2 = 2"),
  probe = ask "RAND() < 1e-8",
  clean = "0",
}
row {
  name = "pseudo_thread_id: CONNECTION_ID() of another",
  dirty = sql "SET SESSION pseudo_thread_id = 12345",
  probe = function(conn)
    return tostring(value(conn, "SELECT CONNECTION_ID()") == text(conn:id()))
  end,
  clean = "true",
}
variables(nil, { foreign_key_checks = "0", unique_checks = "0", check_constraint_checks = "0" })
variables(nil, { sql_safe_updates = "1", sql_big_selects = "0", max_join_size = "1000" })
variables(nil, { sql_select_limit = "1" })
row {
  name = "sql_select_limit: rows that are missing",
  dirty = sql "SET SESSION sql_select_limit = 1",
  probe = function(conn)
    return tostring(#assert(conn:query "SELECT n FROM fixed"))
  end,
  clean = "100",
}
variables(nil, { group_concat_max_len = "4" })
variables(nil, { div_precision_increment = "0", default_week_format = "3" })
variables(nil, { lc_messages = "'de_DE'", lc_time_names = "'fr_FR'" })
row {
  name = "lc_messages: the language of errors",
  dirty = sql "SET SESSION lc_messages = 'de_DE'",
  probe = function(conn)
    local _, err = conn:query "SELECT * FROM missing"
    return (tostring(err):match "Tabelle" or tostring(err):match "Table" or "?")
  end,
  clean = "Table",
}
variables(nil, { max_statement_time = "7.5" })
variables(nil, { wait_timeout = "31", interactive_timeout = "32" })
variables(nil, { net_read_timeout = "31", net_write_timeout = "32", net_retry_count = "3" })
variables(nil, { lock_wait_timeout = "11", innodb_lock_wait_timeout = "12" })
variables(nil, {
  idle_transaction_timeout = "100",
  idle_readonly_transaction_timeout = "101",
  idle_write_transaction_timeout = "102",
})
variables(nil, { sort_buffer_size = "262144", join_buffer_size = "262144", read_buffer_size = "262144" })
variables(nil, { read_rnd_buffer_size = "524288", mrr_buffer_size = "524288", bulk_insert_buffer_size = "65536" })
variables(nil, { tmp_memory_table_size = "65536", max_heap_table_size = "65536", big_tables = "1" })
variables(nil, { optimizer_switch = "'index_merge=off,mrr=on'" })
variables(nil, {
  optimizer_search_depth = "3",
  optimizer_prune_level = "0",
  optimizer_use_condition_selectivity = "1",
  use_stat_tables = "'NEVER'",
})
variables(nil, { default_storage_engine = "'MyISAM'", default_tmp_storage_engine = "'MyISAM'" })
variables(nil, { enforce_storage_engine = "'Aria'" }, { alone = true }) -- as the read-only ones
variables(nil, { auto_increment_increment = "7", auto_increment_offset = "3" })
variables(nil, { sql_auto_is_null = "1" })
row {
  name = "system_versioning_asof: queries look into the past",
  needs = "SYSTEM VERSIONING",
  dirty = sql "SET SESSION system_versioning_asof = '1990-01-01 00:00:00'",
  probe = ask "COUNT(*) FROM versioned",
  clean = "1",
}
variables(nil, { system_versioning_alter_history = "'KEEP'" })
variables(nil, { sql_log_bin = "0" })
variables(nil, { binlog_format = "'ROW'", binlog_row_image = "'MINIMAL'" })
variables(nil, { server_id = "77", gtid_domain_id = "78", skip_replication = "1" })
variables(nil, { session_track_schema = "0", session_track_state_change = "1" })
variables(nil, { session_track_system_variables = "'autocommit'", session_track_transaction_info = "'STATE'" })
variables(nil, { sql_notes = "0", sql_warnings = "1", max_error_count = "3" })
variables("explicit_defaults_for_timestamp, old_mode, sql_quote_show_create", {
  explicit_defaults_for_timestamp = dialect.timestamp_default,
  old_mode = "'NO_PROGRESS_INFO'",
  sql_quote_show_create = "0",
})
variables(nil, { max_recursive_iterations = "9", max_sp_recursion_depth = "9", max_length_for_sort_data = "100" })
variables(nil, { low_priority_updates = "1", sql_buffer_result = "1", updatable_views_with_limit = "0" })
variables(nil, { innodb_strict_mode = "0", innodb_table_locks = "0" })
variables(nil, { sql_log_off = "1", slow_query_log = "0", long_query_time = "99", log_slow_verbosity = "'query_plan'" })
variables(nil, { min_examined_row_limit = "50", query_prealloc_size = "32768", transaction_prealloc_size = "8192" })
variables(nil, { alter_algorithm = "'INPLACE'", keep_files_on_create = "1", column_compression_threshold = "7" })
variables(nil, {
  standard_compliant_cte = "0",
  eq_range_index_dive_limit = "3",
  in_predicate_conversion_threshold = "5",
})
variables(nil, { progress_report_time = "9", max_sort_length = "64" })
row {
  name = "counters of SHOW SESSION STATUS",
  dirty = function(conn)
    for _ = 1, 40 do
      run(conn, "SELECT COUNT(*) FROM fixed")
    end
  end,
  probe = function(conn)
    local status = assert(conn:query "SHOW SESSION STATUS LIKE 'Com_select'")[1]
    return tostring(tonumber(status.Value or status[2]) > 30)
  end,
  clean = "false",
}

-- ------------------------------------------------------------------------------------------------

section "Character sets"

row {
  name = "SET NAMES: client, connection, results",
  dirty = sql "SET NAMES latin2",
  probe = ask("@@character_set_client", "@@character_set_connection", "@@character_set_results"),
  clean = "utf8mb4 | utf8mb4 | utf8mb4",
}
variables("collation_connection", { collation_connection = "'utf8mb4_bin'" })
variables("character_set_client alone", { character_set_client = "'cp850'" }, { clean = "utf8mb4" })
row {
  name = "character_set_results: text in another encoding",
  dirty = sql "SET character_set_results = latin1",
  probe = ask "'\u{e9}'",
  clean = "\u{e9}",
}
row {
  name = "character_set_results NULL: text unconverted",
  dirty = sql "SET character_set_results = NULL",
  probe = ask "@@character_set_results",
  clean = "utf8mb4",
}
variables("character_set_filesystem", { character_set_filesystem = "'utf8mb3'" })
row {
  name = "SET NAMES gbk: the client's character set, by which it escapes",
  dirty = sql "SET NAMES gbk",
  probe = injected "\x81\\' OR 1 = 1 -- ",
  clean = "0",
  leaks = "reset",
  note = "the probe is an SQL injection through a parameter that was escaped; 0 rows are right",
}
row {
  name = "SET NAMES gbk that the server does not report: escaping",
  needs = "session tracking",
  dirty = sql("SET session_track_system_variables = ''", "SET NAMES gbk"),
  probe = injected "\xbf' OR 1 = 1 -- ",
  clean = "0",
  note = "the same injection",
}
row {
  name = "NO_BACKSLASH_ESCAPES: the client's flag, by which it escapes",
  dirty = sql "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
  probe = injected "\\' OR 1 = 1 -- ",
  clean = "0",
  leaks = "reset",
  note = "the same injection",
}
row {
  name = "NO_BACKSLASH_ESCAPES: strings with a backslash",
  dirty = sql "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
  probe = ask [['a\\b']],
  clean = [[a\b]],
}
row {
  name = "character set and collation of the default database",
  database = "western",
  dirty = sql "SET character_set_database = utf8mb4",
  probe = ask("@@character_set_database", "@@collation_database"),
  clean = "latin1 | latin1_german1_ci",
}
row {
  name = "collation of the default database, though nobody touched it",
  database = "western",
  dirty = sql "DO 1",
  probe = ask "@@collation_database",
  clean = "latin1_german1_ci",
  leaks = "reset",
  note = "a reset sets it to the server's own",
}

-- ------------------------------------------------------------------------------------------------

section "Database and roles"

row { name = "USE", dirty = sql "USE other", probe = ask "DATABASE()", clean = "app" }
row {
  name = "USE that the server does not report",
  needs = "session tracking",
  dirty = sql("SET session_track_schema = 0", "USE other"),
  probe = ask("DATABASE()", "COUNT(*) FROM fixed"),
  clean = "app | 100",
}
row {
  name = "USE, where no database was named at connect",
  database = false,
  dirty = sql "USE other",
  probe = ask "DATABASE()",
  clean = "NULL",
  connection = "discarded",
  note = "no command takes a database away",
}
row {
  name = "USE, where no database was named at connect, by an account with roles",
  database = false,
  account = "member",
  dirty = sql "USE app",
  probe = ask "DATABASE()",
  clean = "NULL",
  connection = "discarded",
}
row {
  name = "USE, where no database was named at connect, by a hostile borrower",
  database = false,
  dirty = sql(
    "USE other",
    "SET SESSION sql_select_limit = 1, max_error_count = 0, sql_notes = 0",
    ("SET SESSION sql_mode = '%sNO_BACKSLASH_ESCAPES'"):format(dialect.has "ORACLE" and "ORACLE," or ""),
    "SET NAMES gbk",
    "SET SESSION optimizer_switch = 'index_merge=off', sql_buffer_result = 1, profiling_history_size = 100",
    "LOCK TABLES secret READ"
  ),
  probe = ask "DATABASE()",
  clean = "NULL",
  connection = "discarded",
  note = "variables that might blind the check",
}
row {
  name = "USE that the server does not report, where no database was named",
  needs = "session tracking",
  database = false,
  dirty = sql("SET session_track_schema = 0", "USE other"),
  probe = ask "DATABASE()",
  clean = "NULL",
  connection = "discarded",
}
row {
  name = "the default database dropped",
  dirty = function(conn, env)
    dialect.run(env.observer, "CREATE OR REPLACE DATABASE doomed")
    run(conn, "USE doomed")
    run(env.observer, "DROP DATABASE doomed")
  end,
  probe = ask "DATABASE()",
  clean = "app",
  alone = true,
}
row {
  name = "SET ROLE",
  needs = "ROLE",
  account = "member",
  dirty = sql "SET ROLE keeper",
  probe = ask(dialect.current_role),
  clean = "NULL",
}
row {
  name = "SET ROLE: its privileges",
  needs = "ROLE",
  account = "member",
  dirty = sql "SET ROLE keeper",
  probe = try "SELECT * FROM other.secret",
  clean = "error 1142",
}
row {
  name = "SET ROLE inside a procedure",
  needs = "ROLE",
  account = "member",
  dirty = sql "CALL become_keeper()",
  probe = ask(dialect.current_role),
  clean = "NULL",
}
row {
  name = "SET ROLE inside a function, called by a SELECT",
  needs = "ROLE",
  account = "member",
  dirty = sql "SELECT keeper_too()",
  probe = ask(dialect.current_role),
  clean = "NULL",
  note = "nothing in the text of the statement shows it",
}
row {
  name = "SET ROLE to another than the default role",
  needs = "ROLE",
  account = "deputy",
  dirty = sql "SET ROLE clerk",
  probe = ask(dialect.current_role),
  clean = "keeper",
}
row {
  name = "SET ROLE NONE, where there is a default role",
  needs = "ROLE",
  account = "deputy",
  dirty = sql "SET ROLE NONE",
  probe = try "SELECT * FROM other.secret",
  clean = "ok",
}
for _, database in ipairs { "app", false } do
  row {
    name = "SET ROLE to one granted after the connect" .. (database and "" or ", where no database was named"),
    needs = "ROLE",
    account = "late",
    database = database,
    dirty = function(conn, env)
      for _, host in ipairs { "'%'", "'localhost'" } do
        run(env.observer, "GRANT keeper TO late@" .. host)
      end
      run(conn, "SET ROLE keeper")
    end,
    probe = ask(dialect.current_role),
    clean = "NULL",
    cleanup = function(env)
      for _, host in ipairs { "'%'", "'localhost'" } do
        run(env.observer, "REVOKE keeper FROM late@" .. host)
      end
    end,
    connection = dialect.has "APPLICABLE_ROLES" and "discarded" or "kept",
    alone = true,
  }
end

-- ------------------------------------------------------------------------------------------------

section "Things with names"

row { name = "user variables", dirty = sql "SET @mine = 'secret'", probe = ask "@mine", clean = "NULL" }
row {
  name = "user variable set in the middle of a SELECT",
  dirty = sql "SELECT @mine := 5",
  probe = ask "@mine",
  clean = "NULL",
}
row {
  name = "user variable set inside a stored function",
  dirty = sql "SELECT hidden()",
  probe = ask "@hidden",
  clean = "NULL",
}
row {
  name = "temporary table",
  dirty = sql("CREATE TEMPORARY TABLE mine (n INT)", "INSERT INTO mine VALUES (1)"),
  probe = try "SELECT * FROM mine",
  clean = "error 1146",
}
row {
  name = "temporary table in front of a real one",
  dirty = sql "CREATE TEMPORARY TABLE fixed (n INT)",
  probe = ask "COUNT(*) FROM fixed",
  clean = "100",
}
row {
  name = "temporary sequence",
  needs = "SEQUENCE",
  dirty = sql "CREATE TEMPORARY SEQUENCE mine START WITH 500",
  probe = try "SELECT NEXTVAL(mine)",
  clean = "error 4091",
}
row {
  name = "PREPARE",
  dirty = sql "PREPARE mine FROM 'SELECT 42'",
  probe = try "EXECUTE mine",
  clean = "error 1243",
}
row {
  name = "HANDLER",
  dirty = sql("HANDLER fixed OPEN AS mine", "HANDLER mine READ FIRST"),
  probe = try "HANDLER mine READ NEXT",
  clean = "error 1109",
}

-- ------------------------------------------------------------------------------------------------

section "Locks"

row {
  name = "LOCK TABLES … READ",
  dirty = sql "LOCK TABLES fixed READ",
  probe = try "SELECT COUNT(*) FROM t",
  clean = "ok",
}
row {
  name = "LOCK TABLES … WRITE",
  dirty = sql "LOCK TABLES versioned WRITE",
  probe = try_elsewhere "SELECT * FROM versioned",
  clean = "ok",
  alone = true,
}
row {
  name = "LOCK TABLES inside of autocommit = 0",
  dirty = sql("SET autocommit = 0", "LOCK TABLES t WRITE", "INSERT INTO t (v) VALUES ('locked')"),
  probe = try_elsewhere "DELETE FROM t",
  clean = "ok",
  alone = true,
}
row {
  name = "FLUSH TABLES WITH READ LOCK",
  dirty = sql "FLUSH TABLES WITH READ LOCK",
  probe = try "DELETE FROM t",
  clean = "ok",
  alone = true,
}
row {
  name = "FLUSH TABLES … WITH READ LOCK",
  dirty = sql "FLUSH TABLES fixed WITH READ LOCK",
  probe = try_elsewhere("ALTER TABLE fixed " .. dialect.nowait .. " COMMENT 'changed'"),
  clean = "ok",
  alone = true,
}
row {
  name = "FLUSH TABLES … FOR EXPORT",
  dirty = sql "FLUSH TABLES fixed FOR EXPORT",
  probe = try_elsewhere "DELETE FROM fixed WHERE n > 1000",
  clean = "ok",
  alone = true,
}
row {
  name = "BACKUP STAGE START",
  needs = "BACKUP STAGE",
  dirty = sql "BACKUP STAGE START",
  probe = try "BACKUP STAGE END",
  clean = "error 4146",
  alone = true,
}
row {
  name = "BACKUP STAGE BLOCK_COMMIT",
  needs = "BACKUP STAGE",
  dirty = sql("BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"),
  probe = try_elsewhere "INSERT INTO t (v) VALUES ('x')",
  clean = "ok",
  cleanup = empty "t",
  alone = true,
}
row {
  name = "BACKUP LOCK",
  needs = "BACKUP LOCK",
  dirty = sql "BACKUP LOCK fixed",
  probe = try_elsewhere("ALTER TABLE fixed " .. dialect.nowait .. " COMMENT 'changed'"),
  clean = "ok",
  alone = true,
}
row {
  name = "GET_LOCK",
  dirty = sql "SELECT GET_LOCK(CONCAT('mine', CONNECTION_ID()), 0)",
  probe = ask "IS_USED_LOCK(CONCAT('mine', CONNECTION_ID()))",
  clean = "NULL",
}
row {
  name = "GET_LOCK, several and twice",
  dirty = sql("SELECT GET_LOCK('first', 0), GET_LOCK('second', 0)", "SELECT GET_LOCK('first', 0)"),
  probe = function(_, env)
    return value(env.observer, "SELECT CONCAT(IS_FREE_LOCK('first'), IS_FREE_LOCK('second'))")
  end,
  clean = "11",
  alone = true,
}

-- ------------------------------------------------------------------------------------------------

section "What the last statement left"

row {
  name = "LAST_INSERT_ID()",
  dirty = sql("START TRANSACTION", "INSERT INTO t (v) VALUES ('x')", "ROLLBACK"),
  probe = ask "LAST_INSERT_ID()",
  clean = "0",
}
row {
  name = "LAST_INSERT_ID(value)",
  dirty = sql "SELECT LAST_INSERT_ID(99)",
  probe = ask "LAST_INSERT_ID()",
  clean = "0",
}
row {
  name = "ROW_COUNT()",
  dirty = sql("CREATE TEMPORARY TABLE many (n INT)", "INSERT INTO many SELECT n FROM fixed"),
  probe = ask "ROW_COUNT() = 100",
  clean = "0",
}
row {
  name = "FOUND_ROWS()",
  dirty = sql "SELECT SQL_CALC_FOUND_ROWS n FROM fixed LIMIT 1",
  probe = ask "FOUND_ROWS() = 100",
  clean = "0",
  note = "the server keeps the number for its thread: not even a new connection begins with another. mypool's "
    .. "reset holds a SELECT, which overwrites it",
}
row {
  name = "warnings",
  dirty = sql "SELECT CAST('x' AS SIGNED)",
  probe = function(conn)
    return ("%d warnings"):format(#assert(conn:query "SHOW WARNINGS"))
  end,
  clean = "0 warnings",
}
row {
  name = "an error, for SHOW ERRORS and @@error_count",
  dirty = function(conn)
    conn:query "SELECT * FROM missing"
  end,
  probe = ask "@@error_count",
  clean = "0",
}
row {
  name = "diagnostics area",
  dirty = function(conn)
    conn:query "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'secret'"
  end,
  probe = function(conn)
    conn:query "GET DIAGNOSTICS @conditions = NUMBER"
    return value(conn, "SELECT @conditions")
  end,
  clean = "0",
}
row {
  name = "LASTVAL() of a sequence",
  needs = "SEQUENCE",
  dirty = sql "SELECT NEXTVAL(numbers)",
  probe = ask "LASTVAL(numbers)",
  clean = "NULL",
}
row {
  name = "SHOW PROFILES: texts of statements",
  dirty = sql("SET profiling = 1", "SELECT 'a secret'", "SET profiling = 0"),
  probe = function(conn)
    for _, profile in ipairs(assert(conn:query "SHOW PROFILES")) do
      if (profile.Query or profile[3]):find "secret" then
        return "secret"
      end
    end
    return "nothing"
  end,
  clean = "nothing",
  connection = dialect.has "profiles that outlive a reset" and "discarded" or "kept",
  note = "no command drops the list at once: only the end of a statement that is profiled and leaves no room for it",
}
row {
  name = "profiling switched on",
  dirty = sql "SET profiling = 1, profiling_history_size = 33",
  probe = ask("@@profiling", "@@profiling_history_size"),
  alone = true,
  connection = dialect.has "profiles that outlive a reset" and "discarded" or "kept",
  note = "after the server's reset the variable is 0, and yet it goes on to profile",
}
row {
  name = "a statement's error in the middle of a transaction",
  dirty = function(conn)
    run(conn, "START TRANSACTION")
    run(conn, "INSERT INTO t (v) VALUES ('half')")
    conn:query "SELECT * FROM missing"
  end,
  probe = ask(dialect.in_transaction, "COUNT(*) FROM t"),
  clean = "0 | 0",
  alone = true,
}
row {
  name = "KILL QUERY on one's own statement",
  dirty = function(conn)
    run(conn, "SET @mine = 1")
    conn:query(("KILL QUERY %d"):format(conn:id()))
  end,
  probe = ask("@mine", "1 + 1"),
  clean = "NULL | 2",
}

-- ------------------------------------------------------------------------------------------------

section "Unfinished business"

local long_result = "SELECT seq, IF(seq IN (1, 2000), SLEEP(0.1), 0), REPEAT('x', 1000) FROM seq_1_to_3000"

unfinished {
  name = "a statement whose reply was never read",
  sql = "SELECT SLEEP(0.2), 'not yours'",
  probe = ask "'mine'",
  clean = "mine",
}
unfinished {
  name = "a result read half-way",
  sql = long_result,
  calls = 2,
  plain = function(conn)
    assert(conn:stream(long_result))
  end,
  probe = ask "'mine'",
  clean = "mine",
}
unfinished {
  name = "a CALL with results, left after the first",
  sql = "CALL many_results()",
  calls = 2,
  plain = function(conn)
    assert(conn:first_result "CALL many_results()")
  end,
  probe = ask "'mine'",
  clean = "mine",
}
unfinished {
  name = "a transaction left while its INSERT was under way",
  before = "START TRANSACTION",
  sql = "INSERT INTO t SELECT NULL, SLEEP(0.2)" .. (dialect.has "RETURNING" and " RETURNING n" or ""),
  probe = ask(dialect.in_transaction, "COUNT(*) FROM t"),
  clean = "0 | 0",
}
row {
  name = "a statement ended by the client's timeout",
  dirty = function(conn)
    local _, err = conn:query { "SELECT SLEEP(5), 'not yours'", timeout = 0.05 }
    assert(err and err.kind == "timeout", "there was no timeout")
  end,
  plain = function(conn)
    conn:send "SELECT SLEEP(0.2), 'not yours'"
  end,
  probe = ask "'mine'",
  clean = "mine",
  alone = true,
  note = "mypool stops the statement in the server, and reads its reply, before the connection is lent again",
}
row {
  name = "a statement ended by max_statement_time",
  needs = "a limit of time",
  dirty = function(conn)
    run(conn, "SET @mine = 1")
    run(conn, dialect.limit_time(0.02))
    conn:query "SELECT COUNT(*) FROM fixed a, fixed b, fixed c, fixed d"
  end,
  probe = ask("@mine", ("@@%s = 0"):format(dialect.time_variable)),
  clean = "NULL | 1",
  alone = true,
}
row {
  name = "a coroutine abandoned while it waited",
  loan = function(pool, env)
    local co = coroutine.create(function()
      local conn = assert(pool:checkout())
      env.yielding = true
      conn:query "SELECT SLEEP(0.2), 'not yours'"
    end)
    assert(coroutine.resume(co))
    env.yielding = false
    assert(coroutine.status(co) == "suspended")
    co = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
  end,
  plain = function(conn)
    conn:send "SELECT SLEEP(0.2), 'not yours'"
  end,
  probe = ask "'mine'",
  clean = "mine",
  alone = true,
}
row {
  name = "a handle that was forgotten, not released",
  loan = function(pool)
    local function forget()
      run(assert(pool:checkout()), "SET @mine = 1")
    end
    warn "@off"
    forget()
    collectgarbage()
    collectgarbage()
    warn "@on"
  end,
  plain = sql "SET @mine = 1",
  probe = ask "@mine",
  clean = "NULL",
  alone = true,
}
row {
  name = "KILL of the connection in the middle of a loan",
  dirty = function(conn)
    conn:query(("KILL CONNECTION %d"):format(conn:id()))
  end,
  probe = try "DO 1",
  clean = "ok",
  connection = "discarded",
  alone = true,
}
row {
  name = "KILL of the connection while it is idle",
  loan = function(pool, env)
    local conn = assert(pool:checkout())
    local id = conn:id()
    conn:release()
    run(env.observer, ("KILL CONNECTION %d"):format(id))
  end,
  plain = function(conn, env)
    run(env.observer, ("KILL CONNECTION %d"):format(conn:id()))
  end,
  probe = try "DO 1",
  clean = "ok",
  connection = "discarded",
  alone = true,
}
row {
  name = "MULTI_STATEMENTS: one query may hold several statements",
  dirty = sql "DO 1",
  plain = function(conn)
    assert(conn:multi_statements())
  end,
  probe = try "SELECT 1; SELECT 2",
  clean = "error 1064",
  note = "mypool has no way to switch it on",
}
row {
  name = "LOAD DATA LOCAL: the server asks the client for a file",
  dirty = function(conn)
    conn:query "LOAD DATA LOCAL INFILE '/proc/self/status' INTO TABLE loaded"
  end,
  probe = function(conn, env)
    return ("%s, file %s"):format(
      value(conn, "SELECT 'mine'"),
      value(env.observer, "SELECT IF(COUNT(*) = 0, 'refused', 'sent') FROM app.loaded")
    )
  end,
  clean = "mine, file refused",
  cleanup = empty "loaded",
  alone = true,
  note = "libmariadb sends any file that it can read, unless told not to; mypool tells it",
}

-- ------------------------------------------------------------------------------------------------

section "Streamed rows"

row {
  name = "streamed rows, released half-way",
  dirty = function(conn)
    local next_row, state = conn:rows(long_result)
    assert(next_row(state))
  end,
  plain = function(conn)
    assert(conn:stream(long_result))
  end,
  probe = ask "'mine'",
  clean = "mine",
  connection = "discarded",
  alone = true,
}

-- ------------------------------------------------------------------------------------------------
section "Binary prepared statements"

-- How many there are on the whole server: what the connections of other rows held goes with them, soon.
local function prepared_count(_, env)
  local count
  for _ = 1, 50 do
    count = value(
      env.observer,
      ("SELECT VARIABLE_VALUE FROM %s WHERE VARIABLE_NAME = 'PREPARED_STMT_COUNT'"):format(dialect.status "global")
    )
    if count == "0" then
      break
    end
    env.observer:query "DO SLEEP(0.01)"
  end
  return count
end

row {
  name = "prepared statement, left open",
  dirty = function(conn, env)
    env.statement = assert(conn:prepare "SELECT 'not yours'")
    assert(env.statement:execute())
  end,
  plain = function(conn, env)
    env.statement = assert(conn:prepare "SELECT 'not yours'")
  end,
  probe = prepared_count,
  clean = "0",
  alone = true,
}
row {
  name = "prepared statement, used by the last borrower after its loan",
  dirty = function(conn, env)
    env.statement = assert(conn:prepare "SELECT 'not yours'")
  end,
  plain = function(conn, env)
    local statement = assert(conn:prepare "SELECT 'not yours'")
    env.statement = {
      execute = function()
        return assert(statement:execute() and statement:fetch())
      end,
    }
  end,
  probe = function(_, env)
    local ok = env.statement and pcall(env.statement.execute, env.statement)
    return ok and "it runs" or "refused"
  end,
  clean = "refused",
  alone = true,
}

local long_column = "SELECT CONCAT(IF(seq IN (1, 2000), SLEEP(0.1), 0), REPEAT('x', 1000)) FROM seq_1_to_3000"

row {
  name = "rows of a prepared statement, half-read",
  dirty = function(conn)
    local statement = assert(conn:prepare(long_column))
    local next_row, state = statement:rows()
    assert(next_row(state))
  end,
  plain = function(conn, env)
    env.statement = assert(conn:prepare(long_column))
    assert(env.statement:execute())
    assert(env.statement:fetch())
  end,
  probe = ask "'mine'",
  clean = "mine",
  connection = "discarded",
  alone = true,
}
row {
  name = "cursor of a prepared statement, open",
  dirty = function(conn, env)
    env.statement = assert(conn:prepare "SELECT seq FROM seq_1_to_3")
    local next_row, state = env.statement:rows()
    assert(next_row(state))
  end,
  plain = function(conn, env)
    env.statement = assert(conn:prepare("SELECT seq FROM seq_1_to_3", true))
    assert(env.statement:execute())
    assert(env.statement:fetch())
  end,
  probe = prepared_count,
  clean = "0",
  connection = "discarded",
  alone = true,
  note = "mypool opens no cursors: it reads rows as the server sends them",
}

-- ------------------------------------------------------------------------------------------------

-- Calls fn(row, group) for each row, in order.
function leaks.each(fn)
  for _, g in ipairs(leaks.groups) do
    for _, r in ipairs(g) do
      fn(r, g)
    end
  end
end

return leaks
