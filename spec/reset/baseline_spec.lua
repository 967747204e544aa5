-- The state that every reset leads back to is the one that the pool's user asked for, on a server whose own
-- settings are different; and a session that cannot be led back is never lent.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local isolation = require "spec.matrix.isolation"
local mypool = require "mypool"
local plain = require "spec.plain"
local pools = require "spec.support.pools"
local server = require "spec.servers.server"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local s = fixture.server {
  options = {
    "--character-set-server=latin1",
    "--collation-server=latin1_german1_ci",
    "--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT",
    "--default-time-zone=-03:30",
    "--transaction-isolation=READ-COMMITTED",
    "--group-concat-max-len=5000",
    "--init-connect=SET @greeting = 'a;b'; SET lc_time_names = 'de_DE', @from = 'init_connect';",
  },
}
local root

local function sql(...)
  for _, statement in ipairs { ... } do
    for _, part in ipairs(dialect.statements(statement)) do
      local ok, message = root:query(part)
      if not ok then
        error(part .. ": " .. message, 2)
      end
    end
  end
end

-- Accounts are known by the host that they come from: over the socket that is localhost.
local function account(name, ...)
  sql(
    ("CREATE OR REPLACE USER %s@localhost IDENTIFIED BY 'secret'"):format(name),
    ("GRANT ALL ON app.* TO %s@localhost"):format(name),
    ("GRANT ALL ON western.* TO %s@localhost"):format(name)
  )
  for _, grant in ipairs { ... } do
    sql((grant:gsub("@", name .. "@localhost")))
  end
end

setup(function()
  root = assert(plain.connect { socket = s.socket, user = "root", database = "app" })
  sql(
    "SET SESSION sql_mode = '', character_set_client = utf8mb4",
    "CREATE OR REPLACE DATABASE western CHARACTER SET latin1 COLLATE latin1_spanish_ci",
    "CREATE ROLE keeper",
    "CREATE ROLE clerk",
    "CREATE ROLE warden",
    ("GRANT %s ON *.* TO warden"):format(dialect.connection_admin),
    "CREATE TABLE app.t (n INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100))",
    "CREATE TABLE app.banned (id BIGINT)",
    [[CREATE FUNCTION app.prepare_session() RETURNS INT BEGIN
        SET SESSION time_zone = '+09:00', @by = 'f';
        RETURN 1;
      END]],
    [[CREATE PROCEDURE app.prepare_session_too() BEGIN
        SELECT 1;
        SELECT 2 FROM t;
        SET SESSION sql_mode = 'ANSI';
        SELECT 3;
      END]],
    [[CREATE PROCEDURE app.check_in() BEGIN
        SELECT 1;
        IF EXISTS (SELECT * FROM banned WHERE id = CONNECTION_ID()) THEN
          SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 31999, MESSAGE_TEXT = 'banned';
        END IF;
        SET @checked = 'in';
      END]],
    [[CREATE FUNCTION app.admit(n INT) RETURNS INT BEGIN
        IF n = 3 AND EXISTS (SELECT * FROM banned WHERE id = CONNECTION_ID()) THEN
          SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 31999, MESSAGE_TEXT = 'banned';
        END IF;
        SET @checked = 'in';
        RETURN n;
      END]]
  )
  account("plainone")
  account("deputy", "GRANT keeper TO @", "GRANT clerk TO @", "SET DEFAULT ROLE keeper FOR @")
  account("member", "GRANT keeper TO @", "GRANT clerk TO @")
  account("superone", "GRANT SUPER ON *.* TO @")
  account("connector", ("GRANT %s ON *.* TO @"):format(dialect.connection_admin))
  account("guarded", "GRANT warden TO @", "SET DEFAULT ROLE warden FOR @")
  account("`o'brien`")
end)

teardown(function()
  root:close()
end)

before_each(function()
  sql "DELETE FROM app.banned"
end)

after_each(pools.close)

local function new_pool(user, more)
  local options = { socket = s.socket, user = user, password = "secret", database = "app", max_size = 1 }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  options.database = options.database or nil
  return pools.new(options)
end

-- ---- the whole of a session ----

-- What differs from moment to moment, or with the statement just run.
local passing = {
  timestamp = true,
  rand_seed1 = true,
  rand_seed2 = true,
  last_gtid = true,
  identity = true,
  last_insert_id = true,
  insert_id = true,
  error_count = true,
  warning_count = true,
  pseudo_thread_id = true,
  statement_id = true,
}

-- Those that these specs set; where the server lists them, all.
local names = { "greeting", "from", "by", "checked", "mine", "a", "b", "c", "d", "e", "c;", "d;", [[b\]] }

local function user_variables(conn)
  local values = {}
  if dialect.has "USER_VARIABLES" then
    for _, row in ipairs(assert(conn:query "SELECT * FROM information_schema.USER_VARIABLES")) do
      values[row.VARIABLE_NAME] = row.VARIABLE_VALUE
    end
    return values
  end
  local row = assert(conn:one { "SELECT @`" .. table.concat(names, "`, @`") .. "`", rows = "array" })
  for i, name in ipairs(names) do
    values[name] = row[i] ~= nil and tostring(row[i]) or nil
  end
  return values
end

-- Everything that the server shows of a session.
local function picture(conn)
  local shown = {}
  for _, row in ipairs(assert(conn:query { "SHOW SESSION VARIABLES", rows = "array" })) do
    if not passing[row[1]] then
      shown[row[1]] = row[2]
    end
  end
  shown.database = conn:value "SELECT DATABASE()" or "none"
  shown.role = conn:value("SELECT " .. dialect.current_role) or "none"
  for name, value in pairs(user_variables(conn)) do
    shown["@" .. name] = value
  end
  shown["plain text that is sent"] = conn:value("SELECT HEX(CONVERT(? USING utf8mb4))", "\u{e9}")
  shown["text that is sent"] = conn:value("SELECT HEX(CONVERT(? USING utf8mb4))", "\u{e9}\\")
  shown["text that comes back"] = conn:value "SELECT _latin1 x'e9'"
  shown["a name beyond ASCII"] = tostring(pcall(conn.query, conn, "SELECT 1 AS ?", mypool.ident "\u{e9}"))
  shown.in_transaction = tostring(conn:in_transaction())
  return shown
end

local dirt = {
  "SET NAMES gbk",
  "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
  "SET SESSION time_zone = '+01:00', lc_time_names = 'ja_JP', group_concat_max_len = 4, lock_wait_timeout = 3",
  "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
  "SET @greeting = 'dirty', @from = 'dirty', @by = 'dirty', @checked = 'dirty', @mine = 'dirty'",
  "USE western",
  "SET collation_database = utf8mb4_bin",
  "SET ROLE NONE",
  "SET ROLE clerk", -- only some have it
  "SET ROLE NONE",
  "SET autocommit = 0",
  "SELECT COUNT(*) FROM app.t",
  "SET session_track_system_variables = '', session_track_schema = 0",
}

local function assert_same_picture(before, after)
  local differences = {}
  for name, value in pairs(before) do
    if after[name] ~= value then
      differences[#differences + 1] = ("%s was %s, is %s"):format(name, value, after[name])
    end
  end
  for name, value in pairs(after) do
    if before[name] == nil then
      differences[#differences + 1] = ("%s was nothing, is %s"):format(name, value)
    end
  end
  table.sort(differences)
  assert.equal("", table.concat(differences, "\n"))
end

-- Borrows twice and compares; returns the picture.
local function assert_restored(pool)
  local conn = assert(pool:checkout())
  local id, before = conn:id(), picture(conn)
  for _, statement in ipairs(dirt) do
    conn:query(statement)
  end
  assert.not_same(before, picture(conn))
  conn:release()
  conn = assert(pool:checkout())
  local after = picture(conn)
  local kept = conn:id() == id
  conn:release()
  assert_same_picture(before, after)
  assert.is_true(kept, "the connection was lost")
  return before
end

local function assert_shows(expected, shown)
  for name, value in pairs(expected) do
    assert.equal(value, shown[name], name)
  end
end

-- ================================================================================================

describe("after each reset the session is again as it was", function()
  it("without any option, where the server's globals are unusual", function()
    assert_shows({
      character_set_client = "utf8mb4",
      character_set_results = "utf8mb4",
      character_set_server = "latin1",
      time_zone = "-03:30",
      [dialect.isolation_variable] = "READ-COMMITTED",
      group_concat_max_len = "5000",
      database = "app",
      role = "none",
      ["text that is sent"] = "C3A95C",
      ["text that comes back"] = "\u{e9}",
    }, assert_restored(new_pool "plainone"))
  end)

  for charset, byte in pairs { latin1 = "\xe9", utf8mb3 = "\u{e9}", utf8mb4 = "\u{e9}", cp850 = "\x82" } do
    it("with the charset " .. charset, function()
      local told = charset == "utf8mb3" and dialect.utf8mb3 or charset
      assert_shows(
        { character_set_client = told, character_set_connection = told, ["text that comes back"] = byte },
        assert_restored(new_pool("plainone", { charset = charset }))
      )
    end)
  end

  it("with a collation", function()
    assert_shows(
      { collation_connection = "utf8mb4_lithuanian_ci" },
      assert_restored(new_pool("plainone", { collation = "utf8mb4_lithuanian_ci" }))
    )
    assert_shows(
      { collation_connection = "latin1_bin", character_set_results = "latin1" },
      assert_restored(new_pool("plainone", { charset = "latin1", collation = "latin1_bin" }))
    )
  end)

  for _, charset in ipairs { "utf8", "UTF8MB4", "utf8mb3", "binary", "GBK" } do
    it("by any name of a charset: " .. charset, function()
      assert_restored(new_pool("plainone", { charset = charset }))
      assert_restored(new_pool("connector", { charset = charset })) -- without init_connect
    end)
  end

  it("with a database of another character set than the server", function()
    assert_shows(
      { database = "western", collation_database = "latin1_spanish_ci" },
      assert_restored(new_pool("plainone", { database = "western" }))
    )
    assert_shows({ character_set_database = "utf8mb4" }, assert_restored(new_pool "plainone"))
  end)

  it("without a database, unless a borrower chose one", function()
    local pool = new_pool("plainone", { database = false })
    local conn = assert(pool:checkout())
    local id, before = conn:id(), picture(conn)
    assert(conn:query "SET @x = 1, time_zone = '+01:00'")
    conn:release()
    conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert_same_picture(before, picture(conn))
    assert.equal("none", before.database)
    assert(conn:query "USE western")
    conn:release()
    conn = assert(pool:checkout())
    assert.not_equal(id, conn:id())
    assert_same_picture(before, picture(conn))
    conn:release()
  end)

  it("with the account's default role", function()
    assert_shows({ role = "keeper" }, assert_restored(new_pool "deputy"))
  end)

  it("with an account that has roles, none of them in force", function()
    assert_shows({ role = "none" }, assert_restored(new_pool "member"))
  end)
end)

describe("a charset that is not to be had", function()
  local function assert_refused(words, pool)
    local conn, err = pool:checkout()
    assert.is_nil(conn)
    assert.same({ "connect", "no", false }, { err.kind, err.executed, err.retryable })
    assert.truthy(err.message:find(words, 1, true), err.message)
    assert.equal(0, pool:stats().size)
  end

  it("is refused at connect when the server does not know it", function()
    dialect.needs("unknown charsets", pending)
    assert_refused("'latin1', not 'gb18030'", new_pool("connector", { charset = "gb18030" }))
  end)

  it("is refused also where init_connect may have chosen another", function()
    dialect.needs("unknown charsets", pending)
    local before = root:value "SELECT @@global.init_connect"
    assert_refused("gb18030", new_pool("plainone", { charset = "gb18030" }))
    sql "SET GLOBAL init_connect = 'SET NAMES latin2'"
    assert_refused("gb18030", new_pool("plainone", { charset = "gb18030" }))
    assert.equal("latin2", new_pool("plainone", { charset = "cp850" }):value "SELECT @@character_set_client")
    assert(root:query("SET GLOBAL init_connect = ?", before))
  end)

  it("is refused at connect when the client does not know it", function()
    assert_refused("nonsense", new_pool("plainone", { charset = "nonsense" }))
  end)

  it("is refused when the server may not use it for a client", function()
    assert_refused("'ucs2'", new_pool("connector", { charset = "ucs2" }))
  end)

  it("is refused when the server has its own for everybody", function()
    dialect.needs("--skip-character-set-client-handshake", pending)
    local stubborn = server.start {
      options = { "--character-set-server=latin2", "--skip-character-set-client-handshake" },
    }
    assert_refused("'latin2', not 'utf8mb4'", pools.new(stubborn:options()))
    assert.equal("latin2", pools.new(stubborn:options { charset = "latin2" }):value "SELECT @@character_set_client")
    pools.close()
    stubborn:remove()
  end)
end)

describe("after each reset the pool's own SQL is in force again:", function()
  local cases = {
    ["one statement"] = {
      init_sql = "SET time_zone = '+09:00'",
      expect = { time_zone = "+09:00" },
    },
    ["several statements"] = {
      init_sql = { "SET time_zone = '+09:00'", "SET @mine = 'yes; it is'", "SET SESSION sql_mode = 'ANSI'" },
      expect = { time_zone = "+09:00", ["@mine"] = "yes; it is" },
    },
    ["several variables in one statement"] = {
      init_sql = "SET SESSION sql_mode = 'STRICT_ALL_TABLES', lc_time_names = 'fr_FR', @mine = 1, autocommit = 0",
      autocommit = false,
      expect = { sql_mode = "STRICT_ALL_TABLES", lc_time_names = "fr_FR", ["@mine"] = "1", autocommit = "OFF" },
    },
    ["the isolation level"] = {
      init_sql = "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
      expect = { [dialect.isolation_variable] = "READ-UNCOMMITTED" },
    },
    ["a read-only session"] = {
      init_sql = "SET SESSION TRANSACTION READ ONLY",
      expect = { [dialect.read_only_variable] = "ON" },
    },
    ["NO_BACKSLASH_ESCAPES"] = {
      init_sql = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
      expect = { sql_mode = "NO_BACKSLASH_ESCAPES", ["text that is sent"] = "C3A95C" },
    },
    ["a SELECT of a stored function"] = {
      init_sql = "SELECT app.prepare_session()",
      expect = { time_zone = "+09:00", ["@by"] = "f" },
    },
    ["a CALL with several results"] = {
      init_sql = { "SET @mine = 1", "CALL app.prepare_session_too()", "SET @by = 'the last'" },
      expect = { ["@by"] = "the last" },
    },
    ["a role"] = { user = "member", init_sql = "SET ROLE clerk", expect = { role = "clerk" } },
    ["no role, in spite of a default role"] = {
      user = "deputy",
      init_sql = "SET ROLE NONE",
      expect = { role = "none" },
    },
    ["another database"] = { init_sql = "USE western", expect = { database = "western" } },
    ["a database, where the pool names none"] = {
      database = false,
      init_sql = "USE western",
      expect = { database = "western" },
    },
    ["another character set"] = {
      init_sql = "SET NAMES latin1",
      expect = { character_set_client = "latin1", ["text that is sent"] = "C3A95C", ["text that comes back"] = "\xe9" },
    },
    ["another collation"] = {
      init_sql = "SET collation_connection = utf8mb4_bin",
      expect = { collation_connection = "utf8mb4_bin" },
    },
    ["the size of the list of profiles"] = {
      init_sql = "SET profiling_history_size = 40",
      expect = { profiling_history_size = "40" },
    },
  }

  for name, case in pairs(cases) do
    it(name, function()
      local shown = assert_restored(new_pool(case.user or "plainone", {
        init_sql = case.init_sql,
        database = case.database,
        autocommit = case.autocommit,
      }))
      assert_shows(case.expect, shown)
    end)
  end

  it("a temporary table", function()
    local pool = new_pool("plainone", { init_sql = "CREATE TEMPORARY TABLE basket (n INT)" })
    for n = 1, 3 do
      pool:with(function(conn)
        assert(conn:query("INSERT INTO basket VALUES (?)", n))
        assert.equal(1, conn:value "SELECT COUNT(*) FROM basket")
      end)
    end
    assert.equal(1, pool:stats().opened)
  end)

  it("another character set that on_connect asked for", function()
    local shown = assert_restored(new_pool("plainone", {
      on_connect = function(conn)
        assert(conn:query "SET NAMES latin1")
      end,
    }))
    assert_shows({ character_set_client = "latin1", ["plain text that is sent"] = "C3A9" }, shown)
  end)

  it("what on_connect did", function()
    local shown = assert_restored(new_pool("plainone", {
      on_connect = function(conn)
        assert(conn:query("SET time_zone = ?, @mine = ?", "+09:00", "it's \\"))
      end,
    }))
    assert_shows({ time_zone = "+09:00", ["@mine"] = "it's \\" }, shown)
  end)
end)

describe("the server's init_connect", function()
  local before = {}

  before_each(function()
    before.sql_mode = root:value "SELECT @@global.sql_mode"
    before.init_connect = root:value "SELECT @@global.init_connect"
  end)

  after_each(function()
    assert(root:query("SET GLOBAL sql_mode = ?", before.sql_mode))
    assert(root:query("SET GLOBAL init_connect = ?", before.init_connect))
  end)

  local function init_connect(text)
    assert(root:query("SET GLOBAL init_connect = ?", text))
  end

  local applied = { ["@greeting"] = "a;b", ["@from"] = "init_connect", lc_time_names = "de_DE" }

  it("is in force again after each reset", function()
    assert_shows(applied, assert_restored(new_pool "plainone"))
    assert_shows(applied, assert_restored(new_pool "deputy"))
  end)

  it("comes before the pool's own SQL", function()
    local shown = assert_restored(new_pool("plainone", { init_sql = "SET @from = 'the pool'" }))
    assert_shows({ ["@greeting"] = "a;b", ["@from"] = "the pool" }, shown)
  end)

  it("holds comments, quoted names and several ways to write a semicolon", function()
    init_connect [[/* ; */ SET @a = ';'; -- ;
      SET @b = ";", @`c;` = 1; # ;
      SET @d = 'it''s;\';', @e = "\";";]]
    sql "SET GLOBAL sql_mode = ''"
    local shown = assert_restored(new_pool "plainone")
    assert_shows({ ["@a"] = ";", ["@b"] = ";", ["@c;"] = "1", ["@d"] = "it's;';", ["@e"] = '";' }, shown)
  end)

  it("is read as the server's sql_mode says", function()
    init_connect [[SET @a = 'c:\'; SET @b = 'd:\']]
    sql "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'"
    assert_shows({ ["@a"] = [[c:\]], ["@b"] = [[d:\]] }, assert_restored(new_pool "plainone"))
  end)

  it("is read as the server's sql_mode says, whatever the pool's own SQL sets", function()
    init_connect [[SET @a = 'it\'s; one'; SET @b = 'two']]
    sql "SET GLOBAL sql_mode = ''"
    local shown = assert_restored(new_pool("plainone", { init_sql = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'" }))
    assert_shows({ ["@a"] = "it's; one", ["@b"] = "two", sql_mode = "NO_BACKSLASH_ESCAPES" }, shown)
  end)

  it("is read as ANSI_QUOTES says", function()
    init_connect [[SET @"b\" = 1; SET @c = 'it''s;', @"d;" = 2; SET @a = 7]]
    sql "SET GLOBAL sql_mode = 'ANSI_QUOTES'"
    local shown = assert_restored(new_pool "plainone")
    assert_shows({ ["@a"] = "7", ["@c"] = "it's;", ["@d;"] = "2", [ [[@b\]] ] = "1" }, shown)
  end)

  it("is never cut within what may be a string", function()
    init_connect "SET @a = 7 /*!999999 it's */; SET @c = ' */; SET @b = 1; -- '"
    local pool = new_pool "plainone"
    for _ = 1, 2 do
      assert.is_nil((pool:value "SELECT @b"))
      assert.equal(7, (pool:value "SELECT @a"))
    end
  end)

  it("may return rows", function()
    init_connect "SELECT 1; SET @a = 2; SELECT 3 FROM app.t"
    assert_shows({ ["@a"] = "2" }, assert_restored(new_pool "plainone"))
  end)

  for _, text in ipairs {
    "IF USER() LIKE 'plainone%' THEN SET @b = 1; SET @a = 7; END IF",
    "if(1)then set @b = 1; set @a = 7; end if;",
    "SET @b = 1; CASE WHEN @b = 1 THEN SET @c = 1; SET @a = 7; END CASE; -- done",
    "BEGIN NOT ATOMIC DECLARE n INT DEFAULT 3; SET @b = 1; SET @a = n + 4; END",
    " /* ; */ begin /* ; */ not atomic SET @b = 1; SET @a = 7; end",
    "SET @a = 0, @b = 1;\n  # ;\n  WHILE @a < 7 DO SET @c = 1; SET @a = @a + 1; END WHILE",
    "SET @a = 0, @b = 1; REPEAT SET @c = 1; SET @a = @a + 1; UNTIL @a = 7 END REPEAT",
    "SET @b = 1; FOR i IN 1..7 DO SET @c = 1; SET @a = i; END FOR",
    "BEGIN; SET @b = 1; COMMIT; SET @a = 7",
    "BEGIN WORK; SET @b = 1; ROLLBACK WORK; SET @a = 7",
    "SET @b := 1, @c = ':'; SET @a = 7; BEGIN; COMMIT",
  } do
    it("is cut where its statements end: " .. text, function()
      dialect.needs(text:find "%f[%w][Ee][Nn][Dd]%f[%W]" and "BEGIN NOT ATOMIC", pending)
      init_connect(text)
      local pool = new_pool "plainone"
      assert_shows({ ["@a"] = "7", ["@b"] = "1" }, assert_restored(pool))
      assert.equal(0, pool:stats().resets_failed)
    end)
  end

  it("is cut where its statements end under sql_mode ORACLE", function()
    dialect.needs("ORACLE", pending)
    sql "SET GLOBAL sql_mode = 'ORACLE'"
    for _, text in ipairs {
      "BEGIN SET @b = 1; SET @a = 7; END",
      "DECLARE n INT := 3; BEGIN SET @b = 1; SET @a = n + 4; END;",
      "SET @b = 1; LOOP SET @a = 7; EXIT; END LOOP",
    } do
      init_connect(text)
      assert_shows({ ["@a"] = "7", ["@b"] = "1" }, assert_restored(new_pool "plainone"))
    end
  end)

  it("that cannot be repeated costs each session, and an event says so", function()
    dialect.needs("BEGIN NOT ATOMIC", pending)
    init_connect "IF 1 THEN SET @a = 1; END IF; SET @b = 2" -- where the first ends only the server can tell
    local told = {}
    local pool = new_pool("plainone", {
      on_event = function(event, details)
        told[#told + 1] = event .. ": " .. details.message
      end,
    })
    for _ = 1, 6 do
      assert.equal(2, pool:value "SELECT @b")
    end
    assert.equal(1, #told)
    assert.truthy(told[1]:find "^reset_failing: You have an error in your SQL syntax", told[1])
  end)

  it("may change the character set", function()
    for _, text in ipairs { "SET NAMES latin1", "SET collation_connection = latin1_bin" } do
      init_connect(text)
      assert_restored(new_pool "plainone")
      assert_shows(
        { collation_connection = "utf8mb4_lithuanian_ci" },
        assert_restored(new_pool("plainone", { collation = "utf8mb4_lithuanian_ci" }))
      )
    end
  end)

  it("may change the database and the role", function()
    init_connect "USE western; SET ROLE clerk"
    assert_shows({ database = "western", role = "clerk" }, assert_restored(new_pool "member"))
  end)

  -- Whom the server exempts differs between versions, so what the connect did is the measure.
  for _, user in ipairs { "superone", "connector", "guarded", "app", "o'brien" } do
    it("is in force after a reset exactly if it was after the connect, for the account " .. user, function()
      assert_restored(new_pool(user))
    end)
  end

  it("does not apply to an account with CONNECTION ADMIN", function()
    assert.is_nil(assert_restored(new_pool "connector")["@from"])
  end)
end)

-- ================================================================================================

describe("a session that cannot be led back to its baseline", function()
  -- A loan, in which things happen. Its reset is on the way when the loan ends, so what happens later is too late.
  local function dirty(pool, ...)
    local conn = assert(pool:checkout())
    local id = conn:id()
    assert(conn:query "SET @mine = 'dirty'")
    for _, statement in ipairs { ... } do
      sql((statement:gsub("#", id)))
    end
    conn:release()
    return id
  end

  local function assert_server_error(errno, pool)
    local conn, err, code = pool:checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.equal(errno, err.errno)
    assert.equal(errno, code)
    assert.equal("no", err.executed)
    assert.equal(0, pool:stats().size)
  end

  it("is replaced, unseen, when the restore fails only for it", function()
    for _, init_sql in ipairs {
      "CALL app.check_in()", -- fails after its first result
      "SELECT app.admit(seq) FROM seq_1_to_5", -- fails in the middle of its rows
      { "CALL app.check_in()", "SET @mine = 'clean'" }, -- and is followed by what succeeds
    } do
      local pool = new_pool("plainone", { init_sql = init_sql })
      local id = dirty(pool, "INSERT INTO app.banned VALUES (#)")
      local conn = assert(pool:checkout())
      assert.not_equal(id, conn:id(), "lent after a failure of " .. tostring(init_sql))
      assert.equal("in", conn:value "SELECT @checked")
      assert.not_equal("dirty", conn:value "SELECT @mine")
      conn:release()
      local stats = pool:stats()
      assert.same({ 1, 2, 1 }, { stats.resets_failed, stats.opened, stats.closed })
      pool:close()
    end
  end)

  it("is not lent after its database was dropped; then the caller gets the server's error", function()
    sql "CREATE DATABASE doomed"
    local pool = new_pool("app", { database = "doomed" })
    dirty(pool, "DROP DATABASE doomed")
    assert_server_error(1049, pool)
    sql "CREATE DATABASE doomed"
    assert.equal("doomed", pool:value "SELECT DATABASE()")
    sql "DROP DATABASE doomed"
  end)

  it("is not lent with a role that its account has lost", function()
    account("demoted", "GRANT keeper TO @", "GRANT clerk TO @", "SET DEFAULT ROLE keeper FOR @")
    local pool = new_pool "demoted"
    local id = dirty(pool, "REVOKE keeper FROM demoted@localhost")
    local conn = assert(pool:checkout())
    assert.not_equal(id, conn:id())
    assert.is_nil(conn:value("SELECT " .. dialect.current_role))
    conn:release()
  end)

  it("is not lent without the role that the pool's own SQL asks for", function()
    account("demoted", "GRANT keeper TO @", "GRANT clerk TO @")
    local pool = new_pool("demoted", { init_sql = "SET ROLE keeper" })
    dirty(pool, "REVOKE keeper FROM demoted@localhost")
    assert_server_error(dialect.role_error, pool)
    sql "GRANT keeper TO demoted@localhost"
    assert.equal("keeper", pool:value("SELECT " .. dialect.current_role))
  end)

  it("is not lent when the pool's own SQL fails later", function()
    sql "CREATE TABLE app.settings (zone VARCHAR(10)) AS SELECT '+09:00' AS zone"
    local pool = new_pool("plainone", {
      init_sql = { "SET time_zone = (SELECT zone FROM app.settings)", "SET @mine = 'clean'" },
    })
    dirty(pool, "RENAME TABLE app.settings TO app.moved")
    assert_server_error(1146, pool)
    assert_server_error(1146, pool)
    sql "RENAME TABLE app.moved TO app.settings"
    assert.equal("clean", pool:value "SELECT CONCAT(@mine, IF(@@time_zone = '+09:00', '', @@time_zone))")
    sql "DROP TABLE app.settings"
  end)

  it("is not lent when init_connect fails later", function()
    local before = root:value "SELECT @@global.init_connect"
    sql "CREATE TABLE app.greetings AS SELECT 'hello' AS text"
    sql "SET GLOBAL init_connect = 'SET @greeting = (SELECT text FROM app.greetings)'"
    local pool = new_pool "plainone"
    dirty(pool, "DROP TABLE app.greetings")
    local conn, err = pool:checkout() -- the server cuts new connections, at once or later, where it fails
    if conn then
      assert.is_nil(conn:value "SELECT @mine")
      conn:release()
    else
      assert.equal("connect", err.kind)
    end
    assert.equal(1, pool:stats().resets_failed)
    assert(root:query("SET GLOBAL init_connect = ?", before))
  end)

  it("is replaced when its own reset is refused, with other sessions untouched", function()
    local pool = new_pool("plainone", { init_sql = "CALL app.check_in()", max_size = 2 })
    local one, two = assert(pool:checkout()), assert(pool:checkout())
    local bad, good = one:id(), two:id()
    assert(one:query "SET @mine = 'dirty'")
    assert(two:query "SET @mine = 'dirty'")
    two:release()
    sql(("INSERT INTO app.banned VALUES (%d)"):format(bad))
    one:release()
    local conn = assert(pool:checkout())
    assert.equal(good, conn:id())
    assert.equal("in", conn:value "SELECT @checked")
    conn:release()
  end)
end)

describe("the baseline over TCP and TLS", function()
  local world = fixture.started(isolation.start)

  for _, transport in ipairs { "tcp", "tls" } do
    it("is restored over " .. transport, function()
      local options = isolation.options(world, { account = "deputy" }, transport)
      options.init_sql = { "SET time_zone = '+09:00'", "CALL app.many_results()", "SET @by = 'the last'" }
      options.collation = "utf8mb4_lithuanian_ci"
      options.max_size = 1
      local shown = assert_restored(pools.new(options))
      assert_shows({
        time_zone = "+09:00",
        collation_connection = "utf8mb4_lithuanian_ci",
        role = "keeper",
        ["@by"] = "the last",
      }, shown)
    end)
  end
end)

