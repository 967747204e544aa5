-- What the chosen server (SERVER of spec/servers/kinds.sh) says otherwise than MariaDB does, said once for all specs.
--
-- Sequences (seq_1_to_9) are views there, which spec/servers/kinds.sh makes, in the database app.

local dialect = {}

-- The name of the chosen server, such as mariadb-10.11; that of the system is asked what it is.
local function name_of_server()
  local asked = os.getenv "SERVER" or ""
  if asked ~= "" and asked ~= "system" then
    return asked
  end
  local pipe = assert(io.popen "PATH=$PATH:/usr/sbin:/usr/libexec mariadbd --version")
  local version = pipe:read("*a"):match "Ver (%d+%.%d+)"
  pipe:close()
  return "mariadb-" .. version
end

local chosen = name_of_server()
local mysql = chosen:find "^mysql" ~= nil
dialect.is_mysql = mysql
local old = chosen:find "^mysql%-5" ~= nil

-- What MySQL lacks; the reason that a spec which needs it gives for being pending. Others: "the server has no …".
local lacking = {
  ["BEGIN NOT ATOMIC"] = true,
  ["EXECUTE IMMEDIATE"] = true,
  ["/*M!"] = "the server has no comments that only MariaDB executes",
  ["idle_transaction_timeout"] = true,
  ["array binding"] = true,
  ["data files that may be deleted"] = "the server keeps its accounts in the files of InnoDB",
  ["affected rows of a CALL"] = "a CALL that ends with a SELECT affects no rows",
  ["UNION VALUES"] = true,
  ["prepared BEGIN"] = "the server prepares no LOCK TABLES, BEGIN and START TRANSACTION",
  ["an error for a SLEEP that is stopped"] = "a SLEEP that is stopped returns 1",
  ["Aria"] = "the server has no storage engine Aria",
  ["RETURNING"] = true,
  ["SET STATEMENT"] = true,
  ["max_statement_time"] = true,
  ["UUID)"] = "the server has no type UUID",
  ["FETCH NEXT"] = true,
  ["ROWS EXAMINED"] = true,
  ["@@in_transaction"] = true,
  ["SYSTEM VERSIONING"] = true,
  ["SEQUENCE"] = true,
  ["BACKUP STAGE"] = true,
  ["BACKUP LOCK"] = true,
  ["XA PREPARE"] = "a prepared XA transaction leaves its session at once", -- @@xa_detach_on_prepare
  ["profiles that outlive a reset"] = "the server's reset clears the profiles",
  ["APPLICABLE_ROLES"] = "every reset restores the role", -- mypool's, for the server does not count them cheaply
  ["USER_VARIABLES"] = true,
  ["--skip-character-set-client-handshake"] = true,
  ["DDL in parts"] = "every DDL takes effect whole or not at all",
  ["unknown charsets"] = "the server knows every charset that the client knows",
  ["ORACLE"] = "the server has no sql_mode ORACLE",
  ["trust without proof"] = "the server's accounts have a plugin that wants the server to be verified",
  ["certificates refused"] = "the server speaks no TLS with a certificate that its own authority refuses",
}

-- What MySQL before 5.7 lacks besides.
if old then
  for _, has in ipairs {
    "unknown charsets", "XA PREPARE", "--skip-character-set-client-handshake", "DDL in parts",
    "trust without proof",
  } do
    lacking[has] = nil
  end
  lacking["ROLE"] = true
  lacking["TLS"] = true
  lacking["accounts made anew"] = "the server miscounts the connections of an account that was made anew"
  lacking["WITH"] = "the server has no common table expressions"
  lacking["a computed default"] = "the server computes no default"
  lacking["JSON"] = "the server has no functions for JSON"
  lacking["warnings of IGNORE"] = "the server does not warn of what INSERT IGNORE left out"
  lacking["rows of megabytes"] = "the server takes no row that is larger than a tenth of its redo log"
  lacking["a check"] = "the server does not look at CHECK"
  lacking["a name of one's own for a server"] = "the server makes up what it is called at each start"
  lacking["ALTER USER"] = "the server has no ALTER USER that limits, locks or renews an account"
  lacking["session tracking"] = "the server tells of no changes to its session"
  lacking["a list of session variables"] = "the server does not list its session variables"
  lacking["XA that outlives its session"] = "a prepared XA transaction ends with its session"
  lacking["COM_RESET_CONNECTION"] = true
  lacking["a limit of time"] = "the server has no variable that limits a statement's time"
end

-- The same of MariaDB: before 10.6, and later.
local old_mariadb = chosen == "mariadb-10.5"
if not mysql then
  lacking = not old_mariadb and {}
    or {
      ["FETCH NEXT"] = true,
      ["UUID)"] = "the server has no type UUID",
      ["prepared BEGIN"] = "the server prepares no LOCK TABLES, BEGIN and START TRANSACTION",
      ["a prepared NULL"] = "the server takes a prepared NULL for text",
    }
end

function dialect.has(what)
  return not (what and lacking[what])
end

-- Why a spec that needs this is pending, nil where the server has it.
function dialect.lacks(what)
  local reason = what and lacking[what]
  return reason and (reason == true and "the server has no " .. what or reason) or nil
end

-- The same of what is in a statement.
function dialect.lacks_in(sql)
  for what in pairs(lacking) do
    if sql:find(what, 1, true) then
      return dialect.lacks(what)
    end
  end
end

-- Ends a spec as pending where the server lacks what it needs. pending: busted's, which only a spec can see.
function dialect.needs(what, pending)
  local reason = dialect.lacks(what)
  if reason then
    pending(reason)
  end
end

-- Those of these statements that it understands.
function dialect.known(statements)
  local known = {}
  for _, sql in ipairs(statements) do
    local missing = false
    for what in pairs(lacking) do
      missing = missing or sql:find(what, 1, true)
    end
    if not missing then
      known[#known + 1] = sql
    end
  end
  return known
end

local missing_modes = {
  DB2 = true,
  EMPTY_STRING_IS_NULL = true,
  MAXDB = true,
  MSSQL = true,
  ORACLE = true,
  POSTGRESQL = true,
  SIMULTANEOUS_ASSIGNMENT = true,
  TIME_ROUND_FRACTIONAL = true,
}

-- Those of these values of sql_mode that the server knows.
function dialect.known_modes(modes)
  local known = {}
  for _, mode in ipairs(modes) do
    local missing = false
    for name in mode:gmatch "[%u_0-9]+" do
      missing = missing or missing_modes[name]
    end
    if not (mysql and missing) then
      known[#known + 1] = mode
    end
  end
  return known
end

-- The same for collations.
function dialect.known_collations(collations)
  local known = {}
  for _, collation in ipairs(collations) do
    local missing = mysql and collation:find "nopad" or (mysql or old_mariadb) and collation:find "uca1400"
    if not missing then
      known[#known + 1] = collation
    end
  end
  return known
end

-- The privilege that exempts from init_connect, and the error for SET ROLE to a role that was not granted.
dialect.connection_admin = mysql and "CONNECTION_ADMIN" or "CONNECTION ADMIN"
dialect.check_error = mysql and 3819 or 4025 -- a CHECK that is not met
dialect.role_error = mysql and 3530 or 1959
dialect.locked_error = mysql and 3118 or 4151 -- an account that is locked
dialect.expired_error = mysql and 1862 or 1820 -- a password that has expired
dialect.expired_words = mysql and "password has expired" or "SET PASSWORD"

-- The type of what is JSON.
dialect.json = old and "TEXT" or "JSON"

-- What it calls utf8mb3, whatever it was called by who chose it.
dialect.utf8mb3 = (old or old_mariadb) and "utf8" or "utf8mb3"

-- Whether utf8mb4 has another collation by default than it had when libmariadb's handshake was made.
dialect.has_other_default_collation = chosen:find "^mariadb%-1[1-9]" ~= nil or mysql and not old

-- Makes the server read the files of its certificates anew.
dialect.reload_tls = mysql and not old and "ALTER INSTANCE RELOAD TLS" or "FLUSH SSL"

-- The option for a server without TLS.
dialect.without_tls = mysql and not old and "--tls-version=" or "--skip-ssl"

-- SQL for the name of the role in force, or NULL.
dialect.current_role = not mysql and "CURRENT_ROLE()"
  or "NULLIF(TRIM(BOTH '`' FROM TRIM(BOTH CHAR(34) FROM SUBSTRING_INDEX(CURRENT_ROLE(), '@', 1))), 'NONE')"

-- What explicit_defaults_for_timestamp can be set to, where a session can set it.
dialect.timestamp_default = not old and "0" or nil

-- SQL for 1 within a transaction, and 0.
dialect.in_transaction = not mysql and "@@in_transaction"
  or old and "(SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID())"
  or "(SELECT COUNT(*) FROM performance_schema.events_transactions_current \
    WHERE THREAD_ID = PS_CURRENT_THREAD_ID() AND STATE = 'ACTIVE' AND AUTOCOMMIT = 'NO')"

-- The list of the server's threads; MySQL's older one fails as long as a statement runs that is no text.
dialect.threads = mysql and not old and "performance_schema.processlist" or "information_schema.PROCESSLIST"

-- SQL for all session variables, with what values they take.
dialect.session_variables = not mysql
    and [[SELECT * FROM information_schema.SYSTEM_VARIABLES
      WHERE VARIABLE_SCOPE LIKE 'SESSION%' AND READ_ONLY = 'NO' ORDER BY VARIABLE_NAME]]
  or [[SELECT UPPER(VARIABLE_NAME) AS VARIABLE_NAME, VARIABLE_VALUE AS SESSION_VALUE, MIN_VALUE AS NUMERIC_MIN_VALUE,
      CASE WHEN VARIABLE_VALUE IN ('ON', 'OFF') THEN 'BOOLEAN' WHEN MAX_VALUE <> '0' THEN 'INT' ELSE '' END
        AS VARIABLE_TYPE
      FROM performance_schema.session_variables JOIN performance_schema.variables_info USING (VARIABLE_NAME)
      ORDER BY VARIABLE_NAME]]

-- For ALTER TABLE: not to wait for others. Without that word it waits for @@lock_wait_timeout; the same for a SELECT.
dialect.nowait = mysql and "" or "NOWAIT"
dialect.select_nowait = old and "" or "NOWAIT"

-- Where the values of SHOW STATUS are a table; scope: "session" or "global".
function dialect.status(scope)
  return (mysql and not old and "performance_schema." or "information_schema.") .. scope .. "_status"
end

-- A variable that limits a statement's time, and its value that means none.
dialect.time_variable = mysql and "max_execution_time" or "max_statement_time"
dialect.no_time_limit = mysql and 0 or 0.0

dialect.time_error = mysql and 3024 or 1969

-- Sets a limit of so many seconds, at which a SELECT fails with this error.
function dialect.limit_time(seconds)
  return mysql and ("SET max_execution_time = %d"):format(seconds * 1000) or "SET max_statement_time = " .. seconds
end

-- Whether it takes a prepared statement's parameters for text, however they are sent.
dialect.takes_text_only = mysql

-- Whether KILL CONNECTION_ID() is answered, by an error, before the session ends.
dialect.kills_itself_with_an_error = mysql

-- What becomes of the TIME(6) -838:59:59.999999.
dialect.longest = mysql and "-838:59:59.000000" or "-838:59:59.999999"

-- Names of variables.
dialect.identity = mysql and "server_uuid" or old_mariadb and "version" or "server_uid"
dialect.isolation_variable = mysql and not old and "transaction_isolation" or "tx_isolation"
dialect.read_only_variable = mysql and not old and "transaction_read_only" or "tx_read_only"

-- Over plain TCP its accounts get in with the server's key only, option server_public_key.
dialect.needs_public_key = mysql and not old

local function kind_and_name(text)
  local kind, rest = text:match "^%s*CREATE OR REPLACE (%u+) (.*)$"
  if kind == "TEMPORARY" then
    kind, rest = "TEMPORARY TABLE", rest:gsub("^TABLE ", "")
  end
  if kind and kind ~= "VIEW" then
    return kind, rest:match "^`[^`]*`" or rest:match "^[^%s(;]+"
  end
end

-- Statements that leave no such thing. Without IF EXISTS an account can be made before it is dropped.
local function drop(kind, name)
  if old and kind == "USER" then
    return { "GRANT USAGE ON *.* TO " .. name, "DROP USER " .. name }
  end
  return { ("DROP %s IF EXISTS %s"):format(kind, name) }
end

-- The statements that do what this one does.
function dialect.statements(text)
  local kind, name = kind_and_name(text)
  if not mysql or not kind then
    return { mysql and text:gsub("^(SET DEFAULT ROLE %S+) FOR", "%1 TO") or text }
  end
  local statements = drop(kind, name)
  statements[#statements + 1] = text:gsub("CREATE OR REPLACE", "CREATE", 1)
  return statements
end

-- The same for a text for the mariadb client, which has several statements.
function dialect.script(text)
  if not mysql then
    return text
  end
  local delimiter, parts, from = ";", {}, 1
  while true do
    local at = text:find("CREATE OR REPLACE", from, true)
    local before = text:sub(from, (at or 0) - 1)
    delimiter = before:match ".*DELIMITER (%S+)" or delimiter
    parts[#parts + 1] = before
    if not at then
      return (table.concat(parts):gsub("(SET DEFAULT ROLE %S+) FOR", "%1 TO"))
    end
    local kind, name = kind_and_name(text:sub(at))
    if kind then
      parts[#parts + 1] = table.concat(drop(kind, name), delimiter) .. delimiter .. " CREATE"
    else
      parts[#parts + 1] = "CREATE OR REPLACE"
    end
    from = at + #"CREATE OR REPLACE"
  end
end

-- Runs one statement on a pool, connection or transaction, and returns what it returned.
function dialect.run(db, text)
  local result
  for _, statement in ipairs(dialect.statements(text)) do
    result = assert(db:query(statement))
  end
  return result
end

return dialect
