-- on_connect: a function of the program that makes each new connection ready, once, and whose statements are part of
-- what each reset leads back to.

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"

local s = fixture.shared_server()

after_each(pools.close)

-- An on_connect.
local function say_who(conn)
  assert(conn:query "SET @who = 'init'")
end

local function sizes(pool)
  local stats = pool:stats()
  return { stats.size, stats.lent, stats.idle }
end

describe("on_connect", function()
  local calls

  before_each(function()
    calls = {}
  end)

  local function new_pool(on_connect, more)
    local options = s:options(more)
    options.max_size = options.max_size or 1
    function options.on_connect(conn)
      calls[#calls + 1] = conn:id()
      return on_connect(conn)
    end
    return pools.new(options)
  end

  it("runs once for each session, before its first borrower sees it", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool(say_who, { max_size = 2 })
    assert.same({}, calls)
    local one, two = assert(pool:checkout()), assert(pool:checkout())
    local ids = { one:id(), two:id() }
    assert.same(ids, calls)
    assert.equal("init", one:value "SELECT @who")
    assert.equal("init", two:value "SELECT @who")
    one:release()
    two:release()
    for _ = 1, 5 do
      pools.dirty(pool)
    end
    assert(pool:ping())
    assert.same(ids, calls)
    assert.equal(2, pool:stats().opened)
  end)

  it("makes part of what each reset leads back to", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool(function(conn)
      assert(conn:query "SET @who = 'init', time_zone = '+03:00'")
      assert(conn:query "CREATE TEMPORARY TABLE app.basket AS SELECT 7 AS n")
      assert(conn:query "USE mysql")
    end)
    local id
    for _ = 1, 3 do
      local conn = assert(pool:checkout())
      id = id or conn:id()
      assert.equal(id, conn:id())
      assert.same(
        { "init", "+03:00", "mysql", 7 },
        conn:one { "SELECT @who, @@time_zone, DATABASE(), (SELECT n FROM app.basket)", rows = "array" }
      )
      assert(conn:query "SET @who = 'me', time_zone = '+05:00'")
      assert(conn:query "UPDATE app.basket SET n = 8")
      assert(conn:query "USE app")
      conn:release()
    end
    assert.equal(1, #calls)
  end)

  it("is in force after conn:reset() too", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool(say_who)
    local conn = assert(pool:checkout())
    assert(conn:query "SET @who = 'me'")
    assert.is_true(conn:reset())
    assert.equal("init", conn:value "SELECT @who")
    conn:release()
  end)

  it("is repeated with the parameters that it gave", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local secret = "it's \\ a ? \"secret\"; -- \u{e9}\0\xff"
    local pool = new_pool(function(conn)
      assert(conn:query("SET @secret = ?, @n = ?, @none = ?", secret, 42, nil))
      assert(conn:query("SET @later = ?", mypool.binary "\1\2\3"))
    end)
    local id
    for _ = 1, 3 do
      local conn = assert(pool:checkout())
      id = id or conn:id()
      assert.equal(id, conn:id())
      local row = assert(conn:one { "SELECT HEX(@secret), @n, @none IS NULL, HEX(@later)", rows = "array" })
      local hex = secret:gsub(".", function(byte)
        return ("%02X"):format(byte:byte())
      end)
      assert.same({ hex, 42, 1, "010203" }, { row[1], tonumber(row[2]), row[3], row[4] })
      assert(conn:query "SET @secret = 'mine', @n = 0, @none = 1, @later = 0")
      conn:release()
    end
  end)

  it("may read rows", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool(function(conn)
      for row in conn:rows "SELECT seq FROM seq_1_to_10" do
        if row.seq == 5 then
          break
        end
      end
      assert(conn:query("SET @who = ?", tostring((conn:value "SELECT 6 * 7"))))
    end)
    local id = pools.dirty(pool)
    local conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert.equal("42", conn:value "SELECT @who")
    conn:release()
  end)

  it("that changes nothing is no use, and no harm", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool(function() end)
    assert.equal(pools.dirty(pool), pools.dirty(pool))
    assert.equal(1, #calls)
  end)

  it("is not shown to those who run nothing: no reset is sent for it", function()
    local pool = new_pool(say_who)
    assert(pool:checkout()):release()
    assert.equal(0, pool:stats().resets_sent)
    assert.equal("init", (pool:value "SELECT @who"))
  end)

  it("that returns nil and an error fails the checkout with it", function()
    local failing = true
    local reason = { "not today" }
    local pool = new_pool(function(conn)
      assert(conn:query "SET @who = 'init'")
      if failing then
        return nil, reason, 17, "HY000"
      end
    end)
    for i = 1, 3 do
      local conn, err, errno, sqlstate = pool:checkout()
      assert.is_nil(conn)
      assert.equal(reason, err)
      assert.same({ 17, "HY000" }, { errno, sqlstate })
      assert.equal(i, #calls)
      assert.same({ 0, 0, 0 }, sizes(pool))
    end
    failing = false
    assert.equal("init", (pool:value "SELECT @who"))
  end)

  it("may return any kind of error", function()
    for _, reason in ipairs { "text", 17, true, { kind = "mine" } } do
      local pool = new_pool(function()
        return nil, reason
      end)
      local conn, err = pool:checkout()
      assert.is_nil(conn)
      assert.equal(reason, err)
      local ok, same = pool:query "SELECT 1"
      assert.same({ nil, reason }, { ok, same })
      assert.same({ 0, 0, 0 }, sizes(pool))
      pool:close()
    end
  end)

  it("may return an error that bears no look at its fields", function()
    local reason = setmetatable({}, {
      __index = function()
        error "looked at"
      end,
    })
    local pool = new_pool(function()
      return nil, reason
    end)
    local conn, err = pool:checkout()
    assert.is_nil(conn)
    assert.is_true(rawequal(reason, err))
  end)

  it("returns what the server said", function()
    local pool = new_pool(function(conn)
      return conn:query "SELECT * FROM nowhere"
    end)
    local conn, err, errno = pool:checkout()
    assert.is_nil(conn)
    assert.equal("server", err.kind)
    assert.equal(1146, errno)
    assert.same({ 0, 0, 0 }, sizes(pool))
  end)

  it("that raises raises out of the checkout, and loses nothing", function()
    local reason = setmetatable({}, { __name = "reason" })
    local failing = true
    local pool = new_pool(function()
      if failing then
        error(reason)
      end
    end)
    for _, call in ipairs {
      function()
        return pool:checkout()
      end,
      function()
        return pool:query "SELECT 1"
      end,
      function()
        return pool:with(function() end)
      end,
      function()
        return pool:transaction(function() end)
      end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.equal(reason, err)
      assert.same({ 0, 0, 0 }, sizes(pool))
    end
    failing = false
    assert.equal(1, (pool:value "SELECT 1"))
  end)

  for _, method in ipairs { "release", "discard" } do
    it("cannot give its connection away by " .. method, function()
      local pool = new_pool(function(conn)
        conn[method](conn)
      end)
      for _ = 1, 2 do
        local ok, message = pcall(function()
          local conn = pool:checkout()
          return conn
        end)
        assert.is_false(ok)
        assert.truthy(tostring(message):find "on_connect", message)
        assert.truthy(tostring(message):find "released", message)
        assert.same({ 0, 0, 0 }, sizes(pool))
      end
    end)
  end

  it("that loses its session fails the checkout", function()
    local kill = true
    local pool = new_pool(function(conn)
      if kill then
        conn:query(("KILL CONNECTION %d"):format(conn:id()))
      end
      return conn:query "SET @who = 'init'"
    end)
    local conn, err = pool:checkout()
    assert.is_nil(conn)
    assert.equal("lost", err.kind)
    assert.same({ 0, 0, 0 }, sizes(pool))
    kill = false
    assert.equal("init", (pool:value "SELECT @who"))
  end)

  it("runs again for the session that replaces a dead one", function()
    local pool = new_pool(say_who)
    local id = pools.dirty(pool)
    s:sql(("KILL CONNECTION %d"):format(id))
    local conn = assert(pool:checkout())
    assert.not_equal(id, conn:id())
    assert.equal("init", conn:value "SELECT @who")
    conn:release()
    assert.equal(2, #calls)
  end)

  it("may wait while other coroutines run", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool(function(conn)
      assert(conn:query "DO SLEEP(0.05)")
      assert(conn:query "SET @who = 'init'")
    end, { max_size = 3, wait = scheduler.wait })
    local ticks, lent = 0, 0
    local function borrow()
      local conn = assert(pool:checkout())
      assert.equal("init", conn:value "SELECT @who")
      assert(conn:query "SET @who = 'me'")
      scheduler.sleep(0.02)
      conn:release()
      lent = lent + 1
    end
    scheduler.run(borrow, borrow, borrow, borrow, borrow, function()
      while lent < 5 do
        ticks = ticks + 1
        scheduler.sleep(0.005)
      end
    end)
    assert.is_true(ticks > 5, ticks)
    assert.equal(pool:stats().opened, #calls)
    assert.is_true(#calls <= 3)
  end)

  it("that is never finished leaves no half-made session", function()
    local pool
    local half = true
    pool = new_pool(function(conn)
      if half then
        coroutine.yield()
      end
      assert(conn:query "SET @who = 'init'")
    end, { checkout_timeout = 1 })
    local co = coroutine.create(function()
      return pool:checkout()
    end)
    assert(coroutine.resume(co))
    assert.equal(1, pool:stats().lent)
    coroutine.close(co)
    co = nil -- luacheck: ignore 311
    warn "@off"
    collectgarbage()
    collectgarbage()
    warn "@on"
    half = false
    assert.equal("init", (pool:value "SELECT @who"))
    assert.equal(2, #calls)
  end)

  it("comes after init_sql", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool(function(conn)
      assert.equal("init_sql", conn:value "SELECT @who")
      assert(conn:query "SET @who = CONCAT(@who, ', on_connect')")
    end, { init_sql = "SET @who = 'init_sql'" })
    for _ = 1, 3 do
      local conn = assert(pool:checkout())
      assert.equal("init_sql, on_connect", conn:value "SELECT @who")
      assert(conn:query "SET @who = 'me'")
      conn:release()
    end
    assert.equal(1, #calls)
  end)
end)
