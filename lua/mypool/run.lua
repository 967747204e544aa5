-- The one loop that drives every operation, in every program: C does the work, the wait
-- function lets other coroutines run meanwhile.

local core = require "mypool.core"
core.internal()
local step, abandon = core.step, core.abandon

-- Takes what an operation of `conn` was begun with: fd, seconds and wait while it waits, or nil and its
-- results. What the wait function raises ends the operation, and is raised again.
local function run(conn, fd, ...)
  if not fd then
    return ...
  end
  local seconds, wait = ...
  local ok, raised = pcall(wait, fd, seconds, conn)
  if not ok then
    abandon(conn)
    error(raised, 0)
  end
  return run(conn, step(conn))
end

if (loadstring or load) "local _ <close> = nil" then -- luacheck: ignore
  return require("mypool.closing").run(run)
end

return run
