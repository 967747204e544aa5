-- Runs rows of the leak matrix: what the next borrower sees, in mypool and on bare libmariadb.

local dialect = require "spec.servers.dialect"
local leaks = require "spec.matrix.leaks"
local mypool = require "mypool"
local plain = require "spec.plain"
local server = require "spec.servers.server"
local tls = require "spec.servers.tls"

local isolation = {
  transports = { "socket", "tcp", "tls" },
  treatments = { "reuse", "reset", "change_user", "mypool" },
}

-- ---- the server, and ways to it ----

local methods = {}

function methods.stop(world)
  if world.spare then
    world.spare:stop()
  end
  world.observer:close()
  world.server:remove()
end

local metatable = { __index = methods, __close = methods.stop }

-- Starts a server that has what the rows need. It ends with its method stop.
function isolation.start()
  local world = setmetatable({ server = server.start { tls = true } }, metatable)
  world.observer = assert(plain.connect { socket = world.server.socket, user = "root", database = "app" })
  assert(world.observer:query "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
  for _, statement in ipairs(leaks.setup) do
    dialect.run(world.observer, statement)
  end
  return world
end

-- Rows that spoil their server share another one.
local function world_of(world, row)
  if row.spoils then
    world.spare = world.spare or isolation.start()
    return world.spare
  end
  return world
end

local function account(world, row, transport)
  local options = { user = row.account or "app", password = world.server.password }
  if row.database ~= false then
    options.database = row.database or world.server.database
  end
  if transport == "socket" then
    options.socket = world.server.socket
  else
    options.host, options.port = world.server.host, world.server.port
  end
  return options
end

-- Options of mypool.new.
function isolation.options(world, row, transport)
  local options = account(world, row, transport)
  options.tls = transport == "tls" and { ca = tls.ca } or nil
  options.server_public_key = transport == "tcp" and world.server.public_key or nil
  return options
end

function isolation.plain(world, row, transport)
  local options = account(world, row, transport)
  options.ca = transport == "tls" and tls.ca or nil
  return assert(plain.connect(options))
end

-- What rows get besides the connection, and the wait function that obeys it.
function isolation.environment(world)
  world.runs = (world.runs or 0) + 1
  local env = { observer = world.observer, id = "run" .. world.runs }
  function env.interrupt(calls, fn)
    env.calls = calls
    local ok = pcall(fn)
    env.calls = nil
    assert(not ok, "nothing was interrupted")
  end
  function env.wait(fd, seconds)
    if env.yielding then
      coroutine.yield()
    end
    if env.calls then
      env.calls = env.calls - 1
      if env.calls == 0 then
        error("interrupted", 0)
      end
    end
    return plain.poll(fd, seconds)
  end
  return env
end

-- ---- one row ----

local function probe(row, conn, env)
  local ok, answer = pcall(row.probe, conn, env)
  return ok and answer or "raised " .. tostring(answer)
end

local function cleanup(row, env)
  if row.cleanup then
    row.cleanup(env)
  end
end

-- What a brand-new connection shows: of mypool's, or bare.
local function clean_answer(world, row, transport, treatment)
  if row.clean then
    return row.clean
  end
  local env = isolation.environment(world)
  if treatment ~= "mypool" then
    local conn <close> = isolation.plain(world, row, transport)
    return probe(row, conn, env)
  end
  local pool = mypool.new(isolation.options(world, row, transport))
  local conn <close> = assert(pool:checkout())
  local answer = probe(row, conn, env)
  conn:release()
  pool:close()
  return answer
end

local function lend(row, pool, env)
  if row.loan then
    return row.loan(pool, env)
  end
  local conn = assert(pool:checkout())
  row.dirty(conn, env)
  conn:release()
end

-- Returns what the borrower after the dirty one sees, and whether it has the same connection.
local function through_pool(world, row, transport)
  local env = isolation.environment(world)
  local options = isolation.options(world, row, transport)
  options.max_size, options.wait = 1, env.wait
  local pool = mypool.new(options)
  local first = assert(pool:checkout())
  local id = first:id()
  first:release()
  lend(row, pool, env)
  local conn = assert(pool:checkout())
  local answer = probe(row, conn, env)
  local kept = conn:id() == id -- now: over a unix socket a death is found by the first statement
  conn:release()
  pool:close()
  cleanup(row, env)
  return answer, kept
end

local clean_by = {
  reuse = function()
    return true
  end,
  reset = function(conn)
    return conn:reset()
  end,
  change_user = function(conn)
    return conn:change_user()
  end,
}

-- Returns what the next user of a bare connection sees; nil and why when it cannot be cleaned.
local function bare(world, row, transport, treatment)
  local env = isolation.environment(world)
  local conn <close> = isolation.plain(world, row, transport);
  (row.plain or row.dirty)(conn, env)
  local cleaned, why = clean_by[treatment](conn)
  local answer = cleaned and probe(row, conn, env)
  conn:close()
  cleanup(row, env)
  return answer, why
end

-- The words of doc/why/isolation.md.
local function judge(row, answer, clean)
  if answer == clean then
    return "clean"
  end
  return answer:find "error 2%d%d%d" and "breaks" or row.harm or "leaks"
end

-- Makes the state of `row` and looks at it after `treatment`. Returns
--   "clean"     the next borrower sees what it must
--   "replaced"  the same, on another connection
--   "leaks"     it sees what was left behind
--   "breaks"    its own statements fail, for the connection is lost or out of step
--   "fails", "hangs"   the cleaning itself does
--   "n/a"
-- and what was seen and should have been seen.
function isolation.measure(world, row, treatment, transport)
  if treatment ~= "mypool" and row.plain == false then
    return "n/a"
  end
  world = world_of(world, row)
  local clean = clean_answer(world, row, transport, treatment)
  if treatment == "mypool" then
    local answer, kept = through_pool(world, row, transport)
    local verdict = judge(row, answer, clean)
    return verdict == "clean" and not kept and "replaced" or verdict, answer, clean
  end
  local answer, why = bare(world, row, transport, treatment)
  if not answer then
    return why == "hangs" and why or "fails", why, clean
  end
  return judge(row, answer, clean), answer, clean
end

return isolation
