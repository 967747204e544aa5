-- What a pool does for its user at a checkout: on_connect, on_event, audit.

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local scheduler = require "spec.support.scheduler"

local s = fixture.shared_server()

after_each(pools.close)

-- An on_connect.
local function say_who(conn)
  assert(conn:query "SET @who = 'init'")
end

-- A loan that leaves something behind. Returns the connection's number.
local function dirty(pool, sql)
  local conn = assert(pool:checkout())
  assert(conn:query(sql or "SET @who = 'me', time_zone = '+05:00'"))
  local id = conn:id()
  conn:release()
  return id
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
      dirty(pool)
    end
    assert(pool:ping())
    assert.same(ids, calls)
    assert.equal(2, pool:stats().opened)
  end)

  it("makes part of what each reset leads back to", function()
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
    local pool = new_pool(say_who)
    local conn = assert(pool:checkout())
    assert(conn:query "SET @who = 'me'")
    assert.is_true(conn:reset())
    assert.equal("init", conn:value "SELECT @who")
    conn:release()
  end)

  it("is repeated with the parameters that it gave", function()
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
    local pool = new_pool(function(conn)
      for row in conn:rows "SELECT seq FROM seq_1_to_10" do
        if row.seq == 5 then
          break
        end
      end
      assert(conn:query("SET @who = ?", tostring((conn:value "SELECT 6 * 7"))))
    end)
    local id = dirty(pool)
    local conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert.equal("42", conn:value "SELECT @who")
    conn:release()
  end)

  it("that changes nothing is no use, and no harm", function()
    local pool = new_pool(function() end)
    assert.equal(dirty(pool), dirty(pool))
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
    local id = dirty(pool)
    s:sql(("KILL CONNECTION %d"):format(id))
    local conn = assert(pool:checkout())
    assert.not_equal(id, conn:id())
    assert.equal("init", conn:value "SELECT @who")
    conn:release()
    assert.equal(2, #calls)
  end)

  it("may wait while other coroutines run", function()
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

-- ================================================================================================

describe("audit", function()
  local events

  before_each(function()
    events = {}
  end)

  local function new_pool(more)
    local options = s:options(more)
    options.max_size = options.max_size or 1
    if options.audit == nil then
      options.audit = true
    end
    function options.on_event(event, details)
      if event ~= "left_open" then
        events[#events + 1] = { event, details }
      end
    end
    return pools.new(options)
  end

  -- Makes the session dirty and keeps it from being reset. Returns its number.
  local function leak(pool, sql)
    local conn = assert(pool:checkout())
    assert(conn:query(sql or "SET time_zone = '+05:00'"))
    local id = conn:id()
    conn:release { reset = false }
    return id
  end

  local hooked = {
    ["without on_connect"] = {},
    ["with on_connect"] = {
      on_connect = function(conn)
        assert(conn:query "SET @who = 'init', time_zone = '+03:00'")
      end,
    },
    ["with a baseline of its own"] = {
      autocommit = false,
      init_sql = {
        "SET time_zone = '+09:00', autocommit = 0, sql_mode = 'ANSI', " .. dialect.time_variable .. " = 30",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET NAMES latin1",
        "USE mysql",
      },
    },
  }

  for name, options in pairs(hooked) do
    local function this_pool()
      local copy = {}
      for key, value in pairs(options) do
        copy[key] = value
      end
      return new_pool(copy)
    end

    it(name .. ": finds nothing where sessions are reset", function()
      local pool = this_pool()
      local id
      for _, sql in ipairs {
        "SET time_zone = '-02:00'",
        "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "SET NAMES utf8mb3",
        "START TRANSACTION",
        "SET autocommit = 1 - @@autocommit",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
        "SET SESSION TRANSACTION READ ONLY",
        "USE information_schema",
        "SET foreign_key_checks = 0, unique_checks = 0, " .. dialect.time_variable .. " = 100",
        "SELECT LAST_INSERT_ID(99)",
        "DO 1",
      } do
        local now = dirty(pool, sql)
        id = id or now
        assert.equal(id, now)
      end
      assert(pool:ping())
      assert.same({}, events)
      assert.equal(1, pool:stats().opened)
    end)

    it(name .. ": reports a violation once, and closes the session", function()
      local pool = this_pool()
      local expected = pool:value "SELECT @@time_zone"
      local id = leak(pool)
      local conn = assert(pool:checkout())
      assert.not_equal(id, conn:id())
      assert.equal(expected, conn:value "SELECT @@time_zone")
      conn:release()
      assert.equal(1, #events)
      assert.equal("leak", events[1][1])
      local details = events[1][2]
      assert.same(
        { id, "@@time_zone", expected, "+05:00" },
        { details.id, details.what, details.expected, details.found }
      )
      dirty(pool)
      dirty(pool)
      assert.equal(1, #events)
      assert.equal(1, pool:stats().discarded)
      assert.equal(2, pool:stats().opened)
    end)
  end

  it("remembers no more sessions than the pool has places, however many there were", function()
    local pool = new_pool { max_size = 2 }
    for _ = 1, 10 do
      local one, other = assert(pool:checkout()), assert(pool:checkout())
      one:discard()
      other:discard()
    end
    local count = 0
    for _ in pairs(require("mypool.hooks").options_of[pool].fingerprints) do
      count = count + 1
    end
    assert.equal(2, count)
    assert.same({}, events)
  end)

  it("sees more than time zones", function()
    for what, sql in pairs {
      ["DATABASE()"] = "USE mysql",
      ["@@sql_mode"] = "SET SESSION sql_mode = ''",
      ["@@character_set_client"] = "SET NAMES latin1",
      ["@@" .. dialect.isolation_variable] = "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
      ["@@" .. dialect.read_only_variable] = "SET SESSION TRANSACTION READ ONLY",
      ["@@autocommit"] = "SET autocommit = 0",
      ["@@in_transaction"] = dialect.has "@@in_transaction" and "START TRANSACTION" or nil,
      ["@@foreign_key_checks"] = "SET foreign_key_checks = 0",
      ["LAST_INSERT_ID()"] = "SELECT LAST_INSERT_ID(99)",
    } do
      events = {}
      local pool = new_pool()
      local id = leak(pool, sql)
      local conn = assert(pool:checkout())
      assert.not_equal(id, conn:id(), what)
      conn:release()
      assert.equal(1, #events, what)
      assert.equal(what, events[1][2].what)
      pool:close()
    end
  end)

  it("looks at all that the pool lends", function()
    local pool = new_pool { max_size = 2 }
    local one, two = assert(pool:checkout()), assert(pool:checkout())
    assert(one:query "SET time_zone = '+05:00'")
    assert(two:query "SET time_zone = '+05:00'")
    one:release { reset = false }
    two:release { reset = false }
    assert.not_equal("+05:00", (pool:value "SELECT @@time_zone"))
    assert.equal(2, #events)
    assert.not_equal(events[1][2].id, events[2][2].id)
    assert.same({ 1, 0, 1 }, sizes(pool))
  end)

  it("is no reason to lose a connection that died while it was idle", function()
    local pool = new_pool()
    s:sql(("KILL CONNECTION %d"):format(dirty(pool)))
    assert.equal(1, (pool:value "SELECT 1"))
    assert.same({}, events)
  end)

  it("is off unless asked for", function()
    for _, audit in ipairs { false, "nothing said" } do
      local options = s:options { max_size = 1, on_event = function(event)
        events[#events + 1] = event
      end }
      options.audit = audit == false and audit or nil
      local pool = pools.new(options)
      local id = leak(pool)
      local conn = assert(pool:checkout())
      assert.equal(id, conn:id())
      assert.equal("+05:00", conn:value "SELECT @@time_zone")
      conn:release()
      assert.same({}, events)
    end
  end)

  it("sees values as the server has them, whatever the program makes of them", function()
    local function other()
      return {}
    end
    local more = { types = { varchar = other, int = other, bigint = other, tinyint = other, double = other } }
    more.max_result_bytes = 10
    local pool = new_pool(more)
    assert.equal("table", type(pool:value "SELECT 1"))
    assert.equal("table", type(pool:value "SELECT 'x'"))
    assert.same({}, events)
    assert.equal(1, pool:stats().opened)
  end)

  it("needs no on_event", function()
    local pool = pools.new(s:options { max_size = 1, audit = true })
    local id = leak(pool)
    local conn = assert(pool:checkout())
    assert.not_equal(id, conn:id())
    conn:release()
  end)
end)

-- ================================================================================================

describe("on_event", function()
  local function run(on_event)
    return program(([[
      local mypool = require "mypool"
      local options = %s
      options.on_event = %s
      local pool = mypool.new(options)
      local conn = assert(pool:checkout())
      conn:query "SET time_zone = '+05:00'"
      conn:release { reset = false }
      print("zone", (pool:value "SELECT @@time_zone"))
      pool:close()
    ]]):format(
      ("{ socket = %q, user = %q, password = %q, database = %q, max_size = 1, audit = true }"):format(
        s.socket,
        s.user,
        s.password,
        s.database
      ),
      on_event
    ))
  end

  it("that raises becomes a warning, and the checkout goes on", function()
    for _, what in ipairs { "'of no use'", "{}", "nil" } do
      local printed, ok = run(("function() error(%s) end"):format(what))
      assert.is_true(ok, printed)
      assert.truthy(printed:find "Lua warning: mypool: on_event raised", printed)
      assert.truthy(printed:find "zone\tSYSTEM", printed)
    end
  end)

  it("is told the name of the pool", function()
    local names = {}
    local pool = pools.new(s:options {
      max_size = 1,
      audit = true,
      name = "orders",
      on_event = function(_, details)
        names[#names + 1] = details.pool
      end,
    })
    local conn = assert(pool:checkout())
    assert(conn:query "SET time_zone = '+05:00'")
    conn:release { reset = false }
    assert(pool:query "DO 1")
    assert.same({ "orders" }, names)
  end)
end)
