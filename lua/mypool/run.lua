-- The one loop that drives every operation, in every program: C does the work, the wait
-- function lets other coroutines run meanwhile.

local core = require "mypool.core"
core.internal()
local step, abandon = core.step, core.abandon

-- After the wait function has raised: gives the operation up, and raises that again.
local function give_up(conn, raised)
  abandon(conn)
  if type(raised) == "string" and raised:find("attempt to yield", 1, true) then
    core.raise "mypool cannot wait here: inside of string.gsub, table.sort, require or another C function"
  end
  error(raised, 0)
end

-- Takes what an operation of `conn` was begun with: fd, seconds and wait while it waits, or nil and its
-- results. What the wait function raises ends the operation, and is raised again.
local function run(conn, fd, ...)
  if not fd then
    return ...
  end
  local seconds, wait = ...
  local ok, raised = pcall(wait, fd, seconds, conn)
  if not ok then
    give_up(conn, raised)
  end
  return run(conn, step(conn))
end

if (loadstring or load) "local _ <close> = nil" then -- luacheck: ignore
  return require("mypool.closing").run(run, give_up)
end

return run
