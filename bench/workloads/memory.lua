-- Memory: of an idle session, and of a long stream. Each measurement has a process of its own.

local machine = require "bench.machine"

-- What 100 further sessions cost, in KiB each.
local function of_sessions(world, _, entry)
  local fresh <close> = world:start(entry[2])
  fresh:ask "sessions 1"
  local from = machine.resident_kib(fresh.pid)
  local answer = fresh:ask "sessions 100"
  answer.wall = machine.resident_kib(fresh.pid) - from
  return answer
end

local function of_a_stream(world, _, entry)
  local fresh <close> = world:start(entry[2])
  fresh:ask "rows_endless 1000000" -- brings Lua's heap to the size between two collections
  local from = machine.resident_kib(fresh.pid)
  local answer = fresh:ask "rows_endless 10000000"
  answer.wall = machine.resident_kib(fresh.pid) - from
  return answer
end

local function of_waiting(world, group, entry)
  local program = assert(world:child(entry[2]))
  local answer = program:ask(entry[3]:format(group.count))
  answer.wall = tonumber(answer.sum)
  return answer
end

return function()
  return {
    {
      key = "descriptors",
      title = "Descriptors of a process in which 10,000 coroutines wait for 8 sessions",
      count = 10000,
      unit = "descriptors",
      scale = 1 / 10000,
      no_cpu = true,
      by = "wall",
      rounds = 1,
      baseline = false,
      measure = of_waiting,
      entries = { { "mypool", "mypool", "descriptors %d", differs = true } },
      promises = {
        { "descriptors while 10,000 coroutines wait", "mypool", nil, 64 },
      },
    },
    {
      key = "memory",
      title = "Memory of an idle session",
      count = 100,
      unit = "KiB",
      scale = 1,
      no_cpu = true,
      by = "wall",
      rounds = 3,
      measure = of_sessions,
      entries = {
        { "C", "c" },
        { "mypool", "mypool" },
        { "LuaSQL", "luasql" },
        { "LuaDBI, TCP", "luadbi" },
        { "Go", "go" },
        { "mysql2", "mysql2" },
        { "mariadb", "mariadb" },
      },
      promises = {
        { "memory of an idle session, KiB", "mypool", nil, 42 },
      },
    },
    {
      key = "memory_stream",
      title = "Growth while ten million rows are streamed",
      count = 1,
      unit = "KiB",
      scale = 1,
      no_cpu = true,
      rounds = 1,
      baseline = false,
      measure = of_a_stream,
      entries = { { "mypool", "mypool" } },
      promises = {
        { "growth while ten million rows are streamed, KiB", "mypool", nil, 2048 },
      },
    },
  }
end
