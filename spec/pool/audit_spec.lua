-- audit: a checkout that looks whether the connection is as it was when new, and closes it where it is not.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"

local s = fixture.shared_server()

after_each(pools.close)

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
      if event ~= "left_open" and (event ~= "reset_refused" or dialect.has "COM_RESET_CONNECTION") then
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

  local limit = dialect.has "a limit of time" and (", %s = 30"):format(dialect.time_variable) or ""

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
        "SET time_zone = '+09:00', autocommit = 0, sql_mode = 'ANSI'" .. limit,
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
      dialect.needs("COM_RESET_CONNECTION", pending)
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
        local now = pools.dirty(pool, sql)
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
      pools.dirty(pool)
      pools.dirty(pool)
      assert.equal(1, #events)
      if dialect.has "COM_RESET_CONNECTION" then
        assert.equal(1, pool:stats().discarded)
      end
      pools.has_opened(2, pool)
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
    local stats = pool:stats()
    assert.same({ 1, 0, 1 }, { stats.size, stats.lent, stats.idle })
  end)

  it("is no reason to lose a connection that died while it was idle", function()
    local pool = new_pool()
    s:sql(("KILL CONNECTION %d"):format(pools.dirty(pool)))
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
    pools.has_opened(1, pool)
  end)

  it("needs no on_event", function()
    local pool = pools.new(s:options { max_size = 1, audit = true })
    local id = leak(pool)
    local conn = assert(pool:checkout())
    assert.not_equal(id, conn:id())
    conn:release()
  end)
end)
