-- mypool.new: what it takes, what it refuses, and that it does nothing else.

local core = require "mypool.core"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local program = require "spec.support.program"

-- Of the hash that the libmariadb at hand compares.
local fingerprint = ("9F"):rep(core.fingerprint_digits // 2)

local nan, infinity = 0 / 0, math.huge
local hidden = "Zq81-hidden"

-- What each option refuses. `expected` is a part of the message.
local refused = {
  { "host", "host name or address", "", "a\0b", 7, true, {}, "a=b", "a;b", "a b", "/tmp/x", "mysql://x" },
  { "host", "host name or address", "a,b", "127.0.0.1:1,127.0.0.9" },
  { "port", "integer from 1 to 65535", 0, -1, 65536, 3306.5, "3306", nan, infinity, true },
  { "socket", "non-empty string without NUL bytes", "", "/a\0b", 7 },
  { "user", "non-empty string without NUL bytes", "", "a\0b", 7, {} },
  { "password", "string without NUL bytes, or function", "a\0b", 7, true, {} },
  { "database", "non-empty string without NUL bytes", "", "a\0b", 7 },
  { "charset", "name of letters, digits and underscores", "", "utf8'", "a b", "a\0b", 7 },
  { "collation", "name of letters, digits and underscores", "", "x;y", "a\0b", 7 },
  { "tls", "boolean or table", 1, "yes", print },
  { "server_public_key", "non-empty string without NUL bytes", "", "/a\0b", 7, true, {} },
  { "max_size", "integer from 1 to 100000", 0, -1, 1.5, 100001, "10", nan, infinity, -infinity },
  { "min_idle", "integer from 0 to 100000", -1, 0.5, "1", nan },
  { "max_waiting", "integer from 0 to 100000", -1, 0.5, "1", nan },
  { "checkout_timeout", "positive number of seconds", 0, -1, "5", nan, infinity, true },
  { "connect_timeout", "positive number of seconds", 0, -1, "5", nan, infinity },
  { "query_timeout", "positive number of seconds", 0, -1, "5", nan, infinity },
  { "idle_timeout", "positive number of seconds", 0, -1, "5", nan, infinity },
  { "max_lifetime", "positive number of seconds", 0, -1, "5", nan, infinity },
  { "init_sql", "string, or array of strings", "", {}, 7, { 7 }, { "" }, { "SET @a = 1", true }, { "a\0b" } },
  { "reset", "'always' or 'never'", "sometimes", true, 1 },
  { "need", "'write' or 'read'", "writes", true, 1 },
  { "retries", "integer from 0 to 1000", -1, 1.5, "2", nan },
  { "wait", "function", "poll", true, {} },
  { "rows", "'table' or 'array'", "tables", true },
}

local accepted = {
  host = { "db.example.com", "127.0.0.1", "::1", "fe80::1%eth0" },
  port = { 1, 65535, 3306.0 },
  socket = { "/run/mysqld/mysqld.sock" },
  user = { "app", "o'neil", "ä" },
  password = { "", "a:b@c/d", function() end },
  database = { "app", "it's", "a b" },
  charset = { "latin1" },
  collation = { "utf8mb4_bin" },
  tls = {
    true,
    false,
    {},
    { ca = "/ca.pem", verify = false },
    { ca = "/ca.pem", verify = "ca" },
    { cert = "/c.pem", key = "/k.pem" },
    { fingerprint = fingerprint },
    { fingerprint = fingerprint:lower(), cert = "/c.pem", key = "/k.pem" },
    { fingerprint = fingerprint:gsub("%x%x", "%0:"):sub(1, -2) },
  },
  server_public_key = { "/public_key.pem" },
  max_size = { 1, 100000, 10.0 },
  min_idle = { 0, 10 },
  max_waiting = { 0, 100000 },
  checkout_timeout = { 0.001, 3600 },
  connect_timeout = { 0.001 },
  query_timeout = { 0.001 },
  idle_timeout = { 0.001, 1e9 },
  max_lifetime = { 0.001, 1e9 },
  init_sql = { "SET @a = 1", { "SET @a = 1", "SET @b = 2" } },
  reset = { "always", "never" },
  need = { "write", "read" },
  retries = { 0, 1000 },
  wait = { function() end },
  rows = { "table", "array" },
  null = { mypool.null, "NULL", 0, {}, false },
}

describe("mypool.new", function()
  after_each(pools.close)

  it("takes no option at all", function()
    assert.equal("mypool.pool (0 idle, 0 lent)", tostring(pools.new {}))
  end)

  for _, case in ipairs(refused) do
    local name, expected = case[1], case[2]
    it(("refuses a bad %s and says what it expects"):format(name), function()
      for i = 3, #case do
        local message = mistake(("new: bad option '%s' (%s"):format(name, expected), function()
          mypool.new { [name] = case[i] }
        end)
        assert.is_nil(message:find("\n", 1, true))
      end
    end)
  end

  for name, values in pairs(accepted) do
    it(("takes a good %s"):format(name), function()
      for _, value in ipairs(values) do
        pools.new { [name] = value }
      end
    end)
  end

  it("refuses what is neither a table nor a string", function()
    for _, value in ipairs { 7, true, print } do
      mistake("bad argument 'options' to 'new' (table or DSN expected", function()
        mypool.new(value)
      end)
    end
    mistake("got nil", function()
      mypool.new()
    end)
  end)

  it("refuses unknown names and tells the nearest one it knows", function()
    local meant = {
      max_sise = "max_size",
      maxsize = "max_size",
      pasword = "password",
      Host = "host",
      idletimeout = "idle_timeout",
    }
    for name, nearest in pairs(meant) do
      mistake(("new: unknown option '%s' (did you mean '%s'?)"):format(name, nearest), function()
        mypool.new { [name] = 1 }
      end)
    end
  end)

  it("refuses a name that is as long as a book at once, and does not repeat it", function()
    local started = os.clock()
    local message = mistake("new: unknown option 'xxx", function()
      mypool.new { [("x"):rep(1000000)] = 1 }
    end)
    assert.is_true(#message < 500)
    assert.is_true(os.clock() - started < 5)
  end)

  it("refuses names that are no strings", function()
    mistake("names of options are strings, not number", function()
      mypool.new { "mariadb://localhost" }
    end)
    mistake("names of options are strings, not boolean", function()
      mypool.new { [true] = 1 }
    end)
  end)

  it("refuses more idle connections than connections", function()
    mistake("min_idle (3) exceeds max_size (2)", function()
      mypool.new { min_idle = 3, max_size = 2 }
    end)
    mistake("min_idle (11) exceeds max_size (10)", function()
      mypool.new { min_idle = 11 }
    end)
  end)

  it("refuses a host together with a socket", function()
    mistake("'host' and 'socket' exclude each other", function()
      mypool.new { host = "localhost", socket = "/run/mysqld/mysqld.sock" }
    end)
  end)

  it("refuses unknown and incomplete options of tls", function()
    mistake("new: tls: unknown option 'verfy' (did you mean 'verify'?)", function()
      mypool.new { tls = { verfy = true } }
    end)
    mistake("new: tls: bad option 'ca'", function()
      mypool.new { tls = { ca = true } }
    end)
    mistake("both or neither of cert and key", function()
      mypool.new { tls = { cert = "/c.pem" } }
    end)
  end)

  it("refuses what leaves open who is trusted", function()
    local mistakes = {
      ["bad option 'tls' (table with ca where verify is 'ca'"] = { verify = "ca" },
      ["bad option 'tls' (table of either fingerprint, which alone decides, or ca"] = {
        fingerprint = fingerprint,
        ca = "/ca.pem",
      },
      ["bad option 'tls' (table of either fingerprint, which alone decides, or"] = {
        fingerprint = fingerprint,
        verify = true,
      },
      ["tls: bad option 'verify' (boolean or 'ca' expected, got 'CA')"] = { verify = "CA", ca = "/ca.pem" },
      ["tls: bad option 'verify' (boolean or 'ca' expected, got 1)"] = { verify = 1 },
      ["tls: unknown option 'fingerprnt' (did you mean 'fingerprint'?)"] = { fingerprnt = fingerprint },
    }
    for message, options in pairs(mistakes) do
      mistake("new: " .. message, function()
        mypool.new { tls = options }
      end)
    end
  end)

  it("refuses to give the password itself to a server whose name is not verified", function()
    local kinds = {
      ["verify is false"] = { verify = false },
      ["verify is ca"] = { verify = "ca", ca = "/ca.pem" },
      ["there is a fingerprint"] = { fingerprint = fingerprint },
    }
    for words, options in pairs(kinds) do
      options.cleartext_password = true
      mistake(("bad option 'tls' (table without cleartext_password where %s"):format(words), function()
        mypool.new { tls = options }
      end)
    end
  end)

  it("refuses a fingerprint of another length, and says which is needed", function()
    local hash = core.fingerprint_digits == 64 and "SHA-256 in 64" or "SHA-1 in 40"
    local others = {
      [("aa"):rep(core.fingerprint_digits == 64 and 20 or 32)] = "string of %d+ digits",
      [fingerprint .. "0"] = "string of %d+ digits",
      [fingerprint:sub(2)] = "string of %d+ digits",
      [""] = "string of 0 digits",
      [fingerprint:sub(2) .. "g"] = "string of other characters",
      [":" .. fingerprint] = "string of other characters",
      ["SHA1 Fingerprint=" .. fingerprint] = "string of other characters",
      [fingerprint:sub(3) .. "\0\0"] = "string of other characters",
    }
    for given, got in pairs(others) do
      local message = mistake("new: tls: bad option 'fingerprint' (the certificate's " .. hash, function()
        mypool.new { tls = { fingerprint = given } }
      end)
      assert.matches("Connector/C 3%.%d+%.%d+ ?.*expected, got " .. got .. "%)$", message)
    end
    for _, given in ipairs { 7, true, {} } do
      mistake(("expected, got %s)"):format(given == 7 and "7" or type(given)), function()
        mypool.new { tls = { fingerprint = given } }
      end)
    end
  end)

  it("refuses a server's public key together with tls", function()
    for _, given in ipairs { true, { verify = false } } do
      mistake("new: 'server_public_key' and 'tls' exclude each other", function()
        mypool.new { server_public_key = "/public_key.pem", tls = given }
      end)
    end
    pools.new { server_public_key = "/public_key.pem", tls = false }
  end)

  it("does no I/O: what is not there is found at the first checkout", function()
    local asked = 0
    local pool = pools.new {
      socket = "/nonexistent/sock",
      checkout_timeout = 0.05,
      password = function()
        asked = asked + 1
        return "x"
      end,
    }
    assert.equal(0, asked)
    local conn, err = pool:checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.is_true(asked > 0)
  end)

  it("leaves the table it was given alone", function()
    local given = { max_size = 3, init_sql = "SET @a = 1" }
    pools.new(given)
    assert.same({ max_size = 3, init_sql = "SET @a = 1" }, given)
    given.max_size = 0
  end)

  it("repeats no password in a message", function()
    local messages = {}
    local function collect(f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok, "taken, option " .. #messages + 1)
      messages[#messages + 1] = tostring(message)
    end
    collect(mypool.new, { password = hidden .. "\0" })
    collect(mypool.new, { password = { hidden } })
    collect(mypool.new, { password = 4242424242 })
    collect(mypool.new, { password = hidden, max_size = 0 })
    collect(mypool.new, { password = hidden, nonsense = 0 })
    collect(mypool.new, "mariadb:/app:" .. hidden .. "@localhost/app")
    collect(mypool.new, "mariadb://app:" .. hidden .. "@[::1/app")
    collect(mypool.new, "mariadb://app:" .. hidden .. "@a:b:c/app")
    collect(mypool.new, "mariadb://app:x/" .. hidden .. "@localhost/app") -- unescaped delimiters
    collect(mypool.new, "mariadb://app:1/" .. hidden .. "@localhost/app")
    collect(mypool.new, "mariadb://app:x?" .. hidden .. "@localhost/app")
    collect(mypool.new, "mariadb://app:x?" .. hidden .. "=1@localhost/app")
    collect(mypool.new, "mariadb://localhost/app?" .. hidden)
    for _, message in ipairs(messages) do
      assert.is_nil(message:find(hidden, 1, true), message)
      assert.is_nil(message:find("4242424242", 1, true), message)
    end
  end)
end)

describe("the DSN of mypool.new", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("is another way to write the options", function()
    local pool = pools.new(s:dsn "max_size=1&rows=array&checkout_timeout=1.5")
    assert.same({ { s.user:match "[^@]*" } }, pool:query "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)")
    assert.equal(s.database, pool:value "SELECT DATABASE()")
    local conn <close> = pool:checkout()
    assert.equal("exhausted", select(2, pool:checkout()).kind)
    assert.is_truthy(conn)
  end)

  it("begins with mariadb:// or mysql://", function()
    assert.is_true(pools.new((s:dsn():gsub("^mariadb", "mysql"))):ping())
    for _, dsn in ipairs { "", "localhost", "postgres://localhost/x", "mariadb:localhost" } do
      mistake("bad DSN (it begins with mariadb:// or mysql://)", function()
        mypool.new(dsn)
      end)
    end
  end)

  -- What over TCP a server may need besides, behind this sign.
  local function key(sign)
    return s.public_key and sign .. "server_public_key=" .. s.public_key or ""
  end

  it("decodes percent-encoded names, passwords and values", function()
    s:sql [[CREATE OR REPLACE USER 'o@ne:1' IDENTIFIED BY 'p:/?#@%41&=+ '; GRANT ALL ON *.* TO 'o@ne:1';
      CREATE OR REPLACE DATABASE `a/b?c d`]]
    local address = ("%s:%d"):format(s.host, s.port)
    local dsn = "mariadb://o%40ne%3A1:p%3A%2f%3F%23%40%2541%26%3D%2B%20@" .. address .. "/a%2Fb%3Fc%20d"
    local pool = pools.new(dsn .. key "?")
    local row = assert(pool:one "SELECT CURRENT_USER() AS user, DATABASE() AS db")
    assert.same({ user = "o@ne:1@%", db = "a/b?c d" }, row)
    s:sql "DROP USER 'o@ne:1'; DROP DATABASE `a/b?c d`"
  end)

  it("takes a value that holds an equals sign", function()
    local pool = pools.new(s:dsn "init_sql=SET%20%40a=7")
    assert.equal(7, pool:value "SELECT @a")
  end)

  it("takes texts that look like numbers as texts", function()
    s:sql "CREATE OR REPLACE USER '123' IDENTIFIED BY '0456'"
    local pool = pools.new(("mariadb://%s:%d?user=123&password=0456"):format(s.host, s.port) .. key "&")
    assert.equal("123@%", pool:value "SELECT CURRENT_USER()")
    s:sql "DROP USER '123'"
  end)

  it("takes the fields of the option tls, and the server's public key", function()
    local names = { "tls_verify=ca&tls_ca=/ca.pem", "tls=true&tls_verify=false", "tls_cert=1&tls_key=2" }
    names[#names + 1] = "tls_fingerprint=" .. fingerprint
    names[#names + 1] = "tls_fingerprint=" .. ("1"):rep(#fingerprint)
    names[#names + 1] = "server_public_key=1&tls=false"
    for _, query in ipairs(names) do
      pools.new("mysql://localhost/app?" .. query)
    end
    for query, message in pairs {
      ["tls_verify=ca"] = "bad option 'tls' (table with ca where verify is 'ca'",
      ["tls_verify=maybe"] = "tls: bad option 'verify' (boolean or 'ca' expected, got 'maybe')",
      ["tls_fingerprint=12"] = "tls: bad option 'fingerprint'",
      ["tls_verfy=ca"] = "tls: unknown option 'verfy' (did you mean 'verify'?)",
      ["tls=false&tls_ca=x"] = "bad DSN (beside options like tls_ca write tls=true, or nothing of tls)",
      ["tls=1&tls_ca=x"] = "bad DSN (beside options like tls_ca write tls=true, or nothing of tls)",
      ["server_public_key=x&tls_ca=y"] = "'server_public_key' and 'tls' exclude each other",
      ["server_public_key="] = "bad option 'server_public_key'",
    } do
      mistake("new: " .. message, function()
        mypool.new("mysql://localhost/app?" .. query)
      end)
    end
  end)

  it("takes a socket instead of an address", function()
    if not s.socket then
      return pending "the server of MYPOOL_DSN has no socket"
    end
    local path = s.socket:gsub("/", "%%2F")
    local pool = pools.new(("mariadb://%s:%s@/%s?socket=%s"):format(s.user, s.password, s.database, path))
    assert.is_true(pool:ping())
  end)

  it("takes an IPv6 address in brackets", function()
    local pool = pools.new "mariadb://u:p@[::1]:1/app?retries=0"
    local err = select(2, pool:checkout())
    assert.equal("connect", err.kind)
    assert.is_truthy(err.message:find("::1", 1, true), err.message)
    pools.new "mariadb://[::1]"
    pools.new "mariadb://[::1]/app"
  end)

  it("refuses a port that is none", function()
    for _, port in ipairs { "0", "65536", "99999999999999999999" } do
      mistake("bad option 'port'", function()
        mypool.new("mariadb://localhost:" .. port)
      end)
    end
    for _, address in ipairs { "localhost:x", "a:b:1", "[::1]x", "[::1", "::1" } do
      mistake("bad DSN (the address is not host or host:port)", function()
        mypool.new("mariadb://" .. address)
      end)
    end
  end)

  it("stands beneath a table of options", function()
    local options = require "mypool.options"
    local text = "mariadb://app:secret@db:3307/shop?max_size=3&tls_ca=/ca.pem"
    local both = options.pool(text, { max_size = 5, name = "shop" })
    assert.same({ "app", "db", 3307, "shop", 5, "shop" }, {
      both.user,
      both.host,
      both.port,
      both.database,
      both.max_size,
      both.name,
    })
    assert.equal("/ca.pem", both.tls_ca)
    local moved = options.pool(text, { socket = "/run/x.sock", tls = { ca = "/other.pem", verify = "ca" } })
    assert.equal("/run/x.sock", moved.socket)
    assert.same({ "/other.pem", "ca" }, { moved.tls_ca, moved.tls_verify })
    assert.is_nil(options.pool(text, { tls = true }).tls_ca)
    assert.equal("elsewhere", options.pool("mariadb:///shop?socket=/run/x.sock", { host = "elsewhere" }).host)
  end)

  it("may name a socket beside an empty host or localhost", function()
    for _, host in ipairs { "", "localhost" } do
      assert.is_truthy(mypool.new(("mariadb://app@%s/shop?socket=/run/x.sock"):format(host)))
    end
    mistake("'host' and 'socket' exclude each other (in a DSN: mariadb://user@/database?socket=/path)", function()
      mypool.new "mariadb://app@db/shop?socket=/run/x.sock"
    end)
  end)

  it("is not mistaken for the arguments of another client", function()
    local wrong = "bad argument 2 to 'new' (options are one table, or a DSN and a table)"
    for _, arguments in ipairs { { "app", "app", "secret" }, { {}, {} }, { {}, "x" }, { "mariadb://db", {}, 1 } } do
      local message = mistake(wrong, function()
        mypool.new(table.unpack(arguments))
      end)
      assert.is_nil(message:find("secret", 1, true))
    end
    mistake("to 'new' (table or DSN expected, got nil: is the environment variable set?)", function()
      mypool.new(os.getenv "MYPOOL_NO_SUCH_VARIABLE", { max_size = 2 })
    end)
  end)

  it("refuses unknown options like the table does", function()
    mistake("unknown option 'maxsize' (did you mean 'max_size'?)", function()
      mypool.new "mariadb://localhost/app?maxsize=3"
    end)
    mistake("bad option 'max_size' (integer from 1 to 100000 expected, got 'many')", function()
      mypool.new "mariadb://localhost/app?max_size=many"
    end)
    mistake("bad DSN (options are name=value, joined by &)", function()
      mypool.new "mariadb://localhost/app?max_size"
    end)
  end)

  it("refuses a host that libmariadb would take for something else", function()
    for _, host in ipairs { "a%3Db", "a%3Bb", "a%00b", "a%2Fb" } do
      mistake("bad option 'host'", function()
        mypool.new("mariadb://" .. host .. "/app")
      end)
    end
  end)
end)

describe("the password of mypool.new", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("may be a function, asked at each connect", function()
    local asked = 0
    local pool = pools.new(s:options {
      password = function(...)
        asked = asked + 1
        assert.equal(0, select("#", ...))
        return s.password
      end,
    })
    assert.is_true(pool:ping())
    assert.is_true(pool:ping())
    assert.equal(1, asked)
    pool:evict()
    assert.is_true(pool:ping())
    assert.equal(2, asked)
  end)

  it("fails the connect by what the function raises", function()
    local pool = pools.new(s:options {
      checkout_timeout = 0.05,
      password = function()
        error("vault down", 0)
      end,
    })
    local conn, err = pool:checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.equal("the password function failed: vault down", err.message)
    assert.equal(0, pool:stats().size)
  end)

  it("fails the connect when the function returns something else than a string, or yields", function()
    local results = { 7, true, {}, coroutine.yield }
    for _, result in ipairs(results) do
      local pool = pools.new(s:options {
        checkout_timeout = 0.05,
        password = function()
          return type(result) == "function" and result() or result
        end,
      })
      local err = coroutine.wrap(function()
        return select(2, pool:checkout())
      end)()
      assert.equal("connect", err.kind)
      assert.matches("^the password function ", err.message)
      assert.equal(0, pool:stats().size)
    end
  end)

  it("is not repeated by the error for a wrong one, nor by the pool", function()
    local pool = pools.new(s:tcp_options { password = hidden })
    local conn, err, errno, sqlstate = pool:checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.equal(1045, errno)
    assert.equal("28000", sqlstate)
    assert.is_false(err.retryable)
    assert.is_nil(tostring(err):find(hidden, 1, true))
    assert.is_nil(tostring(pool):find(hidden, 1, true))
  end)

  it("is not taken from the environment when there is none", function()
    s:sql "CREATE OR REPLACE USER nobody IDENTIFIED BY 'fromenv'"
    local script = ([[local ok, err = require("mypool").new{ host = %q, port = %d, user = "nobody",
        server_public_key = %q }:checkout()
      print(err.errno, err.message:match "using password: %%a+")]]):format(s.host, s.port, s.public_key)
    assert.equal("1045\tusing password: NO\n", program(script, "MYSQL_PWD=fromenv"))
    s:sql "DROP USER nobody"
  end)
end)
