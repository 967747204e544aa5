-- Several loads at once (spec/support/load.lua), each reaching the servers in a way of its own, while one fault is done
-- to them; and the table of figures that `make test-cluster` prints.
--
--     local figures = breaking.run {
--       fault = "kill -9", ways = ways, act = function() … end, witness = function() return s end,
--     }
--     figures["one host"].errors
--
-- ways: a list of { name = …, options = those of mypool.new that lead to the servers, reader = true where the pool's
-- reader reads }. `witness` gives a server that is well before the fault, and after it one that has all that was
-- committed.

local load = require "spec.support.load"
local sleep = require "spec.support.sleep"

local breaking = {}

local columns = { "done", "errors", "avoidable", "reads", "twice", "lost", "half", "there" }

local function row(fault, way, cells, gap)
  local text = ("%-34s %-14s"):format(fault, way)
  for _, cell in ipairs(cells) do
    text = text .. (" %9s"):format(cell)
  end
  return ("%s %7s\n"):format(text, gap)
end

local function append(text)
  local path = os.getenv "MYPOOL_FIGURES"
  if path then
    local file <close> = assert(io.open(path, "a"))
    file:write(text)
  end
end

-- A figure in words, for the end of what `make test-cluster` prints.
function breaking.note(format, ...)
  append("  " .. format:format(...) .. "\n")
end

local function print_row(fault, way, figures)
  local cells = {}
  for i, name in ipairs(columns) do
    cells[i] = figures[name]
  end
  append(row(fault, way, cells, ("%.1f s"):format(figures.gap)))
end

-- The loads run for a while before the fault and after it.
local function under_load(arguments, act)
  local loads = {}
  for i, way in ipairs(arguments.ways) do
    loads[i] = load.start(arguments.witness(), way.name, way.options, way.reader)
  end
  sleep(1)
  local ok, message = pcall(act)
  sleep(2)
  for _, one in ipairs(loads) do
    one:stop()
  end
  assert(ok, message)
  return loads
end

-- Returns the figures of each way, by its name.
function breaking.run(arguments)
  local loads, figures = under_load(arguments, arguments.act), {}
  append(row("fault", "through", columns, "gap"))
  local witness = arguments.witness()
  for _, one in ipairs(loads) do
    figures[one.name] = one:judge(witness)
    print_row(arguments.fault, one.name, figures[one.name])
  end
  return figures
end

-- What no fault may do to anybody: nothing ran twice, nothing that was done is gone, nothing was done in part, and
-- nothing that was reported as not executed was.
function breaking.assert_exactly_once(figures)
  for name, f in pairs(figures) do
    local found = ("%s: twice %d, lost %d, half %d, there %d"):format(name, f.twice, f.lost, f.half, f.there)
    assert(f.twice + f.lost + f.half + f.there == 0, found)
    assert(f.done > 100, name .. ": the load stood still")
  end
end

-- A pool that knows all servers fails in nothing that another one could have served, nor in a read, which is declared
-- idempotent; and what it does not know the outcome of was under way, on one of its eight sessions, or so many.
function breaking.assert_unavoidable(figures, most)
  for _, name in ipairs { "first", "spread" } do
    local f = figures[name]
    assert(f.avoidable + f.reads == 0, ("%s: avoidable %d, reads %d: %s"):format(name, f.avoidable, f.reads, f.first))
    assert(f.errors <= (most or 8), ("%s: %d errors: %s"):format(name, f.errors, f.first))
  end
end

return breaking
