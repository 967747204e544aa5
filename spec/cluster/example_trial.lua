-- examples/cluster.lua, as `make demo-cluster` runs it: it looks by itself whether what it shows is true.

local program = require "spec.support.program"

it("the example shows a failover in which nothing is lost", function()
  local printed, ok = program [[dofile "examples/cluster.lua"]]
  assert.is_true(ok, printed)
  if printed:find("skipped", 1, true) then
    pending(printed)
  end
  assert.is_truthy(printed:find("host_barred: node 1", 1, true), printed)
  assert.is_truthy(printed:find("host_well: node 1", 1, true), printed)
end)
