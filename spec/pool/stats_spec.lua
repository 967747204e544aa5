-- What a pool counts.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"
local sleep = require "spec.support.sleep"

describe("pool:stats", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("counts from nothing", function()
    local stats = pools.new(s:options()):stats()
    local hosts = stats.hosts
    assert.equal(1, #hosts)
    assert.equal("unknown", hosts[1].standing)
    stats.hosts = nil
    assert.equal(10, stats.max_size)
    stats.max_size = 0
    for name, count in pairs(stats) do
      assert.equal(0, count, name)
    end
    for _, name in ipairs { "reset_wait", "wait_time", "lent_time", "connect_time" } do
      assert.equal("float", math.type(stats[name]))
    end
    assert.equal("integer", math.type(stats.size))
  end)

  it("adds up, whatever becomes of the connections", function()
    local pool = pools.new(s:options { max_size = 3 })
    local a, b, c = pool:checkout(), pool:checkout(), pool:checkout()
    assert.equal(3, pools.stats(pool).lent)
    a:query "SELECT 1"
    a:release()
    b:discard()
    local stats = pools.stats(pool)
    assert.same({ 2, 1, 1, 1, 1 }, { stats.size, stats.idle, stats.lent, stats.discarded, stats.resets_sent })
    pool:evict()
    stats = pools.stats(pool)
    assert.same({ 1, 0, 1, 1 }, { stats.size, stats.idle, stats.lent, stats.retired })
    c:release()
    stats = pools.stats(pool)
    assert.same({ 0, 2, 3, 3 }, { stats.size, stats.retired, stats.opened, stats.closed })
    assert.equal(3, stats.checkouts)
    assert.is_nil((pool:query "SELECT"))
    stats = pools.stats(pool)
    assert.same({ 1, 4, 2 }, { stats.idle, stats.checkouts, stats.resets_sent })
  end)

  it("counts as hidden a reset whose reply had come before the next loan", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = pools.new(s:options { max_size = 1 })
    local loans = 0
    repeat -- a loaded machine may need more than one pause until a reply is there in time
      loans = loans + 1
      assert.equal(1, pool:value "SELECT 1")
      sleep(0.05)
      assert.is_true(pool:ping())
      local stats = pool:stats()
      assert.equal(loans, stats.resets_hidden + stats.resets_waited)
    until stats.resets_hidden > 0 or loans == 200
    assert.is_true(pool:stats().resets_hidden > 0)
  end)

  it("sends no reset for a loan that ran nothing", function()
    local pool = pools.new(s:options())
    pool:checkout():release()
    pool:checkout():release()
    assert.equal(0, pool:stats().resets_sent)
  end)

  it("counts a reset whose reply was waited for", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = pools.new(s:options { max_size = 1 })
    for _ = 1, 20 do
      assert.equal(1, pool:value "SELECT 1")
    end
    local stats = pools.stats(pool)
    assert.equal(20, stats.resets_sent)
    assert.equal(19, stats.resets_hidden + stats.resets_waited)
    assert.is_true(stats.resets_waited == 0 or stats.reset_wait > 0)
  end)

  it("counts the statements of the program, and none of mypool's own", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = pools.new(s:options {
      max_size = 1,
      audit = true,
      init_sql = "SET @a = 1",
      on_connect = function(conn)
        return conn:query "SET @b = 2"
      end,
    })
    local conn = assert(pool:checkout())
    local before = pool:stats().statements
    assert.equal(1, before) -- of on_connect
    local function counts(wanted, fn)
      fn()
      local now = pool:stats().statements
      assert.equal(wanted, now - before)
      before = now
    end
    counts(4, function()
      assert(conn:query "SELECT 1")
      assert(conn:one("SELECT ?", 1))
      assert(conn:value "SELECT 1")
      assert.is_nil((conn:query "SELECT nothing"))
    end)
    counts(1, function()
      for _ in assert(conn:rows "SELECT 1 UNION SELECT 2") do -- luacheck: ignore
      end
    end)
    counts(2, function()
      local statement = assert(conn:prepare "SELECT ?")
      assert(statement:execute(1))
      assert(statement:value(2))
    end)
    counts(0, function()
      assert(conn:ping())
      assert(conn:warnings())
      assert(conn:reset())
      pcall(conn.query, conn, "SELECT ?")
    end)
    counts(3, function()
      assert(conn:transaction(function(tx)
        return tx:value "SELECT 1"
      end))
    end)
    assert(conn:query "CREATE TEMPORARY TABLE counted (id INT)")
    before = before + 1
    counts(1, function()
      assert(conn:execute_many("INSERT INTO counted VALUES (?)", { { 1 }, { 2 } }))
    end)
    counts(1, function()
      pcall(conn.execute_many, conn, "INSERT INTO counted VALUES (?)", { { 1 }, { {} } })
    end)
    counts(1, function()
      assert(conn:query "DO 1")
    end)
    conn:release()
  end)

  it("counts how often transaction called its function again", function()
    local pool = pools.new(s:options())
    local runs = 0
    assert(pool:transaction(function(tx)
      runs = runs + 1
      if runs < 3 then
        return tx:query "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"
      end
    end))
    assert.equal(2, pool:stats().transactions_rerun)
  end)

  it("counts the time of loans and of connects", function()
    local pool = pools.new(s:options())
    local conn = assert(pool:checkout())
    sleep(0.05)
    assert.equal(0, pool:stats().lent_time)
    conn:release()
    local stats = pool:stats()
    assert.is_true(stats.lent_time >= 0.05)
    assert.is_true(stats.connect_time > 0)
    assert.is_true(pool:ping())
    assert.equal(stats.connect_time, pool:stats().connect_time)
  end)

  it("counts who waited for what others held, also in vain", function()
    local pool = pools.new(s:options { max_size = 1, wait = scheduler.wait })
    local served, failed = false, false
    local conn = assert(pool:checkout())
    scheduler.run(function()
      failed = pool:checkout(0.05) == nil
      scheduler.await(function()
        return pool:stats().waiting == 1
      end)
      conn:release()
    end, function()
      served = pool:value "SELECT 1" == 1
    end)
    assert.same({ true, true }, { failed, served })
    local stats = pool:stats()
    assert.equal(2, stats.waits)
    assert.is_true(stats.wait_time >= 0.05)
  end)
end)
