-- What a pool counts.

local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
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
    for name, count in pairs(stats) do
      assert.equal(0, count, name)
    end
    assert.equal("float", math.type(stats.reset_wait))
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
    local pool = pools.new(s:options { max_size = 1 })
    for _ = 1, 20 do
      assert.equal(1, pool:value "SELECT 1")
    end
    local stats = pools.stats(pool)
    assert.equal(20, stats.resets_sent)
    assert.equal(19, stats.resets_hidden + stats.resets_waited)
    assert.is_true(stats.resets_waited == 0 or stats.reset_wait > 0)
  end)
end)
