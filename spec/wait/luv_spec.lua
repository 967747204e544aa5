-- mypool under luv.

local concurrency = require "spec.support.concurrency"
local program = require "spec.support.program"
local schedulers = require "spec.support.schedulers"
local server = require "spec.servers.server"

describe("under luv #slow", function()
  concurrency(schedulers.luv(), 100, function(reason)
    pending(reason)
  end)
end)

describe("under luv, by descriptors #slow", function()
  concurrency(schedulers.by_descriptors(schedulers.luv()), 20, function(reason)
    pending(reason)
  end)
end)

-- (In processes of their own: luv does not bear being loaded again, as busted does with what a file has loaded.)
local function run(text)
  local head = [[
    local uv = require "luv"
    local pool = require("mypool").new {
      socket = %q, user = "app", password = "secret", database = "app", max_size = 1, wait = require "mypool.wait.luv",
    }
    local made = {} -- (in a coroutine uv.walk of luv 1.51 calls something else than what it was given)
    for _, name in ipairs { "new_poll", "new_timer", "new_idle" } do
      local new = uv[name]
      uv[name] = function(...)
        made[#made + 1] = assert(new(...))
        return made[#made]
      end
    end
    local function handles()
      local count = 0
      for _, handle in ipairs(made) do
        count = count + (handle:is_closing() and 0 or 1)
      end
      return count
    end
  ]]
  local printed, ok = program(head:format(server.shared().socket) .. text)
  assert.is_true(ok, printed)
  return printed
end

describe("a wait under luv", function()
  -- What stayed in the loop would wake the coroutine out of some other wait, and keep all that it holds.
  it("is refused where a coroutine cannot yield, at the program's place, and leaves nothing in the loop", function()
    local printed = run [[
      coroutine.wrap(function()
        table.sort({ 1, 2 }, function()
          print(pcall(pool.value, pool, "SELECT SLEEP(0.01)"))
          return false
        end)
      end)()
      print(pcall(function()
        return (pool:value "SELECT SLEEP(0.01)")
      end))
      print(handles(), pool:stats().lent, pool:stats().waiting)
      coroutine.wrap(function()
        print(pool:value "SELECT 7")
      end)()
      uv.run()]]
    assert.equal(
      "false\t(command line):22: mypool cannot wait here: "
        .. "inside of string.gsub, table.sort, require or another C function\n"
        .. "false\t(command line):27: mypool cannot wait here: outside of a coroutine (make one by coroutine.wrap)\n"
        .. "0\t0\t0\n7\n",
      printed
    )
  end)

  it("ends when something else resumes its coroutine: the call raises, and leaves its place and the loop", function()
    local printed = run [[
      coroutine.wrap(function()
        assert(pool:ping())
        local each = coroutine.wrap(function()
          for row in assert(pool:rows "SELECT seq, SLEEP(0.01) FROM seq_1_to_3") do
            coroutine.yield(row.seq)
          end
        end)
        print(each()) -- cannot be known
        print(pcall(each))
        print(handles(), pool:stats().lent)
        print(pool:value "SELECT 7")
      end)()
      uv.run()
      print(handles())]]
    assert.equal(
      "\nfalse\t(command line):23: mypool cannot wait here: something else than luv resumed this coroutine\n"
        .. "0\t0\n7\n0\n",
      printed
    )
  end)

  it("leaves the loop when its coroutine is closed", function()
    local printed = run [[
      local co = coroutine.create(function()
        pool:query "SELECT SLEEP(20)"
      end)
      coroutine.wrap(function()
        assert(pool:ping())
        assert(coroutine.resume(co))
        print(handles(), coroutine.close(co), handles(), pool:stats().lent)
        print(pool:value "SELECT 7")
      end)()
      uv.run()
      print(handles())]]
    assert.equal("1\ttrue\t0\t0\n7\n0\n", printed)
  end)
end)
