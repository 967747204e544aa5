-- Likely mistakes, each with the message that leads out of it.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"

describe("an unknown option", function()
  local function new_says(given, message)
    mistake("new: " .. message, function()
      mypool.new(given)
    end)
  end

  it("that is another word for a known one leads to that", function()
    local aliases = {
      user = { "username", "userName", "user-name" },
      password = { "pass", "passwd", "pwd" },
      database = { "db", "dbname", "schema" },
      tls = { "ssl", "sslmode", "use_ssl" },
      socket = { "path", "unix_socket", "unixSocket" },
      host = { "server" },
      max_size = { "max_connections", "connection_limit", "pool_size" },
      connect_timeout = { "connection_timeout" },
      charset = { "encoding" },
    }
    for known, list in pairs(aliases) do
      for _, alias in ipairs(list) do
        new_says({ [alias] = 1 }, ("unknown option '%s' (did you mean '%s'?)"):format(alias, known))
      end
    end
    new_says({ timeout = 1 }, "unknown option 'timeout' (did you mean 'query_timeout' or 'checkout_timeout'?)")
    new_says({ tls_ca = "x" }, "unknown option 'tls_ca' (did you mean tls = { ca = … }?)")
  end)

  it("is compared without capitals, underscores and dashes, then by parts, then by letters", function()
    local near = {
      maxSize = "max_size",
      ["on-event"] = "on_event",
      hostname = "host",
      lifetime = "max_lifetime",
      usr = "user",
      chekout_timeout = "checkout_timeout",
    }
    for name, known in pairs(near) do
      new_says({ [name] = 1 }, ("unknown option '%s' (did you mean '%s'?)"):format(name, known))
    end
  end)

  it("that is like none is answered by all there are, in order", function()
    new_says({ frobnicate = 1 }, "unknown option 'frobnicate' (known: application_name, audit, autocommit, ")
    new_says({ tls = { frobnicate = 1 } }, "tls: unknown option 'frobnicate' (known: ca, cert, cleartext_password, ")
  end)

  it("of a type leads to SQL's name", function()
    local aliases = { bool = "boolean", integer = "int", numeric = "decimal", real = "double", string = "varchar" }
    for alias, known in pairs(aliases) do
      new_says(
        { types = { [alias] = tostring } },
        ("types: unknown option '%s' (did you mean '%s'?)"):format(alias, known)
      )
    end
  end)

  it("shows the value that is wrong, but a password by its type", function()
    new_says({ rows = "arrays" }, "bad option 'rows' ('table' or 'array' expected, got 'arrays')")
    new_says({ max_size = 0 }, "bad option 'max_size' (integer from 1 to 100000 expected, got 0)")
    new_says({ audit = {} }, "bad option 'audit' (boolean expected, got table)")
    local secret = "bad option 'password' (string without NUL bytes, or function, expected, got %s)"
    new_says({ password = "a\0b" }, secret:format "string")
    new_says({ password = 4711 }, secret:format "number")
    new_says({ types = { datetime = "x" } }, "bad option 'types.datetime' (function expected, got string)")
    local message = select(2, pcall(mypool.new, { host = "mysql://root:hidden@db/shop" }))
    assert.is_nil(message:find("hidden", 1, true))
  end)

  it("of the place of a server: a path in host, a socket beside a host", function()
    new_says(
      { host = "/run/x.sock" },
      "bad option 'host' (host name or address expected, got '/run/x.sock': a path belongs into 'socket')"
    )
    new_says(
      { host = "db", socket = "/run/x.sock" },
      "'host' and 'socket' exclude each other (in a DSN: mariadb://user@/database?socket=/path)"
    )
  end)
end)

describe("a mistaken call", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  it("of a method with a dot is told to take a colon", function()
    local conn <close> = assert(pool:checkout())
    local tx <close> = assert(conn:begin())
    local statement <close> = assert(tx:prepare "SELECT 1")
    local calls = {
      { pool, "mypool.pool", "pool", { "query", "one", "value", "rows", "execute_many", "stats", "begin" } },
      { conn, "mypool.connection", "conn", { "query", "one", "value", "rows", "prepare", "begin", "id" } },
      { tx, "mypool.transaction", "tx", { "query", "one", "value", "rows", "prepare", "begin" } },
      { statement, "mypool.statement", "statement", { "execute", "one", "value", "rows", "with" } },
    }
    for _, case in ipairs(calls) do
      local object, class, name, methods = table.unpack(case)
      for _, method in ipairs(methods) do
        local text = "bad argument 'self' to '%s' (%s expected, got string: call it with a colon, %s:%s(…))"
        mistake(text:format(method, class, name, method), function()
          object[method] "SELECT 1"
        end)
      end
    end
    for _, name in ipairs { "with", "transaction" } do
      local text = "to '%s' (mypool.pool expected, got function: call it with a colon, pool:%s(…))"
      mistake(text:format(name, name), function()
        pool[name](print)
      end)
    end
  end)

  it("of new with a colon is told to take a dot", function()
    mistake("bad call of 'new' (call it with a dot: mypool.new(…))", function()
      mypool:new { host = "db" }
    end)
  end)

  it("of a method that there is not leads to the one that was meant", function()
    local conn <close> = assert(pool:checkout())
    local tx <close> = assert(conn:begin())
    local statement <close> = assert(tx:prepare "SELECT 1")
    local sql = { execute = "'query'", exec = "'query'", last_insert_id = "result.insert_id" }
    local cases = {
      ["mypool.pool"] = { pool, sql, { acquire = "'checkout'", get_connection = "'checkout'", get = "'checkout'",
        release = "conn:release()", chekout = "'checkout'", qeury = "'query'" } },
      ["mypool.connection"] = { conn, sql, { close = "'release'", put = "'release'", set_keepalive = "'release'",
        Query = "'query'" } },
      ["mypool.transaction"] = { tx, sql, { comit = "'commit'", roll_back = "'rollback'" } },
      ["mypool.statement"] = { statement, {}, { query = "'execute'", excute = "'execute'" } },
      mypool = { mypool, {}, { connect = "mypool.new", open = "mypool.new", binery = "'binary'" } },
    }
    for class, case in pairs(cases) do
      for i = 2, 3 do
        for name, meant in pairs(case[i]) do
          mistake(("%s has no '%s' (did you mean %s?)"):format(class, name, meant), function()
            return case[1][name], nil
          end)
        end
      end
    end
    for _, object in ipairs { pool, conn, tx, mypool } do
      mistake("has no 'escape' (a parameter ? needs no escaping)", function()
        return object.escape, nil
      end)
    end
    for _, name in ipairs { "commit", "rollback" } do
      mistake(("has no '%s' (begin or transaction give what has it)"):format(name), function()
        return pool[name], conn[name]
      end)
    end
    mistake("mypool.pool has no 'prepare' (check out a connection first: it lives as long as its loan)", function()
      return pool.prepare, nil
    end)
  end)

  it("is none where a program looks for a field that is like no method", function()
    local conn <close> = assert(pool:checkout())
    local tx <close> = assert(conn:begin())
    local statement <close> = assert(tx:prepare "SELECT 1")
    for _, object in ipairs { pool, conn, tx, statement, mypool } do
      for _, name in ipairs { "foo", "_NAME", "subscribe_to", "__jsontype", 1, ("x"):rep(1000) } do
        assert.is_nil(object[name])
      end
    end
  end)

  it("of a checkout within a loan, and by two coroutines, is told what to do instead", function()
    local conn <close> = assert(pool:checkout())
    local _, err = pool:query "SELECT 1"
    assert.matches("waits for itself: use that connection %(conn, tx%) instead of the pool$", err.message)
    assert.is_true(conn:is_held())
  end)

  it("where nothing can wait says so", function()
    local scheduler = schedulers.cqueues()
    scheduler.run(function()
      local waiting = pools.new(s:options { wait = scheduler.wait })
      mistake("mypool cannot wait here: inside of string.gsub, table.sort, require or another C function", function()
        local text = ("x"):gsub("x", function()
          return assert(waiting:value "SELECT 'a'")
        end)
        return text, nil
      end)
      assert.equal(1, waiting:value "SELECT 1")
    end)
  end)

  it("of a statement is told where its text and its parameters stand", function()
    mistake('query: unknown option \'sql\' (the statement comes first: { "SELECT …", timeout = 1 })', function()
      pool:query { sql = "SELECT 1" }
    end)
    mistake("query: unknown option 'params' (parameters follow the table as arguments)", function()
      pool:query { "SELECT ?", params = { 1 } }
    end)
  end)
end)

describe("a syntax error", function()
  local s = fixture.shared_server()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 1 })
  end)

  after_each(pools.close)

  -- Asserts that the server's message ends with the advice, "" being none.
  local function says(advice, ...)
    local result, err = pool:query(...)
    assert.is_nil(result)
    assert.equal(1064, err.errno, err.message)
    assert.equal("at line 1" .. advice, err.message:match "at line 1.*$")
    assert.is_nil(err.message:find("hidden", 1, true))
  end

  it("at a second statement says that a call has one", function()
    local advice = " (one statement for each call: this text has several, separated by ';')"
    says(advice, "SELECT 1; SELECT 2")
    says(advice, "SELECT ? ;\tSELECT 2", "hidden")
    says(advice, "BEGIN; INSERT INTO t VALUES (1)")
    says(advice, "CREATE TABLE a (n INT); CREATE TABLE b (n INT)")
    says(advice, "SELECT 1; SELECT " .. ("x"):rep(300))
    local conn <close> = assert(pool:checkout())
    assert.equal(advice, select(2, conn:prepare "SELECT 1; SELECT 2").message:match " %(.*$")
  end)

  it("behind a semicolon says nothing of it within a body", function()
    says("", "CREATE PROCEDURE p() BEGIN SELECT 1; ORDER BY n; END")
    says("", "CREATE TRIGGER t BEFORE INSERT ON u FOR EACH ROW begin\tSET @a = 1;\tWHERE 1; END")
    says("", "SELECT 1 nonsense nonsense ';'")
  end)

  it("at a string or a fraction behind LIMIT or OFFSET says which parameter it is", function()
    local string = " (parameter %d is a string, and %s takes an integer)"
    local float = " (parameter 1 is a float, and LIMIT takes an integer)"
    for _, value in ipairs { "hidden", "hid\\den'", "hidden\xFF", mypool.binary "hidden", ("hidden"):rep(50) } do
      says(string:format(1, "LIMIT"), "SELECT 1 LIMIT ?", value)
    end
    says(string:format(2, "OFFSET"), "SELECT ? limit 5 offset ?", 1, "hidden")
    says(string:format(3, "LIMIT"), "SELECT ? LIMIT ?, ?", 1, 5, "hidden")
    says(string:format(3, "LIMIT"), "SELECT 1 WHERE 1 IN (?) AND 2 = ? LIMIT ?", mypool.list { 1, 2, 3 }, 2, "hidden")
    says(float, "SELECT 1 LIMIT ?", 5.5)
    says("", "SELECT 1 LIMIT ?", -1)
    local by_name = mypool.named { a = 1, most = "hidden" }
    says(" (parameter :most is a string, and LIMIT takes an integer)", "SELECT :a LIMIT :most", by_name)
  end)

  it("at a string where a name stands leads to mypool.ident", function()
    local advice = " (parameter %d is a string, and here stands a name: mypool.ident)"
    for _, sql in ipairs { "SELECT * FROM ?", "INSERT INTO ? VALUES (1)", "UPDATE ? SET a = 1", "DROP TABLE ?" } do
      says(advice:format(1), sql, "hidden")
    end
    says(advice:format(2), "SELECT ? FROM a JOIN ?", "hidden", "hidden")
    says("", "SELECT 1 nonsense nonsense ?", "hidden")
  end)

  it("at a name behind a colon leads to mypool.named", function()
    local advice = " (:name is for mypool.named { name = … })"
    says(advice, "SELECT 1 FROM t WHERE a = :id AND b = 2")
    says(advice, "SELECT ?, :name", "hidden")
    local conn <close> = assert(pool:checkout())
    assert.is_truthy(select(2, conn:prepare "SELECT :id").message:find(advice, 1, true))
  end)

  it("of a statement that another one runs says nothing that would be wrong of it", function()
    dialect.run(
      pool,
      "CREATE OR REPLACE PROCEDURE run_text(sql_text TEXT) BEGIN SET @text = sql_text; PREPARE p FROM @text; END"
    )
    says("", "CALL run_text(CONCAT('SELECT 1;', ' SELECT 2'))")
    says("", "CALL run_text(CONCAT(':', 'name'))")
  end)
end)
