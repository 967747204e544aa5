-- The benchmark: make bench. Prints what it finds, and keeps it in build/bench/results.lua.
--
-- Environment: ROUNDS (11), ONLY ("held point": the groups whose keys have these in them).

local keep = require "bench.keep"
local machine = require "bench.machine"
local measure = require "bench.rounds"
local tables = require "bench.tables"
local new_world = require("bench.world").new

local workloads = { "held", "loan", "handover", "point", "rows", "inserts", "bookkeeping", "crowd", "memory" }

local function variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local rounds = math.tointeger(tonumber(variable "ROUNDS" or 11)) or error "ROUNDS should be a number"
local only = variable "ONLY" or ""

local function is_wanted(key)
  for part in only:gmatch "%S+" do
    if key:find(part, 1, true) then
      return true
    end
  end
  return not only:find "%S"
end

local function groups_of(world)
  local groups = {}
  for _, name in ipairs(workloads) do
    for _, group in ipairs(require("bench.workloads." .. name)(world)) do
      if is_wanted(group.key) then
        groups[#groups + 1] = group
      end
    end
  end
  return groups
end

local function run(world)
  local results = { rounds = rounds, machine = machine.describe() }
  print(("%s; medians of %d rounds"):format(results.machine, rounds))
  for i, group in ipairs(groups_of(world)) do
    results[i] = measure(world, group, rounds)
    print("\n" .. group.title)
    tables.print(tables.of(results[i]))
  end
  results.versions = world:versions()
  return results
end

local function print_list(title, lines)
  print("\n" .. title)
  for _, line in ipairs(lines) do
    print("  " .. line)
  end
end

local world = new_world()
local ok, results = xpcall(run, debug.traceback, world)
if ok then
  print "\nPromises"
  tables.print(tables.promises(results))
  print_list("Versions", results.versions)
  for _, why in pairs(world.skipped) do
    print("skipped: " .. why)
  end
  keep.write("build/bench/results.lua", results)
end
world:close()
if not ok then
  io.stderr:write(results, "\n")
end
os.exit(ok, true)
