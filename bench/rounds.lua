-- Measures a group: in each round all its entries, one after the other, so that whatever happens to the
-- machine happens to all of them. Ratios are taken within a round: of the CPU time of client and server, or by
-- what the group says, such as the wall clock where there is a network between them.

local clock = require "bench.clock"
local statistics = require "bench.statistics"

local function question(group, entry)
  local task = entry[3]
  return task:find("%d", 1, true) and task:format(group.count) or ("%s %d"):format(task, group.count)
end

local function ask(world, group, entry)
  if group.before then
    group.before(world)
  end
  local fresh <close> = group.fresh and assert(world:start(entry[2])) or nil
  local program = fresh or assert(world:child(entry[2]))
  local from = clock.cpu(world.server_pid)
  local sample = program:ask(question(group, entry))
  sample.server = clock.cpu(world.server_pid) - from
  if group.after then
    sample.sum = group.after(world)
  end
  return sample
end

-- All have fetched the same, or the benchmark is worth nothing.
local function check(group, entry, sum)
  if entry.differs then
    return
  end
  group.sum = group.sum or sum
  if sum ~= group.sum then
    error(("%s, %s: the checksum is %s, not %s"):format(group.title, entry[1], sum, group.sum), 0)
  end
end

local function runnable(world, group)
  local entries = {}
  for _, entry in ipairs(group.entries) do
    if world:child(entry[2]) then
      entry.samples = { wall = {}, client = {}, server = {}, cpu = {}, p50 = {}, p99 = {}, p999 = {} }
      entries[#entries + 1] = entry
    end
  end
  return entries
end

-- Per unit of work; the server also worked for what came before and after those that count.
local function keep(group, entry, sample)
  local scale = group.scale or 1000
  local units = { server = group.count + (entry.extra or group.extra or 0), client = group.count, wall = group.count }
  for name, unit in pairs(units) do
    sample[name] = sample[name] and sample[name] / unit
  end
  sample.cpu = sample.client and sample.server and sample.client + sample.server
  for name, samples in pairs(entry.samples) do
    if sample[name] then
      table.insert(samples, sample[name] / scale)
    end
  end
end

-- What fails, as on a machine with few descriptors, is left out, and said to be.
local function try(world, group, entry)
  local ok, sample = pcall(group.measure or ask, world, group, entry)
  if ok then
    return sample
  end
  entry.failed = true
  world.skipped[group.key .. entry[1]] = ("%s, %s: %s"):format(group.title, entry[1], sample)
end

local function those_that_ran(entries)
  local ran = {}
  for _, entry in ipairs(entries) do
    if not entry.failed then
      ran[#ran + 1] = entry
    end
  end
  return ran
end

-- The first round warms up, and each begins with another entry.
local function measure(world, group, rounds)
  local entries = runnable(world, group)
  for round = group.measure and 1 or 0, rounds do
    for i = 1, #entries do
      local entry = entries[(i + round) % #entries + 1]
      local sample = not entry.failed and try(world, group, entry)
      if sample then
        check(group, entry, sample.sum)
      end
      if sample and round > 0 then
        keep(group, entry, sample)
      end
    end
  end
  return those_that_ran(entries)
end

local function summary(group, entry, baseline)
  local result = { label = entry[1], x = entry.x, line = entry.line }
  for name, samples in pairs(entry.samples) do
    if not (group.no_cpu and (name == "client" or name == "server" or name == "cpu")) then
      result[name] = statistics.spread(samples)
    end
  end
  if baseline then
    local by = group.by or "cpu"
    result.ratio = statistics.ratio(entry.samples[by], baseline.samples[by])
  end
  return result
end

-- What was promised: { text, of, relative to or nil, bound }.
local function judge(group, promise, by_label)
  local text, label, other, bound = table.unpack(promise, 1, 4)
  local of = promise.of or group.by or (other and "cpu" or "wall")
  local a, b = by_label[label], other and by_label[other]
  if not a or (other and not b) then
    return { text = text, bound = bound }
  end
  local value = b and statistics.ratio(a.samples[of], b.samples[of]) or statistics.spread(a.samples[of])
  return { text = text, bound = bound, value = value, met = value.median <= bound }
end

return function(world, group, rounds)
  world:use_cores(group.cores or "one")
  local entries = measure(world, group, group.rounds and math.min(group.rounds, rounds) or rounds)
  local by_label = {}
  for _, entry in ipairs(entries) do
    by_label[entry[1]] = entry
  end
  local baseline = group.baseline ~= false and (by_label[group.baseline] or by_label[group.entries[1][1]])
  local result = { key = group.key, title = group.title, unit = group.unit, entries = {}, promises = {} }
  result.baseline = baseline and baseline[1] or nil
  result.scale = group.scale
  for _, entry in ipairs(entries) do
    table.insert(result.entries, summary(group, entry, baseline))
  end
  for _, promise in ipairs(group.promises or {}) do
    table.insert(result.promises, judge(group, promise, by_label))
  end
  return result
end
