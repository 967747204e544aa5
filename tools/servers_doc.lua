-- Prints doc/servers.md from what tools/servers.sh left in build/servers/results: for each server and file of specs how
-- many passed, failed, and did not apply, and why.

local folder = "build/servers/results/"
local servers = { "mariadb-10.5", "mariadb-11.8", "mysql-9.7", "mysql-5.6" }

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
  end
  pipe:close()
  return lines
end

-- The reasons of pending specs stand two lines below the heading of each, as busted prints them.
local function reasons_in(text, reasons)
  for reason in text:gmatch "\nPending %-> [^\n]*\n[^\n]*\n([^\n]+)" do
    reason = reason:gsub("^[^ ]+:%d+: ", "")
    reason = reason:match "^the server does not know this type" or reason
    reasons[reason] = (reasons[reason] or 0) + 1
  end
end

-- nil: not run; otherwise { passed, failed, pending }, or without numbers if busted did not end.
local function result_of(server, name, reasons)
  local file = io.open(folder .. server .. "/" .. name)
  if not file then
    return nil
  end
  local text = file:read "a"
  file:close()
  local passed, failures, errors, pending =
    text:match "(%d+) success%a* / (%d+) failure%a* / (%d+) error%a* / (%d+) pending"
  if not passed then
    return {}
  end
  reasons_in(text, reasons)
  return { passed = tonumber(passed), failed = failures + errors, pending = tonumber(pending) }
end

local function cell(result)
  if not result then
    return "not run"
  elseif not result.passed then
    return "did not end"
  end
  local parts = { ("%d passed"):format(result.passed) }
  if result.failed > 0 then
    parts[#parts + 1] = ("**%d failed**"):format(result.failed)
  end
  if result.pending > 0 then
    parts[#parts + 1] = ("%d n/a"):format(result.pending)
  end
  return table.concat(parts, ", ")
end

local function add(total, result)
  for _, key in ipairs { "passed", "failed", "pending" } do
    total[key] = (total[key] or 0) + (result and result[key] or 0)
  end
  total.open = (total.open or 0) + ((not result or not result.passed) and 1 or 0)
end

local names = lines_of("cd " .. folder .. " && find . -name '*_spec.lua' | sed 's/^[^/]*.[^/]*.//' | sort -u")
local known, idle = {}, {}
for _, name in ipairs(names) do
  known[name] = true
end
for _, name in ipairs(lines_of "tools/servers.sh --files | sed 's/^spec.//'") do
  if not known[name] then
    idle[#idle + 1] = (name:gsub("_spec%.lua$", ""))
  end
end
local totals, reasons, rows = {}, {}, {}
for _, server in ipairs(servers) do
  totals[server], reasons[server] = {}, {}
end
for _, name in ipairs(names) do
  local row = { (name:gsub("_spec%.lua$", "")) }
  for _, server in ipairs(servers) do
    local result = result_of(server, name, reasons[server])
    add(totals[server], result)
    row[#row + 1] = cell(result)
  end
  rows[#rows + 1] = "| " .. table.concat(row, " | ") .. " |"
end

print "# The specs on other servers\n"
local heading, rule, sums = { "specs" }, { "---" }, { "**all**" }
for _, server in ipairs(servers) do
  local total = totals[server]
  local what = total.passed == 0 and "nothing has run on it"
    or ("%d passed, %d failed, %d do not apply"):format(total.passed, total.failed, total.pending)
  if total.passed > 0 and total.open + #idle > 0 then
    what = what .. ("; %d of %d files have not run to their end"):format(total.open + #idle, #names + #idle)
  end
  print(("- %s: %s."):format(server, what))
  heading[#heading + 1], rule[#rule + 1], sums[#sums + 1] = server, "---", cell(total)
end
print [[

The reference, on which `make test` runs them all, is MariaDB 10.11. `make test-servers` fetches these four servers,
runs on each all specs that are about a server, and writes this page. n/a: the spec does not apply, for a reason that is
told below. Where a spec tries many statements, those that a server does not know are left out on it.
]]
print("| " .. table.concat(heading, " | ") .. " |")
print("|" .. table.concat(rule, "|") .. "|")
print(table.concat(rows, "\n"))
print("| " .. table.concat(sums, " | ") .. " |")
if #idle > 0 then
  print("\nNot run on any of them yet: " .. table.concat(idle, ", ") .. ".")
end
print "\n## What does not apply\n"
for _, server in ipairs(servers) do
  local list = {}
  for reason, count in pairs(reasons[server]) do
    list[#list + 1] = ("- %s: %s (%d)"):format(server, reason, count)
  end
  table.sort(list)
  for _, line in ipairs(list) do
    print(line)
  end
end
