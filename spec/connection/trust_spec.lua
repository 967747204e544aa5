-- Who is trusted to be the server: its authority, its certificate, or its key, where no name can be verified. With
-- each Connector/C that is at hand, as they do it differently.

local connectors = require "spec.servers.connectors"
local dialect = require "spec.servers.dialect"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local scheduler = require "spec.support.scheduler"
local scripted_server = require "spec.servers.scripted_server"
local server = require "spec.servers.server"
local source_of = require "spec.support.source_of"
local tls = require "spec.servers.tls"

local mysql = "mysql-9.7"
local has_mysql = os.getenv "SERVER" == mysql or server.is_fetched(mysql)
local without_mysql = "no MySQL is at hand, which spec/servers/fetch.sh would bring"

local s, r
local scratch

setup(function()
  local pipe <close> = assert(io.popen "mktemp -d")
  scratch = pipe:read()
  tls.server_options() -- makes the certificates, where there are none
end)

teardown(function()
  os.execute(("rm -r '%s'"):format(scratch))
end)

after_each(pools.close)

-- Options that lead through the relay, which hears what is sent. 127.1 is an address to every resolver, and a name of
-- which the certificates of these servers know nothing.
local function through_relay(trust, more)
  local options = { host = "127.1", port = r.port, user = "app", password = "secret", retries = 0 }
  options.connect_timeout, options.checkout_timeout = 20, 20 -- nothing here is to wait for them
  for _, given in ipairs { trust, more or {} } do
    for name, value in pairs(given) do
      options[name] = value
    end
  end
  return options
end

-- Runs a program with `pool`, and returns what it printed.
local function run(connector, trust, text)
  local begin = 'local pool = require("mypool").new(%s)\n'
  return (connector.run(begin:format(source_of(through_relay(trust))) .. text))
end

-- What becomes of a first query, like "served" or "connect 2026 false" and the message.
local function try(connector, trust)
  return run(connector, trust, [[
    local _, err = pool:value "SELECT 'the marked statement'"
    print(err and ("%s %d %s %s"):format(err.kind, err.errno, err.retryable, err.message) or "served")]])
end

-- The connection is the same when its statement was stopped, through another one, for which the server knows no
-- password any more.
local function stop_a_statement(connector, trust)
  trust.max_size = 1
  return run(connector, trust, [[
    local conn = assert(pool:checkout())
    local id = conn:id()
    assert(conn:query "FLUSH PRIVILEGES")
    local _, err = conn:query { "SELECT SLEEP(60)", timeout = 0.1 }
    conn:release()
    conn = assert(pool:checkout())
    print(err.kind, id == conn:id())
    conn:release()]])
end

local function heard()
  r:stats()
  return r:heard()
end

-- The server forgets which passwords it has seen, which a hash would do for.
local function forget_passwords()
  s:sql "FLUSH PRIVILEGES"
end

local function file(name, text)
  local path = scratch .. "/" .. name
  local out <close> = assert(io.open(path, "w"))
  out:write(text)
  return path
end

local function contents(path)
  local from <close> = assert(io.open(path))
  return from:read "a"
end

-- Makes the same path name another file, or none.
local function replace(path, text)
  assert(os.rename(file("new", text), path))
end

local function public_key_of(private)
  local path = scratch .. "/public.pem"
  assert(os.execute(("openssl rsa -in '%s' -pubout -out '%s' 2>/dev/null"):format(private, path)))
  return path
end

local function start(arguments)
  s = server.start(arguments)
  r = relay.start { host = s.host, port = s.port }
end

local function stop()
  if r then
    r:stop()
    s:remove()
    r, s = nil, nil
  end
end

local function listen()
  if r then
    r:reset()
    r:record()
  end
end

-- ---- the ways in that there are with TLS, on the server `s` whose certificate is in the file `shown()` ----

local function specify_tls(connector, ca, shown)
  local function ways()
    return {
      authority = { tls = { ca = ca(), verify = "ca" } },
      fingerprint = { tls = { fingerprint = tls.fingerprint(shown(), connector.hash) } },
    }
  end

  it("lets in who trusts the authority or the certificate, and not who wants the name", function()
    for way, trust in pairs(ways()) do
      forget_passwords()
      assert.equal("served\n", try(connector, trust), way)
    end
    assert.matches("^connect 2026 false .*not for '127%.1'", try(connector, { tls = { ca = ca() } }))
    assert.is_nil(heard():find "secret")
  end)

  it("stops a statement by the same trust", function()
    for way, trust in pairs(ways()) do
      assert.equal("timeout\ttrue\n", stop_a_statement(connector, trust), way)
    end
  end)

  it("turns away who trusts another authority or certificate, and hears no login from them", function()
    local others = {
      authority = { tls = { ca = tls.foreign_ca, verify = "ca" } },
      fingerprint = { tls = { fingerprint = tls.fingerprint("server-foreign", connector.hash) } },
    }
    for way, trust in pairs(others) do
      assert.matches("^connect 2026 false ", try(connector, trust), way)
    end
    assert.matches("is not the one of tls.fingerprint\n$", try(connector, others.fingerprint))
    assert.is_nil(heard():find "secret")
    assert.is_nil(heard():find "app")
  end)

  it("gets no byte where TLS is stripped", function()
    r:strip_tls(true)
    for way, trust in pairs(ways()) do
      assert.matches("^connect 2026 false .*: the server does not speak TLS\n$", try(connector, trust), way)
    end
    assert.equal("", heard())
  end)
end

-- ---- MySQL: the certificate and the key that it makes for itself ----

local function data(name)
  return function()
    return s.folder .. "/data/" .. name
  end
end

local function each_connector(specify)
  for _, connector in ipairs(connectors) do
    describe("with Connector/C " .. connector.version, function()
      specify(connector)
    end)
  end
end

describe("MySQL over TCP, as it is installed,", function()
  if not has_mysql then
    it("lets nobody in who cannot tell who it is", function()
      pending(without_mysql)
    end)
    return
  end

  local public_key = data "public_key.pem"

  setup(function()
    start { kind = mysql }
  end)
  teardown(stop)
  before_each(listen)

  each_connector(function(connector)
    specify_tls(connector, data "ca.pem", data "server-cert.pem")

    it("lets in who has its public key", function()
      forget_passwords()
      assert.equal("served\n", try(connector, { server_public_key = public_key() }))
      assert.is_nil(heard():find "secret")
    end)

    it("stops a statement by the same key", function()
      local trust = { server_public_key = public_key() }
      assert.equal("timeout\ttrue\n", stop_a_statement(connector, trust))
      assert.is_nil(heard():find "secret")
    end)

    it("turns away who has the key of another server", function()
      forget_passwords()
      local other = public_key_of(tls.file "server-key")
      local said = try(connector, { server_public_key = other })
      assert.matches("^connect 1045 false .*: Access denied.* %(or '.*pem' is not the key of this server%)\n$", said)
      assert.is_nil(heard():find "secret")
    end)

    it("hears nothing from those whose file holds no public key", function()
      local files = {
        ["cannot read '/missing.pem': No such file or directory"] = "/missing.pem",
        ["cannot read '/etc': Is a directory"] = "/etc",
        ["no RSA PUBLIC KEY in '/dev/null'"] = "/dev/null",
        ["no RSA PUBLIC KEY in '/dev/zero'"] = "/dev/zero",
        ["no RSA PUBLIC KEY in '/etc/passwd'"] = "/etc/passwd",
        ["no RSA PUBLIC KEY in '" .. public_key():gsub("public", "private")] = data "private_key.pem"(),
        ["no RSA PUBLIC KEY in '" .. data "ca.pem"()] = data "ca.pem"(),
      }
      local before = r:stats().connections
      for words, path in pairs(files) do
        local said = try(connector, { server_public_key = path })
        assert.matches("^connect 2059 false ", said)
        assert.truthy(said:find(": server_public_key: " .. words, 1, true), said)
      end
      assert.equal(before, r:stats().connections)
      assert.equal("", heard())
    end)

    it("names the ways in to who has none", function()
      for _, trust in ipairs { {}, { tls = { verify = false } } } do
        local said = try(connector, trust)
        assert.matches("^connect 5010 false .*: the server asks for an authentication plugin that is not one of ", said)
        for _, word in ipairs { "tls = true", "tls.ca", "tls.verify = 'ca'", "tls.fingerprint", "server_public_key" } do
          assert.truthy(said:find(word, 1, true), word)
        end
        assert.is_true(#said < 500)
      end
      assert.is_nil(heard():find "secret")
    end)
  end)

  -- Damaged: each byte of the key in turn, and cut short at every line.
  it("hears nothing from those whose key is damaged so that it is none", function()
    local whole = contents(public_key())
    local path = file("damaged.pem", whole)
    local pool = pools.new(through_relay { server_public_key = path })
    local broken = { whole:sub(2), whole:gsub("PUBLIC", "RSA PUBLIC"), whole:gsub("A", "!", 3), whole:sub(1, -100) }
    for at = 1, #whole - 30, 64 do
      broken[#broken + 1] = whole:sub(1, at)
    end
    for _, text in ipairs(broken) do
      replace(path, text)
      local _, err = pool:checkout()
      assert.equal("connect", err.kind)
      assert.truthy(err.message:find("server_public_key: no RSA PUBLIC KEY in '" .. path, 1, true), err.message)
    end
    assert.equal("", heard())
    replace(path, whole)
    assert.is_true(pool:ping())
  end)

  -- libmariadb would encrypt into an array on its stack.
  it("hears nothing from those whose key is too long, and they do not crash", function()
    local config = [[asn1=SEQUENCE:all
[all]
algorithm=SEQUENCE:algorithm
key=BITWRAP,SEQUENCE:key
[algorithm]
id=OID:rsaEncryption
none=NULL
[key]
modulus=INTEGER:0x]] .. ("c3"):rep(1100) .. "\nexponent=INTEGER:0x10001\n"
    local path = file("long.conf", config)
    local make = "openssl asn1parse -genconf '%s' -noout -out '%s/long.der' && "
      .. "openssl rsa -pubin -inform DER -in '%s/long.der' -out '%s/long.pem' 2>/dev/null"
    assert(os.execute(make:format(path, scratch, scratch, scratch)))
    local _, err = pools.new(through_relay { server_public_key = scratch .. "/long.pem" }):checkout()
    assert.truthy(err.message:find("no RSA PUBLIC KEY", 1, true), err.message)
    assert.equal("", heard())
  end)

  it("is connected to by the key that is in the file at that time", function()
    local path = file("key.pem", contents(public_key()))
    local pool = pools.new(through_relay { server_public_key = path })
    assert.is_true(pool:ping())
    replace(path, "none")
    assert.is_true(pool:ping()) -- the session is there
    pool:evict()
    local _, err = pool:ping()
    assert.truthy(err.message:find("server_public_key: no RSA PUBLIC KEY in '" .. path, 1, true), err.message)
    replace(path, contents(public_key()))
    assert.is_true(pool:ping())
  end)

  -- libmariadb would ask whoever answers for a key.
  it("is not asked for its key when the file goes in the middle of a login", function()
    forget_passwords()
    local path = file("key.pem", contents(public_key()))
    local pool = pools.new(through_relay({ server_public_key = path }, { wait = scheduler.wait }))
    r:delay(100)
    local served
    scheduler.run(function()
      served = pool:ping()
    end, function()
      scheduler.sleep(0.05)
      assert(os.remove(path))
    end)
    assert.is_true(served)
    assert.is_nil(heard():find("\1\0\0.\2"))
  end)

  it("is reached by a DSN that says whom to trust", function()
    local place = ("mysql://app:secret@127.1:%d/app?retries=0&"):format(r.port)
    for _, query in ipairs {
      "tls_verify=ca&tls_ca=" .. data "ca.pem"(),
      "tls=true&tls_fingerprint=" .. tls.fingerprint(data "server-cert.pem"()),
      "server_public_key=" .. public_key(),
    } do
      forget_passwords()
      assert.is_true(pools.new(place .. query):ping())
    end
  end)
end)

-- ---- the chosen server, with a certificate for another name ----

describe("a server with a certificate for another name", function()
  if dialect.is_mysql then
    return -- the one above
  end

  setup(function()
    local ca, cert, key = tls.server_options()
    start { options = { ca, (cert:gsub("server.pem$", "server-elsewhere.pem")), key } }
  end)
  teardown(stop)
  before_each(listen)

  each_connector(function(connector)
    specify_tls(connector, function()
      return tls.ca
    end, function()
      return "server-elsewhere"
    end)
  end)
end)

-- ---- who poses as the server ----

describe("an impostor", function()
  local impostor

  after_each(function()
    impostor:stop()
    r:stop()
    r = nil
  end)

  local function pose(certificate)
    impostor = scripted_server.start { tls = { cert = tls.file(certificate), key = tls.file "server-key" } }
    r = relay.start { host = impostor.host, port = impostor.port }
  end

  -- Those who verify nothing tell it who they are.
  local function logins()
    return pools.new(through_relay { tls = { verify = false } }):value "SHOW LOGINS"
  end

  each_connector(function(connector)
    for _, certificate in ipairs { "server-foreign", "server-expired", "server-future", "server-self-signed" } do
      it("is told nothing when it shows " .. certificate, function()
        pose(certificate)
        local fingerprint = tls.fingerprint("server", connector.hash)
        assert.matches("^connect 2026 false ", try(connector, { tls = { ca = tls.ca, verify = "ca" } }))
        assert.matches("^connect 2026 false ", try(connector, { tls = { fingerprint = fingerprint } }))
        assert.equal("1", logins())
      end)
    end

    -- 3.3 does not look at the time.
    it("is told nothing, or who it is, by those who trust its certificate when that has expired", function()
      pose "server-expired"
      local said = try(connector, { tls = { fingerprint = tls.fingerprint("server-expired", connector.hash) } })
      if connector.version:find "^3%.3" then
        assert.equal("served\n", said)
      else
        assert.matches("^connect 2026 false .*the certificate of tls.fingerprint has expired, or is not", said)
        assert.equal("1", logins())
      end
    end)

    it("is told who it is by those who trust its certificate", function()
      pose "server-self-signed"
      local trust = { tls = { fingerprint = tls.fingerprint("server-self-signed", connector.hash) } }
      assert.equal("served\n", try(connector, trust))
      assert.equal("2", logins())
    end)

    for _, certificate in ipairs { "server-foreign", "server-expired" } do
      it("is told who it is by those who verify nothing, when it shows " .. certificate, function()
        pose(certificate)
        assert.equal("served\n", try(connector, { tls = { ca = tls.ca, verify = false } }))
        assert.equal("2", logins())
      end)
    end
  end)
end)
