-- `make soak`: load in two processes, one plain and one of many coroutines, through the relay, with a fault
-- every second; then each row must be there as often as mypool said.
--
--   lua5.4 tools/soak.lua [MINUTES [SEED]]
--
-- Reported "yes": exactly one row. "no": none. "unknown": one or none. Never two. It prints a line per fault and
-- the numbers of each process, enters its counts in the ledger, and exits with 1 when anything did not hold.

local cqueues = require "cqueues"
local ledger = require "tools.ledger"
local program = require "spec.support.program"
local relay = require "spec.support.relay"
local server = require "spec.support.server"

local minutes = tonumber(arg[1]) or 10
local seed = math.tointeger(tonumber(arg[2])) or os.time()

-- ---- faults ----

local s, r

-- Of any session, also one that the pool has just given up: then there is nothing to kill.
local function kill(what)
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
    s:restart()
  end },
  { "SIGKILL", function()
    s:kill()
    s:resume()
  end },
  { "SIGSTOP", function()
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

-- Runs the load in the background. Returns a function that waits for its end, and returns what it printed,
-- whether all held, and whether it crashed.
local function start(name, coroutines, seconds)
  local text = ("require 'tools.soak_load' { port = %d, seconds = %f, cqueues = %s, name = %q, record = %q, "
    .. "seed = %d }"):format(r.port, seconds, coroutines, name, folder .. "/" .. name, seed)
  local wait = program.start(text, nil, nil, seconds + 180)
  return function()
    local printed, ok, status = wait()
    return printed, ok, not ok and status ~= 1
  end
end

-- ---- the count ----

-- How often each key is on the server.
local function rows_on_server()
  local rows = {}
  for _, line in ipairs(s:sql "SELECT k, COUNT(*) FROM soak GROUP BY k") do
    local key, count = line:match "^(%S+)\t(%d+)$"
    rows[key] = math.tointeger(count)
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

local function compare(names)
  local rows = rows_on_server()
  local result = { yes = 0, no = 0, unknown = 0, took_effect = 0, twice = 0, lost = 0, wrong = {} }
  for _, name in ipairs(names) do
    for line in io.lines(folder .. "/" .. name) do
      local key, outcome = line:match "^(%S+) (%S+)$"
      local count = rows[key] or 0
      rows[key] = nil
      result[outcome] = result[outcome] + 1
      if outcome == "unknown" then
        result.took_effect = result.took_effect + count
      end
      if not allowed[outcome](count) then
        result[count > 1 and "twice" or "lost"] = result[count > 1 and "twice" or "lost"] + 1
        table.insert(result.wrong, ("%s: reported %s, found %d"):format(key, outcome, count))
      end
    end
  end
  for key, count in pairs(rows) do
    result.lost = result.lost + 1
    table.insert(result.wrong, ("%s: reported nothing, found %d"):format(key, count))
  end
  return result
end

local function await_no_sessions()
  local deadline = cqueues.monotime() + 30
  while #s:sessions() > 0 and cqueues.monotime() < deadline do
    cqueues.sleep(0.1)
  end
  return #s:sessions()
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

local function prepare()
  print(("soak: %g minutes, seed %d"):format(minutes, seed))
  math.randomseed(seed)
  assert(os.execute(("mkdir -p %s"):format(folder)))
  s = server.start()
  r = relay.start { host = s.host, port = s.port }
  s:sql "CREATE TABLE soak (k VARCHAR(20), v TEXT, KEY (k))"
end

-- Load and faults. Returns how many faults, processes in which something did not hold, and that crashed.
local function load_and_faults(seconds)
  local deadline = cqueues.monotime() + seconds
  local processes = { plain = start("plain", false, seconds), cqueues = start("cqueues", true, seconds) }
  local count, by_name = break_things(deadline)
  print_faults(count, by_name)
  local broken, crashes = 0, 0
  for name, wait in pairs(processes) do
    local printed, ok, crashed = wait()
    print(("%s: %s"):format(name, printed))
    crashes, broken = crashes + (crashed and 1 or 0), broken + ((ok or crashed) and 0 or 1)
  end
  return count, broken, crashes
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
  local faults_done, broken, crashes = load_and_faults(minutes * 60)
  local left, result = await_no_sessions(), compare { "plain", "cqueues" }
  print_result(result, left)
  ledger.enter("soak: mixed load", {
    faults = faults_done,
    statements = result.yes + result.no + result.unknown,
    twice = result.twice,
    lost = result.lost,
    sessions_lost = left + broken,
    crashes = crashes,
  })
  r:stop()
  s:remove()
  return crashes + broken + left + result.twice + result.lost == 0 and result.yes > 0
end

os.exit(main() and 0 or 1, true)
