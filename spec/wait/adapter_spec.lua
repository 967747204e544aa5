-- What an adapter is told: which connection waits, and which one its program holds for longer than one call.

local core = require "mypool.core"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"

local s = fixture.server()

after_each(pools.close)

local function new(adapter, options)
  options = options or {}
  options.wait = adapter
  return pools.new(s:options(options))
end

local function is_connection(value)
  return getmetatable(value) == false and tostring(value):find "^mypool.connection" ~= nil
end

describe("wait", function()
  it("is told of the connection that waits: its checkout, its statements", function()
    local handles = {}
    local pool = new(function(fd, seconds, handle)
      handles[#handles + 1] = handle
      return core.poll(fd, seconds)
    end)
    local conn = assert(pool:checkout())
    assert(#handles > 0, "the connect did not wait")
    for _, handle in ipairs(handles) do
      assert.equal(conn, handle)
    end
    handles = {}
    assert(conn:query "DO SLEEP(0.01)")
    assert.equal(conn, handles[1])
    conn:release()
  end)

  it("is told of none by pool:close", function()
    local values
    local pool = new(function(fd, seconds, ...)
      values = { n = select("#", ...), ... }
      return core.poll(fd, seconds)
    end)
    local conn <close> = assert(pool:checkout())
    assert(conn:ping())
    values = nil
    pool:close(0.01)
    assert.is_nil(values[1])
  end)

  -- A pool of one connection whose waits yield once, and a function that returns the handle that waits.
  local function new_yielding()
    local waiting
    local pool = new(function(fd, seconds, handle)
      waiting = handle
      if coroutine.isyieldable() then
        coroutine.yield()
      end
      return core.poll(fd, seconds)
    end, { max_size = 1 })
    return pool, function()
      return waiting
    end
  end

  it("may abandon a connection for a coroutine that will not be resumed: its statement is stopped", function()
    local pool, waiting = new_yielding()
    assert(pool:ping())
    local dead = coroutine.create(function()
      pool:query "SELECT 'abandoned', SLEEP(30)"
    end)
    repeat
      assert(coroutine.resume(dead))
    until #s:sql "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT ''abandoned%'" > 0
    core.abandon(waiting())
    assert.equal(7, pool:value "SELECT 7")
    assert.equal(0, pool:stats().lent)
    assert.equal(1, pool:stats().abandoned)
    assert.equal(0, pool:stats().forgotten)
    pools.has_opened(1, pool)
    assert(dead)
  end)

  it("which abandons a place in line frees it", function()
    local pool, waiting = new_yielding()
    local conn = assert(pool:checkout())
    local dead = coroutine.create(function()
      pool:checkout()
    end)
    assert(coroutine.resume(dead))
    assert.equal(1, pool:stats().waiting)
    core.abandon(waiting())
    assert.equal(0, pool:stats().waiting)
    conn:release()
    assert(pool:ping())
    assert.equal(1, pool:stats().abandoned)
  end)
end)

describe("lent", function()
  local lent, pool

  before_each(function()
    lent = {}
    pool = new {
      wait = core.poll,
      lent = function(handle)
        lent[#lent + 1] = handle
      end,
    }
  end)

  it("is told of the connection at the end of checkout", function()
    local conn <close> = assert(pool:checkout())
    assert.equal(1, #lent)
    assert.equal(conn, lent[1])
  end)

  for name, use in pairs {
    with = function()
      pool:with(function() end)
    end,
    begin = function()
      assert(pool:begin()):rollback()
    end,
    transaction = function()
      pool:transaction(function() end)
    end,
    rows = function()
      for _ in pool:rows "SELECT 1" do
        assert.equal(1, #lent)
      end
    end,
  } do
    it(("is told of the connection of %s"):format(name), function()
      use()
      assert.equal(1, #lent)
      assert(is_connection(lent[1]))
    end)
  end

  it("is told of none that is lent for a single call", function()
    assert(pool:query "SELECT 1")
    assert(pool:one "SELECT 1")
    assert(pool:value "SELECT 1")
    assert(pool:ping())
    assert.equal(0, #lent)
  end)

  it("which raises loses no slot", function()
    local raising = new({
      wait = core.poll,
      lent = function()
        error("no", 0)
      end,
    }, { max_size = 1 })
    for _ = 1, 3 do
      assert.has_error(function()
        raising:checkout()
      end, "no")
      assert.has_error(function()
        raising:with(function() end)
      end, "no")
    end
    assert.equal(0, raising:stats().lent)
  end)

  it("is a function", function()
    local expected = "function, or table of the functions wait, forget, lent, park and unpark, expected"
    mistake("new: bad option 'wait' (" .. expected, function()
      mypool.new { wait = { wait = core.poll, lent = 7 } }
    end)
  end)
end)
