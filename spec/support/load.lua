-- The load of spec/programs/load.lua on servers that are broken under it, and the oracle: what it was told of each of
-- its operations, compared with the rows that a healthy server has in the end.
--
--     local load = require "spec.support.load"
--     local one = load.start(s, "direct", { host = …, port = … })
--     …
--     one:stop()
--     local figures = one:judge(s)
--
-- Figures: `done` operations; `errors`, of which `avoidable` are those that were not executed, and so could have been
-- by another server; `reads`, the errors of reads, which are declared idempotent; `twice`, `lost`, `half`, and `there`:
-- rows of what was reported as not executed; `gap`: the longest time in which nothing was done, in seconds; `first`:
-- the first avoidable error, or the first at all.

local eventually = require "spec.support.eventually"
local quote = require "spec.support.quote"

local load = {}
load.__index = load

-- Keys of the rows are not those of the operations, so that what runs twice is seen.
local columns = "k CHAR(36) DEFAULT UUID() PRIMARY KEY, op BIGINT NOT NULL, part INT NOT NULL, KEY (op)"

local function literal(value)
  if type(value) ~= "table" then
    return ("%q"):format(value)
  end
  local parts = {}
  for key, one in pairs(value) do
    parts[#parts + 1] = ("[%q] = %s"):format(key, literal(one))
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- The account is one that may not write where it is read-only.
local function options_of(options)
  local all = { user = "limited", password = "secret", database = "app", query_timeout = 8 }
  for name, value in pairs(options) do
    all[name] = value
  end
  return all
end

-- Starts it with these options of the pool, whose reader reads where `reader` is true, and waits until it is under way,
-- which the server `s` tells. It ends with this process, at the latest.
function load.start(s, name, options, reader, pause)
  local self = setmetatable({ name = name, table = "load_" .. name:gsub("%W", "_"), results = os.tmpname() }, load)
  s:sql(("CREATE OR REPLACE TABLE app.%s (%s) ENGINE=InnoDB"):format(self.table, columns))
  local arguments = { pool = options_of(options), table = self.table, results = self.results, pause = pause or 0.02 }
  arguments.reader = reader or false
  local text = 'require "spec.programs.load" ' .. literal(arguments)
  self.log = os.tmpname()
  self.pipe = assert(
    io.popen(
      -- Whoever writes to one that has failed is not to be ended by a signal.
      ("LUA_PATH=%s LUA_CPATH=%s ${LUA:-lua5.4} -W -e %s >%s 2>&1; status=$?; cat >/dev/null; exit $status"):format(
        quote(package.path),
        quote(package.cpath),
        quote(text),
        self.log
      ),
      "w"
    )
  )
  local under_way = pcall(eventually, function()
    return tonumber(s:sql(("SELECT COUNT(*) FROM app.%s"):format(self.table))[1]) > 100
  end)
  if not under_way then
    self:stop()
    error("the load does not begin: " .. self.text:sub(1, 500))
  end
  return self
end

local function read_file(path)
  local file <close> = assert(io.open(path))
  local text = file:read "a"
  os.remove(path)
  return text
end

-- Lets each coroutine end what it is doing.
function load:stop()
  if self.pipe then
    self.pipe:write "\n"
    local ok = self.pipe:close()
    self.pipe = nil
    local printed = read_file(self.log)
    self.text = read_file(self.results)
    assert(ok, printed)
  end
end

-- By operation, by part: how many rows of it there are.
local function rows_of(s, name)
  local counts = {}
  for _, line in
    ipairs(s:sql(("SELECT op, part, COUNT(*) FROM app.%s GROUP BY op, part"):format(name)))
  do
    local op, part, count = line:match "(%d+)\t(%d)\t(%d+)"
    op = tonumber(op)
    counts[op] = counts[op] or { 0, 0 }
    counts[op][tonumber(part)] = tonumber(count)
  end
  return counts
end

local function count_rows(figures, outcome, rows)
  if rows[1] > 1 or rows[2] > 1 then
    figures.twice = figures.twice + 1
  end
  if (rows[1] > 0) ~= (rows[2] > 0) then
    figures.half = figures.half + 1
  end
  if outcome == "done" and rows[1] + rows[2] == 0 then
    figures.lost = figures.lost + 1
  end
  if outcome == "no" and rows[1] + rows[2] > 0 then
    figures.there = figures.there + 1
  end
end

local function count_error(figures, kind, outcome, message)
  figures.errors = figures.errors + 1
  if kind == "read" then
    figures.reads = figures.reads + 1
  end
  if outcome ~= "unknown" then
    figures.avoidable = figures.avoidable + 1
    figures.first_avoidable = figures.first_avoidable or message
  end
  figures.first = figures.first_avoidable or figures.first or message
end

-- Nothing may have been done any more before the load ended.
local function longest_gap(ends, last)
  table.sort(ends)
  ends[#ends + 1] = last
  local longest = 0
  for i = 2, #ends do
    longest = math.max(longest, ends[i] - ends[i - 1])
  end
  return longest
end

-- Compares with the rows of the server `s`, which has all that was committed.
function load:judge(s)
  local figures = { done = 0, errors = 0, avoidable = 0, reads = 0, stale = 0, twice = 0, lost = 0, half = 0 }
  figures.there = 0
  local rows, ends, last = rows_of(s, self.table), {}, 0
  for op, kind, ended, outcome, message in self.text:gmatch "(%d+) (%l+) [%d.]+ ([%d.]+) (%l+) ([^\n]*)\n" do
    op, last = tonumber(op), math.max(last, tonumber(ended))
    if outcome == "done" or outcome == "stale" then
      figures.done = figures.done + 1
      figures.stale = figures.stale + (outcome == "stale" and 1 or 0)
      ends[#ends + 1] = tonumber(ended)
    else
      count_error(figures, kind, outcome, message)
    end
    if kind ~= "read" then
      count_rows(figures, outcome, rows[op] or { 0, 0 })
    end
  end
  figures.gap = longest_gap(ends, last)
  return figures
end

return load
