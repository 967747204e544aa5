-- The flight: all that a reset sends at once, however long it is.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local monotime = require("cqueues").monotime
local mypool = require "mypool"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local scheduler = require "spec.support.scheduler"
local tls = require "spec.servers.tls"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local s = fixture.server { tls = true, options = { "--max-allowed-packet=64M" } }

setup(function()
  s:sql "CREATE TABLE app.victim (a INT); INSERT INTO app.victim VALUES (1)"
end)

after_each(pools.close)

describe("a statement that does not fit into one packet", function()
  local LONGEST = 2 ^ 24 - 3

  -- A statement of so many bytes. A reader that takes its length for `length % 2 ^ 24` finds a command in the value.
  local function statement(length)
    local command = "\3DELETE FROM victim"
    local packet = ("<I3B"):pack(#command, 0) .. command
    local head = "SET @x = '"
    local before = math.max(0, length + 1 - 2 ^ 24)
    local text = head .. ("z"):rep(before - #head) .. packet
    return text .. ("y"):rep(length - #text - 1) .. "'"
  end

  for _, more in ipairs { 1, 100 } do
    it(("is refused in on_connect, with %d bytes too many"):format(more), function()
      local text, refusal = statement(LONGEST + more)
      local pool = pools.new(s:options {
        max_size = 1,
        on_connect = function(conn)
          local ok, err = conn:query(text)
          refusal = err
          return ok, err
        end,
      })
      local value, err = pool:value "SELECT LENGTH(@x)"
      assert.is_nil(value)
      assert.equal(refusal, err)
      assert.truthy(err.message:find("on_connect", 1, true), err.message)
      assert.same({ "server", 1153, "no" }, { err.kind, err.errno, err.executed })
      assert.same({ false, false }, { err.retryable, err.fatal })
      assert.equal("1", s:sql("SELECT COUNT(*) FROM app.victim")[1])
    end)

    it(("is refused as init_sql, with %d bytes too many"):format(more), function()
      local text = statement(LONGEST + more):gsub("\0", "0")
      for _, init_sql in ipairs { text, { "SET @y = 1", text } } do
        mistake("'init_sql' (statements of less than 16 MiB, not one of ", function()
          mypool.new(s:options { init_sql = init_sql })
        end)
      end
    end)
  end

  it("may run later in the loan", function()
    local pool = pools.new(s:options { max_size = 1, on_connect = function() end })
    local conn <close> = assert(pool:checkout())
    assert(conn:query(statement(LONGEST + 100)))
    assert.equal(LONGEST + 100 - #"SET @x = ''", conn:value "SELECT LENGTH(@x)")
  end)
end)

-- ================================================================================================

-- How to get there, the second through whatever stands between.
local transports = {
  socket = function(more)
    return s:options(more)
  end,
  tcp = function(more, through)
    local options = s:tcp_options(more)
    options.port = through and through.port or options.port
    return options
  end,
  tls = function(more, through)
    local options = s:tcp_options(more)
    options.port = through and through.port or options.port
    options.tls, options.server_public_key = { ca = tls.ca }, nil
    return options
  end,
}

-- What is long in a session's baseline, and a statement that proves it complete.
local contents = {
  ["a long statement"] = {
    on_connect = function(conn)
      return conn:query("SET @a = ?", ("x"):rep(1000000))
    end,
    check = "SELECT LENGTH(@a) = 1000000",
  },
  ["long statements between short ones"] = {
    init_sql = { "SET @a = 1", "SET @b = '" .. ("y"):rep(300000) .. "'", "SET @a = @a + 1" },
    on_connect = function(conn)
      assert(conn:query("SET @c = ?, @a = @a + 1", ("z"):rep(100000)))
      return conn:query "SET @a = @a + 1"
    end,
    check = "SELECT @a = 4 AND LENGTH(@b) = 300000 AND LENGTH(@c) = 100000",
  },
  ["many short statements"] = {
    on_connect = function(conn)
      assert(conn:query "SET @a = 0")
      for i = 1, 1000 do
        assert(conn:query("SET @a = @a + ?, @name = ?", i, ("n"):rep(50)))
      end
    end,
    check = "SELECT @a = 500500",
  },
  -- More than the server may send before anybody reads it.
  ["statements whose rows are many"] = {
    init_sql = { "SET @a = 1", ("SELECT REPEAT('%s', 30) FROM seq_1_to_300"):format(("r"):rep(1000)), "SET @b = 2" },
    on_connect = function(conn)
      return conn:query("SET @c = ?", ("z"):rep(1000000))
    end,
    check = "SELECT @a + @b = 3 AND LENGTH(@c) = 1000000",
  },
}

for transport, options_of in pairs(transports) do
  describe("a long flight over " .. transport, function()
    for name, content in pairs(contents) do
      it("leads back to a baseline of " .. name, function()
        local events = {}
        local pool = pools.new(options_of {
          max_size = 1,
          init_sql = content.init_sql,
          on_connect = content.on_connect,
          on_event = function(event)
            events[#events + 1] = event
          end,
        })
        for _ = 1, 3 do
          pool:with(function(conn)
            assert.equal(1, conn:value(content.check))
            assert.is_nil((conn:value "SELECT @mine"))
            assert(conn:query "SET @mine = 1, @a = 7, @b = '', @c = ''")
          end)
        end
        pool:with(function(conn)
          assert(conn:query "SET @a = ''")
          assert.is_true(conn:reset())
          assert.equal(1, conn:value(content.check))
        end)
        local stats = pool:stats()
        assert.same({ 1, 0 }, { stats.opened, stats.resets_failed })
        assert.same({}, events)
      end)
    end
  end)
end

describe("a long flight", function()
  local long = contents["a long statement"]

  it("may hold a statement as long as one may be", function()
    local pool = pools.new(s:tcp_options {
      max_size = 1,
      on_connect = function(conn)
        return conn:query("SET @a = '" .. ("x"):rep(2 ^ 24 - 3 - #"SET @a = ''") .. "'")
      end,
    })
    for _ = 1, 2 do
      assert.equal(2 ^ 24 - 14, pool:value "SELECT LENGTH(@a)")
    end
    assert.same({ 1, 0 }, { pool:stats().opened, pool:stats().resets_failed })
  end)

  it("leads a session back whose statement met its time limit", function()
    local pool = pools.new(s:options { max_size = 1, on_connect = long.on_connect })
    pool:with(function(conn)
      local _, err = conn:query { "DO SLEEP(10)", timeout = 0.1 }
      assert.equal("timeout", err.kind)
    end)
    assert.equal(1, pool:value(long.check))
    assert.equal(1, pool:stats().opened)
  end)

  it("may be sent long after its release: the server has its time from then on", function()
    local pool = pools.new(s:options { max_size = 1, connect_timeout = 0.2, on_connect = long.on_connect })
    for _ = 1, 3 do
      assert.equal(1, pool:value(long.check))
      os.execute "sleep 0.3"
    end
    assert.same({ 1, 0 }, { pool:stats().opened, pool:stats().resets_failed })
  end)

  it("lets others run while it is sent", function()
    local r = relay.start(s)
    local pool = pools.new(transports.tcp({ max_size = 1, on_connect = long.on_connect, wait = scheduler.wait }, r))
    local turns = 0
    scheduler.run(function()
      assert.equal(1, assert(pool:value(long.check)))
      r:throttle(4000000)
      local before = turns
      assert.equal(1, assert(pool:value(long.check)))
      assert.is_true(turns > before + 5, turns - before)
      turns = nil
    end, function()
      while turns do
        turns = turns + 1
        scheduler.sleep(0.002)
      end
    end)
    assert.same({ 1, 0 }, { pool:stats().opened, pool:stats().resets_failed })
    pool:close()
    r:stop()
  end)

  for _, transport in ipairs { "tcp", "tls" } do
    it("holds up no release over " .. transport .. ", and no checkout for longer than its time", function()
      local r = relay.start(s)
      local pool = pools.new(transports[transport]({
        max_size = 1,
        connect_timeout = 1,
        checkout_timeout = 1.5,
        on_connect = long.on_connect,
      }, r))
      for way = 1, 2 do
        local conn = assert(pool:checkout())
        assert.equal(1, conn:value(long.check))
        if way == 1 then
          r:hold()
        else
          r:cut_here("up", 100000, "hold")
        end
        local began = monotime()
        conn:release()
        local released = monotime()
        assert.is_true(released - began < 0.9, released - began)
        if way == 1 then
          assert.is_nil((pool:checkout()))
          assert.is_true(monotime() - released < 6)
          r:release()
        end
        assert.equal(1, assert(pool:value(long.check)))
      end
      pool:close()
      r:stop()
    end)
  end
end)
