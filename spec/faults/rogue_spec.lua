-- Servers that ask for what no honest server asks for: files of the client, its password in clear.

local ledger = require "tools.ledger"
local mistake = require "spec.support.mistake"
local monotime = require("cqueues").monotime
local mypool = require "mypool"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local scripted_server = require "spec.servers.scripted_server"
local tls = require "spec.servers.tls"

local scripted, r
local folder, bait
local contents = "only the client may read this"

setup(function()
  tls.server_options()
  local pipe = assert(io.popen "mktemp -d")
  folder = pipe:read()
  pipe:close()
  bait = folder .. "/bait"
  local file <close> = assert(io.open(bait, "w"))
  file:write(contents)
end)

teardown(function()
  os.execute(("rm -r '%s'"):format(folder))
end)

after_each(function()
  pools.close()
  if scripted then
    scripted:stop()
    r:stop()
    scripted, r = nil, nil
  end
end)

local function start(script)
  scripted = scripted_server.start(script)
  r = relay.start { host = scripted.host, port = scripted.port }
  r:record()
end

-- A pool that reaches the server through the relay.
local function new_pool(more)
  local options = scripted:options(more)
  if not options.socket then
    options.port = r.port
  end
  options.checkout_timeout, options.connect_timeout, options.query_timeout = 2, 2, 0.5
  return pools.new(options)
end

-- All that was ever sent. The relay has read what came before a command when that is carried out.
local function heard()
  pools.close()
  r:stats()
  return r:heard()
end

describe("a server that asks for a file", function()
  after_each(function()
    ledger.enter("rogue: asks for a file", { faults = 1, statements = 1 })
  end)

  local function query(sql)
    return function(conn)
      return conn:query(sql)
    end
  end

  local load = "LOAD DATA LOCAL INFILE '%s' INTO TABLE t"
  local cases = {
    { name = "a query", when = "^SELECT mine", run = query "SELECT mine" },
    { name = "a LOAD DATA of that file", when = "^LOAD", load = true },
    { name = "a query that begins with load", when = "^load", run = query "load x" },
    { name = "the execution of a prepared statement", when = "execute", run = function(conn)
      local statement = assert(conn:prepare "DO 1")
      return statement:execute()
    end },
    { name = "a COMMIT", when = "^COMMIT", run = function(conn)
      return conn:transaction(function(tx)
        return tx:query "INSERT"
      end)
    end },
    { name = "a row of a stream", when = "^SELECT mine", run = function(conn)
      return conn:rows "SELECT mine"
    end },
  }

  for _, case in ipairs(cases) do
    it("in answer to " .. case.name .. " gets nothing, and the session is dropped", function()
      start { wants = bait, when = case.when }
      local pool = new_pool { max_size = 1 }
      local conn = assert(pool:checkout())
      assert(conn:query "SET @mine = 7")
      local id = conn:id()
      local run = case.run or query(load:format(bait))
      local result, err = run(conn)
      assert.is_nil(result)
      assert.is_true(mypool.is_error(err))
      assert.is_nil(err.message:find(contents, 1, true))
      conn:release()
      conn = assert(pool:checkout())
      assert.not_equal(id, conn:id())
      conn:release()
      assert.is_nil(heard():find(contents, 1, true))
    end)
  end

  -- Where libmariadb takes such an answer for another: a server that waits for its file waits for ever.
  for _, when in ipairs { "ping", "prepare" } do
    it("in answer to a " .. when .. " gets nothing", function()
      start { wants = bait, when = when }
      local conn = assert(new_pool({ max_size = 1 }):checkout(1))
      conn:ping()
      assert.is_nil((conn:prepare "DO 1"))
      conn:release()
      assert.is_nil(heard():find(contents, 1, true))
    end)
  end

  for _, when in ipairs { "reset", "init_db" } do
    it("in the replies to a reset (" .. when .. ") gets nothing, and the session is replaced", function()
      start { wants = bait, when = when }
      local pool = new_pool { max_size = 1 }
      local conn = assert(pool:checkout())
      assert(conn:query "SET @mine = 7")
      local id = conn:id()
      conn:release()
      conn = assert(pool:checkout())
      assert.not_equal(id, conn:id())
      assert.is_nil((conn:value "SELECT @mine"))
      conn:release()
      assert.is_nil(heard():find(contents, 1, true))
    end)
  end

  for name, script in pairs {
    ["the login"] = { when = "login" },
    ["what is asked of each new session"] = { when = "^SELECT @@sql_mode" },
    ["init_sql"] = { when = "^SET @begun" },
  } do
    it("in answer to " .. name .. " gets nothing, and there is no session", function()
      script.wants = bait
      start(script)
      local conn, err = new_pool({ init_sql = "SET @begun = 1", retries = 0 }):checkout()
      assert.is_nil(conn)
      assert.equal("connect", err.kind)
      assert.is_nil(heard():find(contents, 1, true))
    end)
  end
end)

describe("a server that asks for the password", function()
  local password = "the password itself"

  after_each(function()
    ledger.enter("rogue: asks for the password", { faults = 1, statements = 1 })
  end)

  local in_clear =
    { "mysql_clear_password", "dialog", "sha256_password", "caching_sha2_password", "mysql_old_password" }
  local other = { "auth_gssapi_client", "password", "", ",", "../dialog", "mysql_native_password,client_ed25519" }

  local function options(more)
    more.password, more.retries = password, 2
    return more
  end

  local function assert_refused(pool)
    local began = monotime()
    local conn, err = pool:checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.is_false(err.retryable, err.message)
    assert.is_true(monotime() - began < 4.5)
    assert.is_nil(err.message:find(password, 1, true))
    assert.equal(1, r:stats().connections)
    return err
  end

  for _, way in ipairs { "greets", "switches" } do
    for _, plugin in ipairs(in_clear) do
      it(("by the plugin %s, which it %s with, does not get it over plain TCP"):format(plugin, way), function()
        start { [way] = plugin }
        local err = assert_refused(new_pool(options {}))
        assert.equal(5010, err.errno)
        assert.truthy(err.message:find("not one of mysql_native_password,client_ed25519", 1, true))
        assert.is_nil(heard():find(password, 1, true))
      end)
    end
  end

  for _, plugin in ipairs(other) do
    it(("by a plugin called %q gets nothing"):format(plugin), function()
      start { switches = plugin }
      local conn, err = new_pool(options { retries = 0 }):checkout()
      assert.is_nil(conn)
      assert.equal("connect", err.kind)
      assert.is_nil(heard():find(password, 1, true))
    end)
  end

  for _, plugin in ipairs { "mysql_native_password", "client_ed25519" } do
    it(("by the plugin %s gets a hash of it"):format(plugin), function()
      start { switches = plugin }
      local pool = new_pool(options {})
      local hash = assert(pool:value "SHOW PASSWORD")
      assert.equal(plugin == "client_ed25519" and 64 or 20, #hash)
      assert.is_nil(heard():find(password, 1, true))
    end)
  end

  local offered = { cert = tls.file "server", key = tls.file "server-key" }
  local verified = { ca = tls.ca }

  local without_name = {
    ["the authority alone"] = { ca = tls.ca, verify = "ca" },
    ["its certificate"] = { fingerprint = tls.fingerprint "server" },
  }

  for way, trust in pairs(without_name) do
    for _, plugin in ipairs { "sha256_password", "caching_sha2_password" } do
      it(("by the plugin %s gets it from those who trust %s"):format(plugin, way), function()
        start { switches = plugin, tls = offered }
        assert.equal(password .. "\0", (new_pool(options { tls = trust }):value "SHOW PASSWORD"))
        assert.is_nil(heard():find(password, 1, true))
      end)
    end

    it(("as it is does not get it from those who trust %s, which the error tells"):format(way), function()
      start { switches = "mysql_clear_password", tls = offered }
      local err = assert_refused(new_pool(options { tls = trust }))
      assert.equal(5010, err.errno)
      assert.truthy(err.message:find("verify the server by its name, with tls.cleartext_password", 1, true))
    end)
  end

  describe("over plain TCP, of those who have a public key,", function()
    local public_key

    setup(function()
      public_key = folder .. "/public.pem"
      local make = "openssl rsa -in '%s' -pubout -out '%s' 2>/dev/null"
      assert(os.execute(make:format(tls.file "server-key", public_key)))
    end)

    it("gets it encrypted by the plugin caching_sha2_password", function()
      start { switches = "caching_sha2_password" }
      local encrypted = assert(new_pool(options { server_public_key = public_key }):value "SHOW PASSWORD")
      assert.equal(256, #encrypted)
      assert.is_nil(heard():find(password, 1, true))
    end)

    it("does not get it by a key that is too short for it", function()
      local short = "openssl genrsa 512 2>/dev/null | openssl rsa -pubout -out '%s/short.pem' 2>/dev/null"
      assert(os.execute(short:format(folder)))
      start { switches = "caching_sha2_password" }
      local long = options { server_public_key = folder .. "/short.pem" }
      long.password = password:rep(4)
      local err = assert_refused(new_pool(long))
      assert.truthy(err.message:find("short.pem' cannot encrypt the password: it needs a longer one", 1, true))
      assert.is_nil(heard():find(password, 1, true))
    end)

    for _, plugin in ipairs { "mysql_clear_password", "sha256_password", "dialog" } do
      it("does not get it by the plugin " .. plugin, function()
        start { switches = plugin }
        assert.equal(5010, assert_refused(new_pool(options { server_public_key = public_key })).errno)
        assert.is_nil(heard():find(password, 1, true))
      end)
    end
  end)

  for _, plugin in ipairs { "sha256_password", "caching_sha2_password" } do
    it(("by the plugin %s gets it over verified TLS, where nobody else reads it"):format(plugin), function()
      start { switches = plugin, tls = offered }
      assert.equal(password .. "\0", (new_pool(options { tls = verified }):value "SHOW PASSWORD"))
      assert.is_nil(heard():find(password, 1, true))
    end)

    it(("by the plugin %s does not get it over TLS that is not verified"):format(plugin), function()
      start { switches = plugin, tls = offered }
      assert.equal(5010, assert_refused(new_pool(options { tls = { verify = false } })).errno)
    end)
  end

  it("by the plugin caching_sha2_password gets it over a unix socket", function()
    local path = folder .. "/socket"
    start { switches = "caching_sha2_password", socket = path }
    local pool = pools.new { socket = path, user = "app", password = password }
    assert.equal(password .. "\0", (pool:value "SHOW PASSWORD"))
  end)

  it("as it is does not get it over a unix socket", function()
    local path = folder .. "/other-socket"
    start { switches = "mysql_clear_password", socket = path }
    local _, err = pools.new({ socket = path, user = "app", password = password }):checkout()
    assert.equal(5010, err.errno)
  end)

  it("as it is does not get it over verified TLS either, unless that was asked for", function()
    start { switches = "mysql_clear_password", tls = offered }
    assert.equal(5010, assert_refused(new_pool(options { tls = verified })).errno)
    assert.is_nil(heard():find(password, 1, true))
  end)

  it("as it is gets it with cleartext_password, over verified TLS", function()
    start { switches = "mysql_clear_password", tls = offered }
    local pool = new_pool(options { tls = { ca = tls.ca, cleartext_password = true } })
    assert.equal(password .. "\0", (pool:value "SHOW PASSWORD"))
    assert.is_nil(heard():find(password, 1, true))
  end)

  it("as it is, with cleartext_password, does not get it from behind a relay that strips TLS", function()
    start { switches = "mysql_clear_password", tls = offered }
    r:strip_tls(true)
    local err = assert_refused(new_pool(options { tls = { ca = tls.ca, cleartext_password = true } }))
    assert.equal(2026, err.errno)
    assert.equal(0, r:last().up)
  end)

  it("as it is, with cleartext_password, does not get it with a foreign certificate", function()
    start { switches = "mysql_clear_password", tls = { cert = tls.file "server-foreign", key = offered.key } }
    local err = assert_refused(new_pool(options { tls = { ca = tls.ca, cleartext_password = true } }))
    assert.equal(2026, err.errno)
    assert.is_nil(heard():find(password, 1, true))
  end)

  it("cannot be given it in clear without verification", function()
    mistake("new: bad option 'tls' (table without cleartext_password where verify is false expected", function()
      mypool.new { tls = { verify = false, cleartext_password = true } }
    end)
  end)
end)

describe("a server that speaks only old TLS", function()
  local offered = { cert = tls.file "server", key = tls.file "server-key" }

  after_each(function()
    ledger.enter("rogue: old TLS", { faults = 1, statements = 1 })
  end)

  -- What is too old is up to OpenSSL, and to the system's settings of it.
  for _, version in ipairs { "TLSv1_0", "TLSv1_1" } do
    it("is refused: " .. version, function()
      start { tls = { cert = offered.cert, key = offered.key, protocol = version:gsub("_0", "") } }
      local conn, err = new_pool({ tls = { ca = tls.ca } }):checkout()
      assert.is_nil(conn)
      assert.equal(2026, err.errno)
      assert.is_false(err.retryable)
      assert.is_nil(heard():find("anybody", 1, true))
    end)
  end

  it("is served when it speaks 1.2", function()
    start { tls = { cert = offered.cert, key = offered.key, protocol = "TLSv1_2" } }
    assert.equal("1", (new_pool({ tls = { ca = tls.ca } }):value "SELECT CONNECTION_ID()"))
  end)
end)
