-- mypool under luv.

local concurrency = require "spec.support.concurrency"
local program = require "spec.support.program"
local schedulers = require "spec.support.schedulers"
local server = require "spec.support.server"

describe("under luv #slow", function()
  concurrency(schedulers.luv(), 100)
end)

-- What stayed in the loop would wake the coroutine out of some other wait, and keep all that it holds. (In a process
-- of its own: luv does not bear being loaded again, as busted does with what a file has loaded.)
it("a wait where a coroutine cannot yield is refused, and leaves nothing in the loop of luv", function()
  local printed, ok = program(([[
    local uv = require "luv"
    local pool = require("mypool").new {
      socket = %q, user = "app", password = "secret", wait = require "mypool.wait.luv",
    }
    coroutine.wrap(function()
      table.sort({ 1, 2 }, function()
        local done, why = pcall(pool.value, pool, "SELECT SLEEP(0.01)")
        print(done, (why:gsub("^.*: (mypool%%.wait)", "%%1")))
        return false
      end)
    end)()
    local handles = 0
    uv.walk(function()
      handles = handles + 1
    end)
    print(handles)
    pool:close()]]):format(server.shared().socket))
  assert.is_true(ok, printed)
  assert.equal("false\tmypool.wait.luv: called where a coroutine cannot yield\n0\n", printed)
end)
