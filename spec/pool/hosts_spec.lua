-- A pool over several servers: whom it serves from where, and what it says of them. The rules stand in
-- spec/c/hosts_spec.c.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local sleep = require "spec.support.sleep"

describe("a pool over several servers", function()
  local a, b = fixture.server(), fixture.server()

  local function new(servers, options)
    dialect.needs("trust without proof", pending) -- each of two servers has a key of its own
    return pools.new(a:hosts_options(servers, options))
  end

  local function ports(pool, count)
    local seen = {}
    for _ = 1, count do
      local port = assert(pool:value "SELECT @@port")
      seen[port] = (seen[port] or 0) + 1
    end
    return seen
  end

  after_each(pools.close)

  it("serves from the first one, and says from which", function()
    local pool = new { a, b }
    local conn <close> = assert(pool:checkout())
    assert.equal(a:address(), conn:host())
    assert.equal(a.port, conn:value "SELECT @@port")
    local _, err = conn:query "SELECT * FROM no_such_table"
    assert.equal(a:address(), err.host)
    assert.equal("well", pools.about(pool, a).standing)
    assert.equal("unknown", pools.about(pool, b).standing)
    assert.equal(1, pools.about(pool, a).lent)
  end)

  it("takes them from a DSN, too", function()
    local dsn = "mariadb://%s:%s@%s,%s/%s?balance=spread&max_size=2"
    dialect.needs("trust without proof", pending)
    local pool = pools.new(dsn:format(a.user, a.password, a:address(), b:address(), a.database))
    local one <close> = assert(pool:checkout())
    local two <close> = assert(pool:checkout())
    assert.are_not.equal(one:host(), two:host())
  end)

  it("spreads loans that follow each other", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new({ a, b }, { balance = "spread", max_size = 4 })
    for _ = 1, 2 do
      local all = { pool:checkout(), pool:checkout(), pool:checkout(), pool:checkout() }
      assert.equal(2, pools.about(pool, a).lent)
      assert.equal(2, pools.about(pool, b).lent)
      pools.release(table.unpack(all))
    end
    local seen = { [a.port] = 0, [b.port] = 0 }
    eventually(function() -- a reset whose answer is late has another one lent
      local port = next(ports(pool, 1))
      seen[port] = seen[port] + 1
      return seen[a.port] >= 10 and seen[b.port] >= 10
    end)
  end)

  it("goes on when one is stopped, without an error, and goes back to it", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local events = {}
    local pool = new({ a, b }, {
      on_event = function(event, details)
        events[#events + 1] = event .. " " .. tostring(details.host)
      end,
    })
    pools.fill(pool, 3)
    a:stop()
    assert.same({ [b.port] = 10 }, ports(pool, 10))
    assert.equal("barred", pools.about(pool, a).standing)
    assert.is_truthy(pools.about(pool, a).last_error)
    a:resume()
    eventually(function()
      return ports(pool, 1)[a.port] == 1
    end)
    assert.equal("well", pools.about(pool, a).standing)
    assert.same({ "host_barred " .. a:address(), "host_well " .. a:address() }, events)
  end)

  it("names each when none can be reached, and its reason", function()
    local reasons
    local pool = new({ "127.0.0.1:1", "nowhere.invalid" }, {
      checkout_timeout = 0.5,
      on_event = function(event, details)
        reasons = event == "no_host" and details.reasons or reasons
      end,
    })
    local _, err = pool:query "SELECT 1"
    assert.equal("connect", err.kind)
    assert.is_true(err.retryable)
    assert.is_nil(err.host)
    assert.is_truthy(err.message:find("127.0.0.1:1: ", 1, true), err.message)
    assert.is_truthy(err.message:find("nowhere.invalid:3306: ", 1, true), err.message)
    assert.is_truthy(reasons["nowhere.invalid:3306"])
  end)

  it("is not stopped by one that is set wrongly", function()
    b:sql "CREATE OR REPLACE USER only_here@'%' IDENTIFIED BY 'secret'"
    local pool = new({ a, b }, { user = "only_here", password = "secret", database = "information_schema" })
    assert.equal(b.port, pool:value "SELECT @@port")
    assert.equal("barred", pools.about(pool, a).standing)
    assert.is_truthy(pools.about(pool, a).last_error:find("only_here", 1, true))
    assert.is_true(pools.about(pool, a).retry_in > 20)
  end)

  it("serves from the second while the first accepts connections and says nothing", function()
    a:pause()
    local pool = new { a, b }
    local port, err = pool:value "SELECT @@port"
    a:continue()
    assert.equal(b.port, port, err)
  end)

  it("drains one that is to be avoided, and evicts one alone", function()
    local pool = new { a, b }
    local conn = assert(pool:checkout())
    pool:avoid(a:address(), 60)
    assert.equal(a.port, conn:value "SELECT @@port")
    conn:release()
    assert.equal(0, pools.about(pool, a).sessions)
    assert.same({ [b.port] = 3 }, ports(pool, 3))
    pool:evict(b:address())
    assert.equal(0, pools.about(pool, b).sessions)
    pool:avoid(a:address(), 0)
    sleep(0.06)
    assert.same({ [a.port] = 3 }, ports(pool, 3))
  end)

  it("sends a statement that a read-only server refuses to another", function()
    dialect.needs("trust without proof", pending)
    a:sql "SET GLOBAL read_only = 1"
    b:sql "CREATE OR REPLACE TABLE app.moved (n INT)"
    a:sql "CREATE OR REPLACE TABLE app.moved (n INT)"
    b:sql "CREATE OR REPLACE USER writer@'%' IDENTIFIED BY 'secret'"
    a:sql "CREATE OR REPLACE USER writer@'%' IDENTIFIED BY 'secret'"
    for _, s in ipairs { a, b } do
      s:sql "GRANT SELECT, INSERT ON app.* TO writer@'%'"
    end
    local pool = new({ a, b }, { user = "writer" })
    local result, err = pool:query "INSERT INTO moved VALUES (1)"
    a:sql "SET GLOBAL read_only = 0"
    assert.equal(1, result and result.affected_rows, err)
    assert.same({ "1" }, b:sql "SELECT COUNT(*) FROM app.moved")
    assert.same({ "0" }, a:sql "SELECT COUNT(*) FROM app.moved")
  end)

  it("raises for a host that it has not", function()
    local pool = new { a }
    local ok, message = pcall(pool.evict, pool, "elsewhere")
    assert.is_false(ok)
    assert.is_truthy(message:find("no host 'elsewhere'; it has " .. a:address(), 1, true), message)
    ok, message = pcall(pool.avoid, pool, a:address())
    assert.is_false(ok)
    assert.is_truthy(message:find("bad argument 'seconds' to 'avoid'", 1, true), message)
  end)
end)
