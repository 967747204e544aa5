-- No fault stops sessions from being used again: once it is over, the same one serves loan after loan.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local sleep = require "spec.support.sleep"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local s = fixture.server()
local r = fixture.relay(s)

after_each(pools.close)

-- One that leaves something behind, so that it has to be reset; whatever comes of it.
local function loan(pool)
  local conn = pool:checkout()
  local id = conn and conn:query "SET @mine = 1" and conn:id()
  if conn then
    conn:release()
  end
  return id
end

-- Each with begin(pool), and finish(), which ends it.
local faults = {
  ["a stall at the reset"] = {
    begin = function(pool)
      local conn = assert(pool:checkout())
      assert(conn:query "SET @mine = 1")
      r:hold()
      conn:release()
    end,
    finish = function()
      r:reset()
    end,
  },
  ["a cut of all connections"] = {
    begin = function()
      r:drop "rst"
    end,
  },
  ["cuts in the middle of replies to resets"] = {
    begin = function(pool)
      for after = 1, 40, 5 do
        r:cut_here("down", after, "fin")
        loan(pool)
      end
    end,
  },
  ["a KILL of each connection"] = {
    begin = function()
      s:kill_sessions(s:sessions())
    end,
  },
  ["a server that stands still"] = {
    begin = function()
      s:pause()
    end,
    finish = function()
      s:continue()
    end,
  },
  ["a server that was killed"] = {
    begin = function()
      s:kill()
    end,
    finish = function()
      s:resume()
    end,
  },
}

local function nothing() end

for name, fault in pairs(faults) do
  it("the same session serves loan after loan again behind " .. name, function()
    local pool = pools.new(s:tcp_options {
      port = r.port,
      max_size = 2,
      connect_timeout = 0.3,
      checkout_timeout = 0.5,
      query_timeout = 0.3,
    })
    assert(pool:checkout()):release() -- nothing was run: the first reset is that of the fault
    fault.begin(pool)
    for _ = 1, 2 do
      loan(pool)
    end;
    (fault.finish or nothing)()
    local over = cqueues.monotime()
    eventually(function()
      local id = loan(pool)
      for _ = 1, 20 do
        if not id or loan(pool) ~= id then
          return false
        end
      end
      return true
    end, sleep)
    assert.is_true(cqueues.monotime() - over < 60)
  end)
end
