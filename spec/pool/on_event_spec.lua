-- on_event: a function of the program that is told what a pool does by itself.

local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"

local s = fixture.shared_server()

after_each(pools.close)

describe("on_event", function()
  local function run(on_event)
    return program(([[
      local mypool = require "mypool"
      local options = %s
      options.on_event = %s
      local pool = mypool.new(options)
      local conn = assert(pool:checkout())
      conn:query "SET time_zone = '+05:00'"
      conn:release { reset = false }
      print("zone", (pool:value "SELECT @@time_zone"))
      pool:close()
    ]]):format(
      ("{ socket = %q, user = %q, password = %q, database = %q, max_size = 1, audit = true }"):format(
        s.socket,
        s.user,
        s.password,
        s.database
      ),
      on_event
    ))
  end

  it("that raises becomes a warning, and the checkout goes on", function()
    for _, what in ipairs { "'of no use'", "{}", "nil" } do
      local printed, ok = run(("function() error(%s) end"):format(what))
      assert.is_true(ok, printed)
      assert.truthy(printed:find "Lua warning: mypool: on_event raised", printed)
      assert.truthy(printed:find "zone\tSYSTEM", printed)
    end
  end)

  it("is told the name of the pool", function()
    local names = {}
    local pool = pools.new(s:options {
      max_size = 1,
      audit = true,
      name = "orders",
      on_event = function(_, details)
        names[#names + 1] = details.pool
      end,
    })
    local conn = assert(pool:checkout())
    assert(conn:query "SET time_zone = '+05:00'")
    conn:release { reset = false }
    assert(pool:query "DO 1")
    assert.same({ "orders" }, names)
  end)
end)
