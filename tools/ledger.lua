-- What the fault specs did and found, counted while they run and printed as one table by `make test-faults`.
--
--   local ledger = require "tools.ledger"
--   ledger.enter("exactly once: query", { faults = 120, statements = 240, twice = 0, lost = 0 })
--
-- Entries with the same title are added up. They go to the file that MYPOOL_LEDGER names, as a spec file's
-- Lua state, and a program that it starts, may be another one than the printer's; without it, nowhere.

local ledger = {}

-- faults: damages done; statements: those sent that had to run once or not at all; twice: those that ran more
-- than once; half: transactions of which a part was reported as all, or as nothing;
-- lost: reported as done without their effect, or neither reported nor explained; strangers: statements of
-- others that were stopped; slots_lost: places of a pool that nobody got again, or not at once; sessions_lost:
-- sessions that a pool no longer knew of, or the server no longer had; crashes: processes that a signal or a
-- sanitizer ended.
local columns =
  { "faults", "statements", "twice", "half", "lost", "strangers", "slots_lost", "sessions_lost", "crashes" }
local headings = {
  "faults tried",
  "statements sent",
  "executed twice",
  "half",
  "lost",
  "strangers stopped",
  "slots lost",
  "sessions lost",
  "crashes",
}
local must_be_zero = {
  twice = true,
  half = true,
  lost = true,
  strangers = true,
  slots_lost = true,
  sessions_lost = true,
  crashes = true,
}

local function numbers_of(counts)
  local numbers = {}
  for i, column in ipairs(columns) do
    numbers[i] = ("%d"):format(counts[column] or 0)
  end
  return numbers
end

local function check(counts)
  for name in pairs(counts) do
    if not (" " .. table.concat(columns, " ") .. " "):find(" " .. name .. " ", 1, true) then
      error("no column '" .. tostring(name) .. "'", 3)
    end
  end
end

-- counts: any of the columns, by name; those not given are 0.
function ledger.enter(title, counts)
  check(counts)
  local path = os.getenv "MYPOOL_LEDGER"
  if path then
    local file <close> = assert(io.open(path, "a"))
    assert(file:write(title, "\t", table.concat(numbers_of(counts), "\t"), "\n"))
  end
end

local function add(sums, numbers)
  for i, column in ipairs(columns) do
    sums[column] = (sums[column] or 0) + math.tointeger(numbers[i])
  end
end

-- Returns the titles in the order of their first entry, the sums by title, and the sums of all.
local function read(path)
  local titles, by_title, all = {}, {}, {}
  for line in io.lines(path) do
    local title, rest = line:match "^(.-)\t(.*)$"
    if not by_title[title] then
      by_title[title] = {}
      titles[#titles + 1] = title
    end
    local numbers = {}
    for number in rest:gmatch "%d+" do
      numbers[#numbers + 1] = number
    end
    add(by_title[title], numbers)
    add(all, numbers)
  end
  return titles, by_title, all
end

local function print_line(title, cells)
  io.write(("%-46s"):format(title))
  for i, cell in ipairs(cells) do
    io.write((" %" .. #headings[i] .. "s"):format(cell))
  end
  io.write "\n"
end

-- Prints the table; returns whether all columns that must be 0 are.
function ledger.print(path)
  local titles, by_title, all = read(path)
  print_line("", headings)
  for _, title in ipairs(titles) do
    print_line(title, numbers_of(by_title[title]))
  end
  print_line("all", numbers_of(all))
  for column in pairs(must_be_zero) do
    if (all[column] or 0) > 0 then
      return false
    end
  end
  return #titles > 0
end

if arg and arg[0] and arg[0]:find "ledger%.lua$" then
  os.exit(ledger.print(arg[1]) and 0 or 1)
end

return ledger
