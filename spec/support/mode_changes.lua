-- The ways in which a session's sql_mode and charset change, or seem to: some tell the client nothing, some lie.

local dialect = require "spec.servers.dialect"

local changes = {}

-- Makes the routines, as what the account of this connection may make.
function changes.prepare(conn)
  for _, sql in ipairs {
    "CREATE OR REPLACE PROCEDURE change_mode(m TEXT) SET sql_mode = m",
    "CREATE OR REPLACE PROCEDURE change_mode_and_fail(m TEXT) BEGIN SET sql_mode = m; SIGNAL SQLSTATE '45000'; END",
    "CREATE OR REPLACE FUNCTION changing_mode(m TEXT) RETURNS INT BEGIN SET sql_mode = m; RETURN 1; END",
    "CREATE OR REPLACE FUNCTION changing_mode_failing(m TEXT) RETURNS INT " ..
      "BEGIN SET sql_mode = m; SIGNAL SQLSTATE '45000'; RETURN 1; END",
    "CREATE OR REPLACE TABLE changing (m TEXT)",
    "CREATE OR REPLACE TRIGGER changing_row BEFORE INSERT ON changing FOR EACH ROW SET sql_mode = NEW.m",
  } do
    dialect.run(conn, sql)
  end
end

-- Statements with %s for a sql_mode. What fails, fails on purpose.
changes.of_mode = dialect.known {
  "SET sql_mode = '%s'",
  "SET STATEMENT sql_mode = '%s' FOR DO 1",
  "SET STATEMENT sql_mode = '%s' FOR SELECT missing",
  "EXECUTE IMMEDIATE 'SET sql_mode = ''%s'''",
  "BEGIN NOT ATOMIC SET sql_mode = '%s'; END",
  "BEGIN NOT ATOMIC SET sql_mode = '%s'; SIGNAL SQLSTATE '45000'; END",
  "BEGIN NOT ATOMIC SET sql_mode = '%s'; SELECT 1; SELECT missing; END",
  "CALL change_mode('%s')",
  "CALL change_mode_and_fail('%s')",
  "DO changing_mode('%s')",
  "SELECT changing_mode('%s')",
  "SELECT changing_mode_failing('%s')",
  "INSERT INTO changing VALUES ('%s')",
  "SET sql_mode = '%s', no_such_variable = 1",
}

-- The same for a charset.
changes.of_charset = dialect.known {
  "SET NAMES %s",
  "SET CHARACTER SET %s",
  "SET @@character_set_client = %s",
  "SET character_set_client = %s, character_set_connection = %s",
  "EXECUTE IMMEDIATE 'SET NAMES %s'",
  "BEGIN NOT ATOMIC SET NAMES %s; END",
  "BEGIN NOT ATOMIC SET NAMES %s; SIGNAL SQLSTATE '45000'; END",
  "BEGIN NOT ATOMIC SET @@character_set_client = %s; SELECT missing; END",
}

changes.off = "SET session_track_system_variables = ''" -- from then on no charset is told

-- Runs one of them.
function changes.make(conn, sql, to)
  return conn:query((sql:gsub("%%s", to)))
end

return changes
