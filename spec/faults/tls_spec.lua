-- TLS: who is not proven to be the server gets neither a password nor a statement, and what is wrong with a
-- certificate is said at once.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local monotime = require("cqueues").monotime
local plain = require "spec.plain"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local resolver = require "spec.servers.resolver"
local scheduler = require "spec.support.scheduler"
local tls = require "spec.servers.tls"

if dialect.lacks "TLS" then
  return pending(dialect.lacks "TLS")
end

local s = fixture.server()
local r = fixture.relay(s)
local title
local patience = 20 -- seconds: who gives up before it did not wait for its deadline

local function server_options(...)
  local ca, _, key = tls.server_options()
  return { ca, "--ssl-cert=" .. s.folder .. "/shown.pem", key, ... }
end

-- From now on the server shows another certificate.
local function show(name)
  assert(os.execute(("cp '%s' '%s/shown.pem'"):format(tls.file(name), s.folder)))
end

local function show_now(name)
  show(name)
  s:sql(dialect.reload_tls)
end

setup(function()
  tls.server_options() -- makes the certificates, where there are none
  show "server"
  s:restart(server_options())
  s:sql "CREATE USER guest@'%' IDENTIFIED BY 'secret' REQUIRE X509; GRANT ALL ON app.* TO guest@'%'"
end)

before_each(function()
  r:reset()
  r:record()
end)

after_each(function()
  pools.close()
  ledger.enter("TLS: " .. title, { faults = 1, statements = 1 })
end)

local function titled(words)
  return function()
    title = words
  end
end

-- A pool through the relay, which hears all that is sent.
local function new_pool(options, more)
  local all = s:tcp_options { host = "127.0.0.1", port = r.port, tls = options }
  all.checkout_timeout, all.connect_timeout = patience, patience
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  return pools.new(all)
end

local function with_ca(more)
  local options = { ca = tls.ca }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return options
end

-- All that was ever sent, as an eavesdropper has it. The relay has read what came before a command when that
-- is carried out.
local function overheard()
  pools.close()
  r:stats()
  return r:heard()
end

local function assert_nothing_in_clear()
  local heard = overheard()
  for _, word in ipairs { "secret", "app", "guest", "SELECT", "sec'ret" } do
    assert.is_nil(heard:find(word, 1, true), word)
  end
end

local function system_has_authorities()
  for _, path in ipairs {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
  } do
    local file <close> = io.open(path)
    if file then
      return true
    end
  end
  return false
end

local marked = "SELECT 'the marked statement'"

-- The error of a first query, which must come at once: before any second attempt.
local function refusal(pool)
  local began, before = monotime(), r:stats().connections
  local value, err = pool:value(marked)
  assert.is_nil(value)
  assert.is_true(monotime() - began < patience / 2)
  assert.equal("connect", err.kind)
  assert.equal("no", err.executed)
  assert.is_false(err.retryable, err.message)
  assert.equal(before + 1, r:stats().connections)
  assert.is_nil(err.message:find "secret")
  return err
end

local function assert_refused(pool, words)
  local err = refusal(pool)
  assert.equal(2026, err.errno)
  assert.truthy(err.message:find(words, 1, true), err.message)
  assert_nothing_in_clear()
end

local function assert_served(pool)
  assert.equal("the marked statement", (assert(pool:value(marked))))
  assert.not_equal("", pool:one("SHOW STATUS LIKE 'Ssl_cipher'").Value)
end

describe("the server's certificate", function()
  before_each(titled "the server's certificate")

  teardown(function()
    show_now "server"
  end)

  local elsewhere = "the server's certificate is not for '"
  -- For the names and addresses of the server in `good`, and not for those in `bad`; else for none.
  local certificates = {
    { name = "server", good = { "127.0.0.1", "127.1", "localhost" }, bad = { "127.0.1", "::ffff:127.0.0.1" } },
    { name = "server-by-name", good = { "127.1", "localhost" }, bad = { "127.0.0.1" } },
    { name = "server-by-address", good = { "127.0.0.1" }, bad = { "127.1", "localhost" } },
    { name = "server-elsewhere" },
    { name = "server-expired", words = "certificate has expired", needs = "certificates refused" },
    { name = "server-future", words = "certificate is not yet valid", needs = "certificates refused" },
    { name = "server-foreign", words = "unable to get local issuer certificate", needs = "certificates refused" },
    { name = "server-self-signed", words = "self-signed certificate" },
    { name = "server-client", words = "certificate purpose" },
  }

  -- 127.1 is a name to a certificate, and an address to every resolver.
  local function known(hosts)
    local found = {}
    for _, host in ipairs(hosts) do
      found[#found + 1] = resolver.knows(host) and host or nil
    end
    return found
  end

  -- Connector/C 3.4 does not compare the certificate's name with this address.
  local function is_compared(host, certificate)
    return host ~= "127.0.0.1" or certificate.words or not plain.client_version:find "^3%.4"
  end

  for _, certificate in ipairs(certificates) do
    for _, host in ipairs(known(certificate.good or {})) do
      it(("is trusted at %s when it is %s"):format(host, certificate.name), function()
        show_now(certificate.name)
        assert_served(new_pool(with_ca(), { host = host }))
        assert_nothing_in_clear()
      end)
    end
    for _, host in ipairs(known(certificate.bad or { "127.0.0.1", "127.1", "localhost" })) do
      local refused = is_compared(host, certificate) and it or pending
      refused(("is refused at %s when it is %s"):format(host, certificate.name), function()
        dialect.needs(certificate.needs, pending)
        show_now(certificate.name)
        assert_refused(new_pool(with_ca(), { host = host }), certificate.words or elsewhere)
      end)
    end
  end

  it("is refused by default, when the system does not know who signed it", function()
    show_now "server"
    if system_has_authorities() then
      assert_refused(new_pool(true), "self-signed certificate in certificate chain")
    else
      local value, err = new_pool(true):value(marked)
      assert.same({ nil, "connect", 2026, false }, { value, err.kind, err.errno, err.retryable })
      assert.truthy(err.message:find("name one in tls.ca", 1, true), err.message)
      assert.equal("", overheard())
    end
  end)

  it("is refused when another authority is named", function()
    show_now "server"
    assert_refused(new_pool { ca = tls.foreign_ca }, "self-signed certificate in certificate chain")
  end)

  it("is trusted when it is self-signed and is itself the authority", function()
    show_now "server-self-signed"
    assert_served(new_pool { ca = tls.file "server-self-signed" })
  end)

  it("is not looked at with verify = false, and still all is encrypted", function()
    dialect.needs("trust without proof", pending)
    show_now "server-self-signed"
    assert_served(new_pool { verify = false })
    assert_nothing_in_clear()
  end)

  it("is looked at again for each connection: sessions live on, new ones are refused", function()
    show_now "server"
    local pool = new_pool(with_ca(), { max_size = 2 })
    local conn = assert(pool:checkout())
    show_now "server-self-signed"
    assert.equal(1, conn:value "SELECT 1")
    local more, err = pool:checkout()
    assert.is_nil(more)
    assert.truthy(err.message:find("self-signed certificate", 1, true))
    show_now "server"
    more = assert(pool:checkout())
    more:release()
    conn:release()
  end)

  it("is refused on the thread of a scheduler, too", function()
    show_now "server-self-signed"
    local pool = new_pool(with_ca(), { wait = scheduler.wait })
    scheduler.run(function()
      assert_refused(pool, "self-signed certificate")
    end)
  end)
end)

describe("a server without TLS", function()
  before_each(titled "no TLS, or stripped")

  local ways = {
    ["verified"] = with_ca(),
    ["verified by the system's authorities"] = system_has_authorities() or nil,
    ["verified by its authority alone"] = with_ca { verify = "ca" },
    ["known by its fingerprint"] = { fingerprint = tls.fingerprint "server" },
    ["not verified"] = { verify = false },
  }

  -- Whoever strips it would hear the user's name, and a hash by which the password can be guessed.
  for way, options in pairs(ways) do
    it("is refused when a relay strips it, with no byte sent, where it is to be " .. way, function()
      r:strip_tls(true)
      local err = refusal(new_pool(options))
      assert.equal(2026, err.errno)
      assert.match("^cannot connect to .+: the server does not speak TLS$", err.message)
      assert.equal("", overheard())
    end)
  end

  it("is refused when its greeting comes in pieces, too", function()
    r:strip_tls(true)
    r:chunk(1)
    assert.match("^cannot connect to .+: the server does not speak TLS$", refusal(new_pool { verify = false }).message)
    assert.equal("", overheard())
  end)

  describe("at all", function()
    setup(function()
      s:restart { dialect.without_tls }
    end)

    teardown(function()
      s:restart(server_options())
    end)

    it("is refused, with no byte sent", function()
      for _, options in pairs(ways) do
        assert.match("^cannot connect to .+: the server does not speak TLS$", refusal(new_pool(options)).message)
      end
      assert.equal("", overheard())
    end)
  end)
end)

describe("a client's certificate", function()
  before_each(titled "a client's certificate")

  local function guest(certificate, more)
    local options = certificate and { cert = tls.file(certificate), key = tls.client_key }
    more = more or {}
    more.user = "guest"
    return new_pool(with_ca(options), more)
  end

  it("is shown where one is configured", function()
    assert_served(guest "client")
    assert_nothing_in_clear()
  end)

  it("is missed by a server that wants one: access denied, at once", function()
    assert.equal(1045, refusal(guest()).errno)
    assert_nothing_in_clear()
  end)

  -- A server that speaks TLS 1.3 may have hung up before its alert can be read.
  for _, certificate in ipairs { "client-expired", "client-foreign" } do
    it("is refused by the server when it is " .. certificate .. ", which the message tells", function()
      local value, err = guest(certificate, { checkout_timeout = 0.2 }):value(marked)
      assert.is_nil(value)
      assert.equal("connect", err.kind)
      assert.truthy(err.message:find "tls%.cert" or err.message:find "alert", err.message)
      assert_nothing_in_clear()
    end)
  end

  describe("under TLS 1.2", function()
    setup(function()
      s:restart(server_options "--tls-version=TLSv1.2")
    end)

    teardown(function()
      s:restart(server_options())
    end)

    for certificate, words in pairs { ["client-expired"] = "expired", ["client-foreign"] = "unknown ca" } do
      it("is refused at once when it is " .. certificate, function()
        assert_refused(guest(certificate), "alert")
        assert.truthy(refusal(guest(certificate)).message:find(words))
      end)
    end

    it("is accepted when it is good", function()
      assert_served(guest "client")
    end)
  end)
end)

describe("a file of the option tls", function()
  before_each(titled "files")

  local client = tls.client_cert
  local mistakes = {
    ["a ca that is missing"] = { { ca = "/missing.pem" }, "tls.ca: cannot read '/missing.pem': No such file" },
    ["a ca that is a directory"] = { { ca = "/etc" }, "tls.ca: cannot read '/etc': Is a directory" },
    ["a ca that is no certificate"] = { { ca = "/etc/passwd" }, "tls.ca: no PEM CERTIFICATE in '/etc/passwd'" },
    ["a ca that is empty"] = { { ca = "/dev/null" }, "tls.ca: no PEM CERTIFICATE in '/dev/null'" },
    ["a cert that is missing"] = { { cert = "/missing.pem", key = tls.client_key }, "tls.cert: cannot read '/missing" },
    ["a cert that is a directory"] = { { cert = "/etc", key = tls.client_key }, "tls.cert: cannot read '/etc'" },
    ["a cert that is a key"] = { { cert = tls.client_key, key = tls.client_key }, "tls.cert: no PEM CERTIFICATE in" },
    ["a key that is missing"] = { { cert = client, key = "/missing.pem" }, "tls.key: cannot read '/missing.pem'" },
    ["a key that is a directory"] = { { cert = client, key = "/etc" }, "tls.key: cannot read '/etc': Is a directory" },
    ["a key that is a certificate"] = { { cert = client, key = client }, "tls.key: no PEM PRIVATE KEY in" },
    ["a key of another certificate"] = { { cert = client, key = tls.file "server-key" }, "is not the key of" },
    ["a key that is damaged"] = { { cert = client, key = "broken" }, "TLS/SSL error: " },
    ["a key behind a passphrase"] = { { cert = client, key = "locked" }, "tls.key: a passphrase locks the PRIVATE" },
  }

  setup(function()
    local locked = "openssl rsa -aes128 -passout pass:sesame -in '%s' -out '%s/locked.pem' 2>/dev/null"
    assert(os.execute(locked:format(tls.client_key, s.folder)))
    assert(os.execute(("sed 's/^[A-Z]/_/' '%s' >'%s/broken.pem'"):format(tls.client_key, s.folder)))
  end)

  local function key_lines(path)
    local lines = {}
    for line in io.lines(path) do
      lines[#lines + 1] = #line > 40 and line or nil
    end
    return lines
  end

  for name, mistake in pairs(mistakes) do
    it("is named, and not quoted, when it is " .. name, function()
      local options = with_ca(mistake[1])
      if options.key == "locked" or options.key == "broken" then
        options.key = ("%s/%s.pem"):format(s.folder, options.key)
      end
      local pool = new_pool(options)
      local err = refusal(pool)
      assert.equal(2026, err.errno)
      assert.truthy(err.message:find(mistake[2], 1, true), err.message)
      for _, line in ipairs(key_lines(tls.client_key)) do
        assert.is_nil(err.message:find(line:sub(1, 20), 1, true))
      end
      assert_nothing_in_clear()
    end)
  end

  it("never asks for a passphrase on the terminal", function()
    local printed, ok = program(([[
      local pool = require("mypool").new { host = %q, port = %d, user = "app", checkout_timeout = 5,
        tls = { ca = %q, cert = %q, key = %q } }
      local _, err = pool:checkout()
      print(err.retryable)
    ]]):format(s.host, s.port, tls.ca, client, s.folder .. "/locked.pem"), nil, "exec </dev/null")
    assert.equal("false\n", printed)
    assert.is_true(ok)
  end)
end)

describe("a TLS connection that is cut in the middle of its handshake", function()
  before_each(titled "cut handshakes")

  for _, way in ipairs { "up", "down" } do
    for _, how in ipairs { "fin", "rst" } do
      it(("%s by %s is tried again, wherever it was cut"):format(way, how), function()
        local whole = new_pool(with_ca())
        assert_served(whole)
        whole:close()
        local bytes = r:last()[way]
        local cuts = 0
        for at = 0, bytes - 1, bytes // 25 do
          r:cut(way, at, how)
          local before = r:stats().connections
          local pool = new_pool(with_ca())
          assert.is_true(pool:ping(), at)
          local tried = r:stats().connections - before
          assert.is_true(tried == 1 or tried == 2, at)
          cuts = cuts + tried - 1
          pool:close()
          r:reset()
        end
        assert.is_true(cuts > 10, cuts)
        ledger.enter("TLS: cut handshakes", { faults = cuts, statements = cuts })
      end)
    end
  end

  for _, at in ipairs { 140, 300, 1500 } do
    it(("says so without retries, after byte %d"):format(at), function()
      r:cut("down", at, "fin")
      local _, err = new_pool(with_ca(), { retries = 0 }):ping()
      assert.equal("connect", err.kind)
      assert.equal(2013, err.errno)
      assert.is_true(err.retryable)
      assert.equal("no", err.executed)
    end)
  end

  it("by silence ends with its time limit, and may be tried again", function()
    r:cut("down", 300, "hold")
    local _, err = new_pool(with_ca(), { retries = 0, connect_timeout = 1 }):ping()
    assert.equal("connect", err.kind)
    assert.is_true(err.retryable, err.message)
  end)
end)
