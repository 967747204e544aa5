-- mypool under luv.

local concurrency = require "spec.support.concurrency"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local server = require "spec.support.server"

describe("under luv #slow", function()
  concurrency(schedulers.luv(), 100)
end)

-- What stayed in the loop would wake the coroutine out of some other wait, and keep all that it holds.
it("a wait where a coroutine cannot yield is refused, and leaves nothing in the loop of luv", function()
  local uv = require "luv"
  local pool = pools.new(server.shared():options { wait = require "mypool.wait.luv" })
  local ok, why = true, nil
  coroutine.wrap(function()
    table.sort({ 1, 2 }, function()
      ok, why = pcall(pool.value, pool, "SELECT SLEEP(0.01)")
      return false
    end)
  end)()
  assert.is_false(ok)
  assert.match("mypool.wait.luv: called where a coroutine cannot yield", why, 1, true)
  local handles = 0
  uv.walk(function(handle)
    handles = handles + (handle:is_closing() and 0 or 1)
  end)
  assert.equal(0, handles)
  pools.close()
end)
