-- Lua may run out of memory at any of its allocations, in any function of mypool's: nothing crashes, nothing leaks,
-- and the place of the session in the pool is free again. (What libmariadb allocates is not made to fail: it does
-- not survive that.)

local embedded = require "spec.support.embedded"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"

local stride = os.getenv "MYPOOL_THOROUGH" and 1 or 5 -- which of them fail: each, or some

local s = fixture.server()

setup(function()
  s:sql "CREATE TABLE app.t (n INT, x VARCHAR(20)) ENGINE=InnoDB"
  s:sql "DELIMITER //\nCREATE PROCEDURE app.two() BEGIN SELECT 1 AS a; SELECT seq FROM seq_1_to_3; END//"
end)

-- Returns how many allocations failed.
local function run(...)
  local printed, ok = embedded("allocator", ...)
  assert.is_true(ok, printed)
  local failures = printed:match "^failures\t(%d+)\n$"
  assert.is_truthy(failures, printed)
  return math.tointeger(failures)
end

for _, program in ipairs { "plain", "scheduler" } do
  for _, way in ipairs { "once", "lasting" } do
    it(("a %s program stays whole when an allocation fails (%s)"):format(program, way), function()
      local failures = run("spec/programs/allocations.lua", s.socket, program .. " " .. way, stride)
      assert.is_true(failures > 1000 // stride, failures)
      ledger.enter("failed allocations of Lua", { faults = failures, statements = failures })
    end)
  end
end

it("loading mypool fails well at any allocation", function()
  local failures = run("--load", 3 * stride)
  assert.is_true(failures > 500 // stride, failures)
  ledger.enter("failed allocations of Lua", { faults = failures })
end)
