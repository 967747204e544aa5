-- The side of the contenders in Lua of what child.lua asks: answer(versions, tasks). A task is a
-- function(stopwatch, count, …) that returns a checksum of what it fetched.

local clock = require "bench.clock"

-- Counts time between start and stop; several times when need be.
local function new_stopwatch()
  local wall, cpu = 0, 0
  local watch = {}
  function watch.start()
    cpu = cpu - clock.cpu()
    wall = wall - clock.wall()
  end
  function watch.stop()
    wall = wall + clock.wall()
    cpu = cpu + clock.cpu()
  end
  function watch.read()
    return wall, cpu
  end
  return watch
end

local function words_of(line)
  local words = {}
  for word in line:gmatch "%S+" do
    words[#words + 1] = math.tointeger(tonumber(word)) or word
  end
  return words
end

local function percentile(sorted, share)
  return sorted[math.max(1, math.ceil(share * #sorted))]
end

-- A task returns the latencies of its requests, too, if it has any.
local function percentiles(latencies)
  if not latencies or #latencies == 0 then
    return ""
  end
  table.sort(latencies)
  return (" %d %d %d"):format(percentile(latencies, 0.5), percentile(latencies, 0.99), percentile(latencies, 0.999))
end

local function perform(tasks, line)
  local words = words_of(line)
  local watch = new_stopwatch()
  local task = tasks[words[1]] or error "no such task"
  collectgarbage()
  local sum, latencies = task(watch, table.unpack(words, 2))
  local wall, cpu = watch.read()
  return ("%d %d %d%s"):format(wall, cpu, math.floor(sum), percentiles(latencies))
end

return function(versions, tasks)
  io.stdout:setvbuf "line"
  print("ready " .. versions)
  for line in io.lines() do
    if line == "quit" then
      break
    end
    local ok, answer = pcall(perform, tasks, line)
    print(ok and answer or "error " .. tostring(answer))
  end
end
