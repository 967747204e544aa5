-- The one loop that drives every operation, in every program: C does the work, the wait
-- function lets other coroutines run meanwhile.

local core = require "mypool.core"
core.internal()
local step = core.step

-- Takes what an operation of `conn` was begun with: fd, seconds and wait while it waits, or nil
-- and its results.
local function run(conn, fd, ...)
  if not fd then
    return ...
  end
  local seconds, wait = ...
  wait(fd, seconds)
  return run(conn, step(conn))
end

return run
