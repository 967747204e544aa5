-- `make soak`: load in two processes, one plain and one of many coroutines, with a fault every second; then each row
-- must be there as often as mypool said.
--
--   lua5.4 tools/soak.lua [MINUTES [SEED]]
--
-- The load goes through the relay that makes the faults, one that numbers connections by itself, and HAProxy, to two
-- servers. A third process has statements of its own there, of which none may be stopped.
--
-- Reported "yes": exactly one row. "no": none. "unknown": one or none. Never two. Of the keys of a transaction: all or
-- none. It prints the faults and the numbers of each process, enters its counts in the ledger, and exits with 1 when
-- anything did not hold.

local cqueues = require "cqueues"
local haproxy = require "spec.servers.haproxy"
local ledger = require "tools.ledger"
local program = require "spec.support.program"
local relay = require "spec.servers.relay"
local server = require "spec.servers.server"
local strangers = require "spec.support.strangers"

local minutes = tonumber(arg[1]) or 10
local seed = math.tointeger(tonumber(arg[2])) or os.time()

-- ---- faults ----

local servers, balancer, proxy, r

local function one_server()
  return servers[math.random(#servers)]
end

-- Of any session, also one that the pool has just given up: then there is nothing to kill.
local function kill(what)
  local s = one_server()
  local ids = s:sessions()
  for _ = 1, math.min(#ids, math.random(3)) do
    pcall(s.sql, s, ("KILL %s %s"):format(what, ids[math.random(#ids)]))
  end
end

local function for_a_moment(begin, finish)
  begin()
  cqueues.sleep(0.1 + math.random() * 0.6)
  finish()
end

local function undo()
  r:reset()
end

local faults = {
  { "cut", function()
    r:drop "fin"
  end },
  { "reset", function()
    r:drop "rst"
  end },
  { "cut in a reply", function()
    r:cut_here("down", math.random(2000), math.random(2) == 1 and "fin" or "rst")
  end },
  { "cut in a request", function()
    r:cut_here("up", math.random(500), math.random(2) == 1 and "fin" or "rst")
  end },
  { "cut in a handshake", function()
    r:cut(math.random(2) == 1 and "down" or "up", math.random(200), "fin")
    r:drop "fin"
  end },
  { "black hole", function()
    for_a_moment(function()
      r:hold()
    end, undo)
  end },
  { "refusal", function()
    for_a_moment(function()
      r:refuse(true)
      r:drop "rst"
    end, function()
      r:refuse(false)
    end)
  end },
  { "delay", function()
    for_a_moment(function()
      r:delay(math.random(50))
    end, undo)
  end },
  { "throttle", function()
    for_a_moment(function()
      r:throttle(20000)
    end, undo)
  end },
  { "one byte a time", function()
    for_a_moment(function()
      r:chunk(1)
    end, undo)
  end },
  { "KILL", function()
    kill ""
  end },
  { "KILL QUERY", function()
    kill "QUERY"
  end },
}

local rare = {
  { "restart", function()
    one_server():restart()
  end },
  { "SIGKILL", function()
    local s = one_server()
    s:kill()
    s:resume()
  end },
  { "SIGSTOP", function()
    local s = one_server()
    for_a_moment(function()
      s:pause()
    end, function()
      s:continue()
    end)
  end },
}

-- One a second until the deadline; returns how many, and by name.
local function break_things(deadline)
  local count, by_name = 0, {}
  while cqueues.monotime() < deadline do
    local list = math.random(25) == 1 and rare or faults
    local fault = list[math.random(#list)]
    fault[2]()
    count, by_name[fault[1]] = count + 1, (by_name[fault[1]] or 0) + 1
    cqueues.sleep(1)
  end
  r:reset()
  r:refuse(false)
  return count, by_name
end

-- ---- the processes under load ----

local folder = "build/soak"

-- Runs the program in the background. Returns a function that waits for its end, and returns what it printed,
-- whether all held, and whether it crashed.
local function start(text, seconds)
  local wait = program.start(text, nil, nil, seconds + 180)
  return function()
    local printed, ok, status = wait()
    return printed, ok, not ok and status ~= 1
  end
end

local function start_load(name, coroutines, seconds)
  local text = "require 'tools.soak_load' { port = %d, seconds = %f, cqueues = %s, name = %q, record = %q, seed = %d }"
  return start(text:format(r.port, seconds, coroutines, name, folder .. "/" .. name, seed), seconds)
end

local function start_strangers(seconds)
  local text = "require 'tools.soak_strangers' { places = { { %q, %d }, { %q, %d } }, seconds = %f, seed = %d }"
  local a, b = table.unpack(servers)
  return start(text:format(a.host, a.port, b.host, b.port, seconds, seed), seconds)
end

-- ---- the count ----

-- How often each key is on the servers.
local function rows_on_servers()
  local rows = {}
  for _, s in ipairs(servers) do
    for _, line in ipairs(s:sql "SELECT k, COUNT(*) FROM soak GROUP BY k") do
      local key, count = line:match "^(%S+)\t(%d+)$"
      rows[key] = (rows[key] or 0) + math.tointeger(count)
    end
  end
  return rows
end

local allowed = {
  yes = function(count)
    return count == 1
  end,
  no = function(count)
    return count == 0
  end,
  unknown = function(count)
    return count <= 1
  end,
}

local function note(result, column, sentence, ...)
  result[column] = result[column] + 1
  table.insert(result.wrong, sentence:format(...))
end

-- Keys of the same transaction come one behind the other.
local function compare_line(result, line, count, transaction)
  local key, outcome, of = line:match "^(%S+) (%S+) (%S+)$"
  result[outcome] = result[outcome] + 1
  if outcome == "unknown" then
    result.took_effect = result.took_effect + count
  end
  if not allowed[outcome](count) then
    note(result, count > 1 and "twice" or "lost", "%s: reported %s, found %d", key, outcome, count)
  end
  if transaction.name == of and transaction.count ~= count then
    note(result, "half", "%s: found %d, but %d of another part of its transaction", key, count, transaction.count)
  end
  transaction.name, transaction.count = of, count
end

local function compare(names)
  local rows = rows_on_servers()
  local result = { yes = 0, no = 0, unknown = 0, took_effect = 0, twice = 0, half = 0, lost = 0, wrong = {} }
  for _, name in ipairs(names) do
    local transaction = {}
    for line in io.lines(folder .. "/" .. name) do
      local key = line:match "^%S+"
      compare_line(result, line, rows[key] or 0, transaction)
      rows[key] = nil
    end
  end
  for key, count in pairs(rows) do
    note(result, "lost", "%s: reported nothing, found %d", key, count)
  end
  return result
end

local function sessions_left()
  return #servers[1]:sessions() + #servers[2]:sessions()
end

local function await_no_sessions()
  local deadline = cqueues.monotime() + 30
  while sessions_left() > 0 and cqueues.monotime() < deadline do
    cqueues.sleep(0.1)
  end
  return sessions_left()
end

-- ---- the run ----

local function print_faults(count, by_name)
  local parts = {}
  for name, times in pairs(by_name) do
    parts[#parts + 1] = ("%s %d"):format(name, times)
  end
  table.sort(parts)
  print(("%d faults: %s"):format(count, table.concat(parts, ", ")))
end

-- A lock wait that times out undoes its statement on the first server, and its transaction on the second.
local function start_servers()
  local no_patience = "--innodb-lock-wait-timeout=0"
  local a = server.start { options = { no_patience } }
  servers = { a, server.twin(a, { no_patience, "--innodb-rollback-on-timeout=1" }) }
  for _, s in ipairs(servers) do
    strangers.prepare(s)
    s:sql "CREATE TABLE soak (k VARCHAR(20), v TEXT, KEY (k))"
    s:sql "CREATE TABLE soak_locked (n INT); INSERT INTO soak_locked VALUES (1)"
    s:sql [[DELIMITER //
      CREATE PROCEDURE half(IN k VARCHAR(20)) BEGIN
        INSERT INTO soak VALUES (k, 'half'); UPDATE soak_locked SET n = n + 1; END//]]
  end
end

local function prepare()
  print(("soak: %g minutes, seed %d"):format(minutes, seed))
  math.randomseed(seed)
  assert(os.execute(("mkdir -p %s"):format(folder)))
  start_servers()
  balancer = haproxy.start { servers[1].host .. ":" .. servers[1].port, servers[2].host .. ":" .. servers[2].port }
  proxy = relay.start { port = balancer.port }
  proxy:renumber(40) -- the strangers that stay have these
  r = relay.start { port = proxy.port }
end

-- Load and faults. Returns how many faults, processes in which something did not hold, and that crashed; and how many
-- of the strangers' statements were stopped.
local function load_and_faults(seconds)
  local deadline = cqueues.monotime() + seconds
  local others = start_strangers(seconds)
  cqueues.sleep(0.5) -- theirs are the first numbers
  local processes = { strangers = others }
  for _, name in ipairs { "plain", "cqueues" } do
    processes[name] = start_load(name, name == "cqueues", seconds)
  end
  local count, by_name = break_things(deadline)
  print_faults(count, by_name)
  local broken, crashes, stopped = 0, 0, nil
  for name, wait in pairs(processes) do
    local printed, ok, crashed = wait()
    print(("%s: %s"):format(name, printed))
    stopped = stopped or math.tointeger(printed:match "stopped=(%d+)")
    crashes, broken = crashes + (crashed and 1 or 0), broken + ((ok or crashed) and 0 or 1)
  end
  return count, broken, crashes, stopped
end

local function print_result(result, left)
  print(("reported yes %d, no %d, unknown %d (of which %d took effect); sessions left on the server %d"):format(
    result.yes,
    result.no,
    result.unknown,
    result.took_effect,
    left
  ))
  for i = 1, math.min(20, #result.wrong) do
    print("WRONG: " .. result.wrong[i])
  end
end

local function main()
  prepare()
  local faults_done, broken, crashes, stopped = load_and_faults(minutes * 60)
  local left, result = await_no_sessions(), compare { "plain", "cqueues" }
  print_result(result, left)
  ledger.enter("soak: mixed load", {
    faults = faults_done,
    statements = result.yes + result.no + result.unknown,
    twice = result.twice,
    half = result.half,
    lost = result.lost,
    strangers = stopped,
    slots_lost = broken,
    sessions_lost = left,
    crashes = crashes,
  })
  for _, one in ipairs { r, proxy, balancer } do
    one:stop()
  end
  for _, s in ipairs(servers) do
    s:remove()
  end
  return crashes + broken + left + #result.wrong == 0 and stopped == 0 and result.yes > 0
end

os.exit(main() and 0 or 1, true)
