-- A pool whose server is not there: what it says, for how long it tries, and that it serves when the server is back.

local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local sleep = require "spec.support.sleep"

describe("a pool without a server", function()
  local s = fixture.server()

  after_each(pools.close)

  it("says at the end of checkout_timeout why it could not connect, and serves when the server is back", function()
    local pool = pools.new(s:options { checkout_timeout = 0.4 })
    s:stop()
    local conn, err, errno = pool:checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.equal("no", err.executed)
    assert.is_true(err.retryable)
    assert.equal(errno, err.errno)
    assert.is_true(errno >= 2000 and errno < 3000)
    assert.is_truthy(err.message:find(s.socket, 1, true), err.message)
    local stats = pools.stats(pool)
    assert.equal(0, stats.size)
    assert.is_true(stats.connect_failures >= 2) -- it tried again
    s:resume()
    local again <close> = assert(pool:checkout(10)) -- by then another attempt is due
    assert.is_true(again:ping())
  end)

  it("waits for it: a checkout succeeds when the server comes back in time", function()
    local pool = pools.new(s:options { checkout_timeout = 20 })
    s:stop()
    os.execute(("(sleep 0.3; bash spec/servers/server.sh resume '%s') >/dev/null 2>&1 &"):format(s.folder))
    local conn <close> = assert(pool:checkout())
    assert.is_true(conn:ping())
    assert.is_true(pools.stats(pool).connect_failures > 0)
    sleep(0.2) -- until the server's script has seen it too
  end)

  it("fails at once with retries = 0", function()
    local pool = pools.new(s:options { checkout_timeout = 30, retries = 0 })
    s:stop()
    local started = os.time()
    local err = select(2, pool:checkout())
    assert.equal("connect", err.kind)
    assert.is_true(os.time() - started < 20)
    assert.equal(1, pool:stats().connect_failures)
    s:resume()
  end)

  it("fails at once where waiting cannot help: password, database, init_sql", function()
    local started = os.time()
    for errno, options in pairs {
      [1045] = { password = "wrong" },
      [1049] = { database = "nonexistent" },
      [1064] = { init_sql = { "SET @a = 1", "NONSENSE" } },
      [1193] = { init_sql = "SET nonsense = 1" },
      [1115] = { charset = "nonsense", collation = "nonsense_bin" },
    } do
      options.checkout_timeout = 30
      local pool = pools.new(s:options(options))
      local conn, err = pool:checkout()
      assert.is_nil(conn)
      assert.equal("connect", err.kind)
      if not options.charset then -- libmariadb refuses that by a number of its own
        assert.equal(errno, err.errno)
      end
      assert.is_false(err.retryable, err)
      assert.equal(0, pools.stats(pool).size)
    end
    assert.is_true(os.time() - started < 20)
  end)

  it("ends a checkout in time when the server does not answer a connect", function()
    local pool = pools.new(s:options { checkout_timeout = 0.2 })
    s:pause()
    local conn, err = pool:checkout()
    s:continue()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    assert.equal(0, pools.stats(pool).size)
    assert.is_true(pool:ping())
  end)

  it("ends a checkout in time when the server does not answer a reset", function()
    local pool, conn = pools.lend(s:options { max_size = 1, checkout_timeout = 0.2 })
    conn:query "SELECT 1"
    s:pause()
    conn:release()
    local again, err = pool:checkout()
    s:continue()
    assert.is_nil(again)
    assert.is_true(err.kind == "timeout" or err.kind == "connect", err.kind)
    assert.equal("no", err.executed)
    pools.stats(pool)
    assert.is_true(pool:ping())
  end)

  it("ends a query in time when the server does not answer it", function()
    local pool, conn = pools.lend(s:options { query_timeout = 0.2 })
    s:pause()
    local result, err = conn:query "SELECT 1"
    s:continue()
    assert.is_nil(result)
    assert.same({ "timeout", "unknown", true, false }, { err.kind, err.executed, err.fatal, err.retryable })
    conn:release()
    assert.same({ 1, 0 }, { pools.stats(pool).timeouts, pool:stats().lent })
    assert.is_true(pool:ping())
  end)

  it("takes the time limit of one statement from its options", function()
    local pool = pools.new(s:options { query_timeout = 30 })
    local result, err = pool:query { "SELECT SLEEP(20)", timeout = 0.1 }
    assert.is_nil(result)
    assert.equal("timeout", err.kind)
    assert.equal(0, pool:value { "SELECT SLEEP(0.2)", timeout = 10 })
  end)

  it("refuses more connections than the server has, and recovers", function()
    s:sql "SET GLOBAL max_connections = 10"
    local pool = pools.new(s:options { max_size = 30, checkout_timeout = 0.2 })
    local held, err = {}, nil -- luacheck: ignore
    repeat
      held[#held + 1], err = pool:checkout()
    until err or #held > 20
    assert.same({ "connect", 1040, true }, { err.kind, err.errno, err.retryable })
    assert(held[1]:query "SET GLOBAL max_connections = 151")
    for i = 1, #held do
      held[i]:release()
    end
    assert.is_true(pool:ping())
    pools.stats(pool)
  end)
end)
