-- Every public function returns exactly the values that are documented, in every Lua: luajit_smoke.lua asks the same
-- of LuaJIT.

local core = require "mypool.core"
local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local server = require "spec.servers.server"
local value_counts = require "spec.support.value_counts"

describe("a success", function()
  it("returns as many values as are documented, whatever the function and the options", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    value_counts.check(mypool, core, function(extra)
      return server.shared():options(extra)
    end)
  end)

  it("can be given to functions that count their arguments", function()
    local pool = mypool.new(server.shared():options())
    local collected = {}
    table.insert(collected, pool:value "SELECT 7")
    table.insert(collected, pool:one "SELECT 7 AS n")
    table.insert(collected, pool:query "SELECT 7 AS n")
    assert.same({ 7, { n = 7 }, { { n = 7 } } }, collected)
    pool:close()
  end)
end)
