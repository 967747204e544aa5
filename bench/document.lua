-- Puts the results of the last run into doc/why/performance.md: make doc-performance. What stands between
-- "<!-- table KEY -->" and "<!-- end -->" is replaced; all else there is written by hand.

local charts = require "bench.charts"
local keep = require "bench.keep"
local tables = require "bench.tables"

local path = "doc/why/performance.md"
local results = keep.read "build/bench/results.lua"

local blocks = {}

for _, result in ipairs(results) do
  blocks[result.key] = tables.markdown(tables.of(result))
end

blocks.promises = tables.markdown(tables.promises(results))
blocks.machine = ("Measured on: %s; medians of %d rounds.\n\n- %s"):format(
  results.machine,
  results.rounds,
  table.concat(results.versions, "\n- ")
)

local function fill(text)
  return (text:gsub("(<!%-%- table ([%w_.]+) %-%->\n).-(<!%-%- end %-%->)", function(first, key, last)
    assert(blocks[key], "the last run has no " .. key)
    return first .. "\n" .. blocks[key] .. "\n\n" .. last
  end))
end

local function rewrite()
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  file = assert(io.open(path, "w"))
  file:write(fill(text))
  file:close()
end

local function draw(result)
  local name = "doc/why/performance/" .. result.key .. ".svg"
  if result.entries[1].line then
    return charts.lines(name, result)
  end
  charts.bars(name, result, result.entries[1].p99 and "p99" or "wall", result.entries[1].p99 and "p99, µs")
end

local drawn = { loan = true, far_0_5_busy = true, rows_kept = true, crowd_one = true, memory = true }

os.execute "mkdir -p doc/why/performance"
for _, result in ipairs(results) do
  if drawn[result.key] or result.entries[1].line then
    draw(result)
  end
end
rewrite()
