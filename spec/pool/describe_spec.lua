-- What pool:describe() says.

local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local ports = require "spec.servers.ports"
local scheduler = require "spec.support.scheduler"

describe("pool:describe", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  -- With ages as they may be.
  local function described(pool)
    return (pool:describe():gsub("%d+[.,]%d s", "N s"))
  end

  it("sums up a pool that nobody uses", function()
    local pool = pools.new(s:options { max_size = 3 })
    assert.equal("pool: 0 of 3 connections (0 lent, 0 idle), 0 waiting", pool:describe())
    pool:query "DO 1"
    assert.equal("pool: 1 of 3 connections (0 lent, 1 idle), 0 waiting", pool:describe())
  end)

  it("groups those that hold connections, and those that wait, by their places", function()
    local pool = pools.new(s:options { max_size = 4, name = "shop", wait = scheduler.wait })
    local text
    local conns = {}
    for i = 1, 3 do
      conns[i] = assert(pool:checkout()) -- HELD
    end
    conns[4] = assert(pool:checkout()) -- HELD TOO
    local function wait()
      assert(pool:query "DO 1") -- WAITS
    end
    scheduler.run(wait, wait, function()
      scheduler.await(function()
        return pool:stats().waiting == 2
      end)
      text = described(pool)
      for i = 1, 4 do
        conns[i]:release()
      end
    end)
    local function place(mark)
      local number = 0
      for line in io.lines "spec/pool/describe_spec.lua" do
        number = number + 1
        if line:find("-- " .. mark .. "$") then
          return "spec/pool/describe_spec.lua:" .. number
        end
      end
    end
    local lines = {
      "pool 'shop': 4 of 4 connections (4 lent, 0 idle), 2 waiting",
      ("lent: %s ×3 for up to N s"):format(place "HELD"),
      ("lent: %s ×1 for up to N s"):format(place "HELD TOO"),
      ("waiting: %s ×2 for up to N s"):format(place "WAITS"),
    }
    assert.equal(table.concat(lines, "\n"), text)
  end)

  it("says why none can be opened, and never a password", function()
    local pool = pools.new {
      host = "127.0.0.1",
      port = ports.free(1),
      user = "nobody",
      password = "top secret",
      checkout_timeout = 0.01,
    }
    assert.is_nil((pool:query("SELECT ?", "a value")))
    local first, second = pool:describe():match "^(.-)\n(.*)$"
    assert.equal("pool: 0 of 10 connections (0 lent, 0 idle), 0 waiting", first)
    assert.truthy(second:find "^down: 127%.0%.0%.1:%d+: .", second)
    assert.is_nil(second:find "secret", second)
  end)
end)
