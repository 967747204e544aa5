-- Servers and proxies that meet resets with a refusal or with silence, for ever or for a while.

local pools = require "spec.support.pools"
local scheduler = require "spec.support.scheduler"
local scripted_server = require "spec.servers.scripted_server"

local s, events

local function new_pool(more)
  local options = s:options(more)
  options.connect_timeout = options.connect_timeout or 0.4
  options.checkout_timeout = 3
  options.on_event = function(event, details)
    events[#events + 1] = { event, details }
  end
  return pools.new(options)
end

before_each(function()
  events = {}
end)

after_each(function()
  pools.close()
  s:stop()
end)

local function monotime()
  return require("cqueues").monotime()
end

-- A loan that leaves a variable behind. Returns its connection's number.
local function dirty(pool)
  local conn = assert(pool:checkout())
  assert.is_nil((conn:value "SELECT @mine"))
  assert(conn:query "SET @mine = 7")
  assert.equal("7", conn:value "SELECT @mine")
  local id = conn:id()
  conn:release()
  return id
end

local function number(pool, sql)
  return math.tointeger(tonumber((assert(pool:value(sql)))))
end

local function names()
  local found = {}
  for i, event in ipairs(events) do
    found[i] = event[1]
  end
  return table.concat(found, " ")
end

-- words: of the error that conn:reset() returns.
local function costs_the_session(most, words)
  it("costs the session, within connect_timeout", function()
    local pool = new_pool { max_size = 1 }
    local id, began = dirty(pool), monotime()
    local conn = assert(pool:checkout())
    local took = monotime() - began
    assert.is_true(took < most, ("the checkout took %.3f s"):format(took))
    assert.not_equal(id, conn:id())
    assert.is_nil((conn:value "SELECT @mine"))
    conn:release()
    local stats = pool:stats()
    assert.same({ 2, 1 }, { stats.resets_sent, stats.resets_failed })
  end)

  it("costs the session, not the slot, in the middle of a loan too", function()
    local pool = new_pool { max_size = 1 }
    local conn = assert(pool:checkout())
    assert(conn:query "SET @mine = 7")
    local began = monotime()
    local ok, err = conn:reset()
    assert.is_true(monotime() - began < most)
    assert.is_nil(ok)
    assert.equal("no", err.executed)
    assert.is_true(err.fatal)
    assert.matches(words, err.message)
    assert.is_nil(conn:id())
    conn:release()
    dirty(pool)
  end)
end

local function loses_no_checkout(event)
  it("loses no checkout of many at once", function()
    local pool = new_pool { max_size = 2, wait = scheduler.wait }
    local tasks, done = {}, 0
    for i = 1, 6 do
      tasks[i] = function()
        for _ = 1, 2 do
          local conn = assert(pool:checkout())
          assert.is_nil((conn:value "SELECT @mine"))
          assert(conn:query "SET @mine = 7")
          scheduler.sleep(0.002)
          conn:release()
          done = done + 1
        end
      end
    end
    scheduler.run(table.unpack(tasks))
    assert.equal(12, done)
    assert.equal(event, names())
    assert.equal(0, pool:stats().lent)
  end)
end

describe("a server that knows no reset", function()
  before_each(function()
    s = scripted_server.start { reset = "refuse" }
  end)

  costs_the_session(2, "the server does not know how to reset a session")
  loses_no_checkout "reset_refused"

  it("is not asked again once it has said so twice: used sessions are closed", function()
    local pool = new_pool { max_size = 1 }
    local ids = {}
    for i = 1, 6 do
      ids[i] = dirty(pool)
    end
    for i = 2, 6 do
      assert.not_equal(ids[i - 1], ids[i])
    end
    assert.equal(2, number(pool, "SHOW RESETS"))
    local stats = pool:stats()
    assert.same({ 2, 2 }, { stats.resets_sent, stats.resets_failed })
    assert.same({ 7, 7 }, { stats.opened, stats.closed })
    assert.equal(5, stats.discarded)
  end)

  it("keeps the session of a loan that ran nothing", function()
    local pool = new_pool { max_size = 1 }
    for _ = 1, 3 do
      dirty(pool)
    end
    local conn = assert(pool:checkout())
    local id = conn:id()
    conn:release()
    conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    conn:release()
  end)

  it("is told of once", function()
    local pool = new_pool { max_size = 1, name = "orders" }
    for _ = 1, 5 do
      dirty(pool)
    end
    assert.equal("reset_refused", names())
    assert.equal("orders", events[1][2].pool)
    assert.truthy(events[1][2].message:find "COM_RESET_CONNECTION")
  end)

  it("costs no place when the coroutine that is told of it is closed while on_event waits", function()
    local options = s:options { max_size = 1 }
    options.on_event = coroutine.yield
    local pool = pools.new(options)
    local told = coroutine.create(function()
      for _ = 1, 5 do
        dirty(pool)
      end
    end)
    assert.equal("reset_refused", select(2, coroutine.resume(told)))
    assert(coroutine.close(told))
    assert.equal(0, pool:stats().lent)
    dirty(pool)
  end)

  it("is not asked by conn:reset() any more", function()
    local pool = new_pool { max_size = 1 }
    for _ = 1, 3 do
      dirty(pool)
    end
    local conn = assert(pool:checkout())
    assert(conn:query "SET @mine = 7")
    local ok, err = conn:reset()
    assert.is_nil(ok)
    assert.truthy(err.message:find "reset")
    conn:release()
    dirty(pool)
    assert.equal(2, number(pool, "SHOW RESETS"))
    assert.equal("reset_refused", names())
  end)
end)

describe("a server that is silent at a reset", function()
  before_each(function()
    s = scripted_server.start { reset = "silent" }
  end)

  costs_the_session(0.4 + 2, "no answer within 0.4 s %(connect_timeout%)")
  loses_no_checkout "reset_failing"

  it("is asked again each time, and told of once", function()
    local pool = new_pool { max_size = 1 }
    for _ = 1, 5 do
      dirty(pool)
    end
    assert.equal("reset_failing", names())
    assert.truthy(events[1][2].message:find "did not answer a reset", events[1][2].message)
    assert.equal(5, pool:stats().resets_sent)
  end)
end)

-- How it meets them, how often, and what is told of it.
for _, case in ipairs {
  { "refuse", 1, "" },
  { "wsrep", 2, "" },
  { "wsrep", 4, "reset_failing reset_works" },
  { "silent", 3, "reset_failing reset_works" },
} do
  local how, times, told = table.unpack(case)
  it(("sessions are used again after %d resets met with %s"):format(times, how), function()
    s = scripted_server.start { reset = how, resets = times }
    local pool = new_pool { max_size = 1, connect_timeout = 0.2 }
    local ids = {}
    for i = 1, times + 5 do
      ids[i] = dirty(pool)
    end
    for i = 2, times + 1 do
      assert.not_equal(ids[i - 1], ids[i])
    end
    for i = times + 2, times + 5 do
      assert.equal(ids[times + 1], ids[i])
    end
    assert.equal(told, names())
  end)
end

describe("a server that answers resets", function()
  before_each(function()
    s = scripted_server.start { reset = "answer" }
  end)

  it("is asked each time, on one connection, and nothing is told", function()
    local pool = new_pool { max_size = 1 }
    local id = dirty(pool)
    for _ = 1, 5 do
      assert.equal(id, dirty(pool))
    end
    assert.equal(6, number(pool, "SHOW RESETS"))
    assert.equal(1, number(pool, "SHOW CONNECTIONS"))
    assert.same({}, events)
  end)
end)
