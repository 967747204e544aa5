-- A C function may push no more values than it has made sure there is room for. What goes beyond is found by an
-- allocator that guards the end of each block.

local embedded = require "spec.support.embedded"
local server = require "spec.servers.server"

it("nothing is written beyond the end of Lua's stack, at any depth and with any number of values", function()
  local s = server.start()
  local printed, ok = embedded("allocator", "spec/programs/stack.lua", s.socket)
  s:remove()
  assert.equal("done\n", printed)
  assert.is_true(ok)
end)
