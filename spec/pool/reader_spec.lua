-- pool:reader: a pool for reading from the servers of another one, whatever becomes of these.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"

describe("pool:reader", function()
  local a, b = fixture.server(), fixture.server()

  local function new(options)
    dialect.needs("trust without proof", pending) -- each of two servers has a key of its own
    return pools.new(a:hosts_options({ a, b }, options))
  end

  local function await_port(pool, port)
    eventually(function()
      return pool:value "SELECT @@port" == port
    end)
  end

  before_each(function()
    b:sql "SET GLOBAL read_only = 0"
    for _, s in ipairs { a, b } do
      s:sql "DROP TABLE IF EXISTS app.t; CREATE TABLE app.t (n INT)"
    end
    b:sql "SET GLOBAL read_only = 1"
  end)

  after_each(pools.close)

  it("reads from the read-only server, while its pool writes to the other", function()
    local pool = new()
    local reader = pool:reader { max_size = 2 }
    assert(pool:query "INSERT INTO t VALUES (1)")
    await_port(reader, b.port)
    assert.equal(a.port, pool:value "SELECT @@port")
  end)

  it("has a write refused by every server, also by one that would let the account write", function()
    local reader = new():reader { max_size = 1 }
    local function expect_refusals(s)
      await_port(reader, s.port)
      for _ = 1, 3 do -- also behind a reset
        local _, err = reader:query "INSERT INTO t VALUES (1)"
        assert.equal(1792, err.errno)
        assert.is_false(err.retryable)
        assert.equal("no", err.executed)
        assert.equal(s:address(), err.host)
      end
    end
    expect_refusals(b)
    b:stop()
    expect_refusals(a)
    b:resume()
    b:sql "SET GLOBAL read_only = 1"
  end)

  it("can write in its init_sql", function()
    local reader = pools.new(a:options { init_sql = "INSERT INTO t VALUES (7)" }):reader()
    assert.equal(7, reader:value "SELECT n FROM t")
    local _, err = reader:query "INSERT INTO t VALUES (1)"
    assert.equal(1792, err.errno)
  end)

  -- Ends the connection whose statement has this mark, once it is there.
  local function end_connection(mark, sleep)
    local sql = "SELECT id FROM information_schema.processlist WHERE info LIKE '%%%s' AND id <> CONNECTION_ID()"
    local id
    repeat
      sleep(0.02)
      id = a:sql(sql:format(mark))[1]
    until id
    a:sql("KILL " .. id)
  end

  it("sends a read again when its connection is lost, unless it says that it is not idempotent", function()
    local scheduler = schedulers.cqueues()
    local reader = pools.new(a:options { wait = scheduler.wait }):reader { max_size = 2 }
    local writer <close> = assert(pools.new(a:options {}):checkout())
    assert(writer:query "LOCK TABLES t WRITE") -- reads wait for it
    local read, lost
    scheduler.run(function()
      read = { reader:value "SELECT 5 + COUNT(*) AS sent_again FROM t" }
    end, function()
      lost = { reader:value { "SELECT 6 + COUNT(*) AS not_again FROM t", idempotent = false } }
    end, function()
      end_connection("sent_again FROM t", scheduler.sleep)
      end_connection("not_again FROM t", scheduler.sleep)
      scheduler.sleep(0.05)
      assert(writer:query "UNLOCK TABLES")
    end)
    assert.equal(5, read[1], read[2])
    assert.equal("lost", lost[2].kind)
  end)

  it("takes the options of its pool, and some of its own", function()
    local pool = new { max_size = 7, min_idle = 5, rows = "array", name = "shop" }
    local reader = pool:reader { max_size = 2, rows = "table", checkout_timeout = 1, query_timeout = 3, name = "books" }
    assert.equal(1, reader:one("SELECT 1 AS n").n)
    assert.equal(1, pool:one("SELECT 1 AS n")[1])
    assert.equal(1, pool:reader():one("SELECT 1 AS n")[1])
    local one <close> = assert(reader:checkout())
    local two <close> = assert(reader:checkout())
    assert.are_not.equal(one:id(), two:id())
    local _, err = reader:checkout()
    assert.is_truthy(err.message:find("pool 'books' exhausted, 2 of 2", 1, true), err.message)
  end)

  it("is that of a pool made of a DSN, and raises what that raises", function()
    dialect.needs("trust without proof", pending)
    local format = "mariadb://%s:%s@%s,%s/%s"
    local dsn = format:format(a.user, a.password, a:address(), b:address(), a.database)
    local dsn_pool = mypool.new(dsn, { errors = "raise" })
    local reader = dsn_pool:reader { max_size = 1 }
    await_port(reader, b.port)
    local ok, err = pcall(reader.query, reader, "INSERT INTO t VALUES (1)")
    assert.is_false(ok)
    assert.equal(1792, err.errno)
    dsn_pool:close()
  end)

  it("refuses what a reader does not take, at the caller's place", function()
    local pool = new()
    for option, value in pairs { hosts = { "a" }, need = "write", reset = "never", user = "me", retries = 1 } do
      mistake("reader: unknown option '" .. option .. "'", function()
        pool:reader { [option] = value }
      end)
    end
    mistake("reader: bad option 'max_size' (integer from 1 to 100000 expected, got 0)", function()
      pool:reader { max_size = 0 }
    end)
    mistake("bad argument 'options' to 'reader' (table expected, got number)", function()
      pool:reader(7)
    end)
    mistake('of a pool with reset = "never"', function()
      new({ reset = "never" }):reader()
    end)
  end)

  it("is closed with its pool, and does not close that", function()
    local pool = new()
    local one, two = pool:reader(), pool:reader()
    assert(one:value "SELECT 1")
    one:close()
    assert.equal(1, pool:value "SELECT 1")
    pool:close()
    local _, err = two:value "SELECT 1"
    assert.equal("closed", err.kind)
    _, err = pool:reader():value "SELECT 1"
    assert.equal("closed", err.kind)
  end)

  it("may be forgotten before its pool is closed", function()
    local pool = pools.new(a:options {})
    for _ = 1, 3 do
      assert(pool:reader():value "SELECT 1")
      collectgarbage()
    end
    assert.is_true(pool:close())
  end)
end)
