-- A server that lets nobody in: what a new connect meets with is told by its number, at once where waiting cannot
-- help; what is connected already goes on; and when the fault is mended the pool is whole.

local cqueues = require "cqueues"
local ledger = require "tools.ledger"
local dialect = require "spec.servers.dialect"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local server = require "spec.servers.server"
local tls = require "spec.servers.tls"
local whole = require "spec.support.whole"

if dialect.lacks "accounts made anew" then
  return pending(dialect.lacks "accounts made anew")
end

local s, certificates

-- A folder with the server's certificate as it should be, and one of the same authority that has expired.
local function make_certificates()
  tls.server_options()
  local pipe = io.popen(([[
    exec 2>&1; set -e
    from=$(readlink -f '%s')
    cd $(mktemp -d)
    cp $from/ca.pem $from/server.pem $from/server-key.pem .
    cp server.pem good.pem
    cp $from/server-expired.pem expired.pem
    pwd]]):format(tls.ca:match "^(.*)/"))
  local printed = pipe:read "a"
  assert.is_true(pipe:close(), printed)
  return printed:match "([^\n]+)\n$"
end

setup(function()
  certificates = make_certificates()
  s = server.start {
    options = {
      "--max-user-connections=100", -- it can be changed later only if it was set
      "--ssl-ca=" .. certificates .. "/ca.pem",
      "--ssl-cert=" .. certificates .. "/server.pem",
      "--ssl-key=" .. certificates .. "/server-key.pem",
    },
  }
end)

teardown(function()
  s:remove()
  os.execute("rm -r '" .. certificates .. "'")
end)

-- An account and a database of its own, as they should be.
local restore = [[
  CREATE OR REPLACE USER guest IDENTIFIED BY 'secret';
  CREATE OR REPLACE USER guest@localhost IDENTIFIED BY 'secret';
  CREATE DATABASE IF NOT EXISTS house;
  GRANT ALL ON house.* TO guest; GRANT ALL ON house.* TO guest@localhost]]

local function for_guest(sql)
  return function()
    s:sql((sql:format "guest") .. ";" .. sql:format "guest@localhost")
  end
end

local function use_certificate(name)
  os.execute(("cp '%s/%s.pem' '%s/server.pem'"):format(certificates, name, certificates))
  s:sql(dialect.reload_tls)
end

-- MySQL counts the connections of an account from when they have a limit.
local function use_up_the_hour()
  for_guest "ALTER USER %s WITH MAX_CONNECTIONS_PER_HOUR 1"()
  pools.new(s:options({ user = "guest", database = "house", retries = 0 })):ping()
end

-- Takes all connections that the server has.
local function crowd()
  s:sql "SET GLOBAL max_connections = 10"
  local others = pools.new(s:options { max_size = 20, retries = 0 })
  local held = {}
  repeat
    local conn = others:checkout(1)
    held[#held + 1] = conn
  until not conn
  return function()
    for _, conn in ipairs(held) do
      conn:release()
    end
    others:close()
    s:sql "SET GLOBAL max_connections = 151"
  end
end

-- number, sqlstate; passes: a later attempt may succeed; says: a part of the message; cut: sessions do not survive
-- their next reset, or not even the fault; gone: nobody answers; mend: besides what `restore` does. A strike may
-- return what mends it.
local faults = {
  { "max_connections", 1040, "HY000", passes = true, says = "Too many connections", strike = crowd },
  { "max_user_connections", 1203, "42000", passes = true, says = "max_user_connections", strike = function()
    s:sql "SET GLOBAL max_user_connections = 1"
    return function()
      s:sql "SET GLOBAL max_user_connections = 100"
    end
  end },
  { "max_user_connections of the account", 1226, "42000", passes = true, says = "max_user_connections",
    strike = for_guest "ALTER USER %s WITH MAX_USER_CONNECTIONS 1" },
  { "max_connections_per_hour", 1226, "42000", passes = true, says = "max_connections_per_hour",
    strike = use_up_the_hour },
  { "another password", 1045, "28000", says = "Access denied", strike = for_guest "ALTER USER %s IDENTIFIED BY 'new'" },
  { "a locked account", dialect.locked_error, "HY000", says = "locked",
    strike = for_guest "ALTER USER %s ACCOUNT LOCK" },
  { "a password that has expired", dialect.expired_error, "HY000", says = dialect.expired_words,
    strike = for_guest "ALTER USER %s PASSWORD EXPIRE",
    mend = for_guest "ALTER USER %s PASSWORD EXPIRE NEVER" },
  { "a dropped user", 1045, "28000", says = "Access denied", cut = true, strike = for_guest "DROP USER %s" },
  { "rights that were revoked", 1044, "42000", says = "Access denied", cut = true,
    strike = for_guest "REVOKE ALL ON house.* FROM %s" },
  { "a dropped database", 1049, "42000", says = "Unknown database 'house'", cut = true, strike = function()
    s:sql "DROP DATABASE house"
  end },
  { "an expired certificate", 2026, "HY000", passes = "perhaps", says = "certificate has expired", tls = true,
    needs = "certificates refused",
    strike = function()
      use_certificate "expired"
      return function()
        use_certificate "good"
      end
    end },
  { "a server that is gone", 2002, "HY000", passes = true, says = "cannot connect to", gone = true, strike = function()
    s:stop()
    return function()
      s:resume()
    end
  end },
}

local modes = { schedulers.plain(), schedulers.cqueues() }

for _, mode in ipairs(modes) do
  local function new(fault, options)
    options.user, options.database, options.wait = options.user or "guest", "house", mode.wait
    options.max_size, options.checkout_timeout = 3, 20
    options.tls = fault.tls and { ca = tls.ca } or nil
    return pools.new(fault.tls and s:tcp_options(options) or s:options(options))
  end

  local function assert_refused(fault, err)
    assert.same({ "connect", fault[2], "no", false }, { err.kind, err.errno, err.executed, err.fatal }, err.message)
    assert.equal(fault[3], err.sqlstate)
    assert.truthy(err.message:find(fault.says, 1, true), err.message)
    if fault.passes ~= "perhaps" then
      assert.equal(fault.passes or false, err.retryable)
    end
  end

  -- The attempts that a checkout made: one where waiting cannot help.
  local function assert_attempts(fault, before, after)
    local attempts = after.connect_failures - before.connect_failures
    assert.equal(before.opened, after.opened)
    assert.is_true(attempts >= 1)
    if fault.passes ~= "perhaps" then
      assert.equal(fault.passes or false, attempts > 1, attempts)
    end
  end

  local function assert_goes_on(fault, pool, held)
    if fault.gone then
      held:release()
      return
    end
    assert.equal(1, assert(held:value "SELECT 1"))
    held:release()
    local again, err = pool:checkout(fault.passes and 0.5 or 20)
    if fault.cut then
      assert_refused(fault, err)
      assert.equal(0, pool:stats().size)
    else
      assert.equal(1, assert(again:value "SELECT 1"))
      assert.equal(1, pool:stats().opened)
      again:release()
    end
  end

  describe(mode.where, function()
    before_each(function()
      s:sql(restore)
      s:sql "FLUSH USER_RESOURCES"
    end)

    after_each(pools.close)

    -- A plain program makes its TLS connections in the thread that uses them, which is a matter of its own.
    local function concerns(fault)
      return mode.wait or not fault.tls
    end

    local function told_and_survived(fault)
      it(("%s is told, and what is connected goes on"):format(fault[1]), function()
        dialect.needs(fault.needs, pending)
        local pool = new(fault, {})
        mode.run(function()
          local held = assert(pool:checkout())
          assert(held:query "SET @left_behind = 1")
          local before = pool:stats()
          local mend = fault.strike()
          local began = cqueues.monotime()
          assert_refused(fault, select(2, pool:checkout(fault.passes and 0.5 or 20)))
          assert.is_true(cqueues.monotime() - began < 10)
          assert_attempts(fault, before, pool:stats())
          assert_goes_on(fault, pool, held)
          if fault.mend then
            fault.mend()
          end
          if mend then
            mend()
          end
          s:sql(restore)
          s:sql "FLUSH USER_RESOURCES"
          whole(pool, 3)
        end)
        ledger.enter("server: " .. fault[1], { faults = 1 })
      end)
    end

    for _, fault in ipairs(faults) do
      if concerns(fault) then
        told_and_survived(fault)
      end
    end

    it("the password is asked again for each connect, so a new one serves the next", function()
      local asked, password = 0, "secret"
      local pool = new({}, {
        password = function()
          asked = asked + 1
          return password
        end,
      })
      mode.run(function()
        local first = assert(pool:checkout())
        for_guest "ALTER USER %s IDENTIFIED BY 'new'"()
        assert.equal(1045, select(3, pool:checkout()))
        assert.equal(2, asked)
        password = "new"
        local second = assert(pool:checkout())
        assert.equal(3, asked)
        assert.equal(2, first:value "SELECT 2", second:value "SELECT 2")
        first:release()
        second:release()
        whole(pool, 3)
        assert.same({ 4, 3 }, { asked, pool:stats().opened })
      end)
    end)
  end)
end
