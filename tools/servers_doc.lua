-- Prints doc/servers.md from what tools/servers.sh left in build/servers/results: for each server and group of specs
-- how many passed, failed, and did not apply, and why; then what the next borrower of a connection sees on each.

local folder = "build/servers/results/"
local servers = {
  { name = "system", title = "mariadb-10.11" },
  { name = "mariadb-10.5" },
  { name = "mariadb-11.8" },
  { name = "mysql-9.7" },
  { name = "mysql-5.6" },
}
for _, server in ipairs(servers) do
  server.title = server.title or server.name
  server.total, server.groups, server.reasons, server.failures, server.open = {}, {}, {}, {}, {}
end

local function read(path)
  local file = io.open(path)
  local text = file and file:read "a"
  if file then
    file:close()
  end
  return text
end

-- ---- what busted printed ----

-- The reason of a pending spec is the last line of its block, behind the place and the name, which may have several.
local function reasons_in(text, reasons)
  for block in (text .. "\n\n"):gmatch "%f[P]Pending %-> [^\n]*\n(.-)\n\n" do
    local reason = block:match "[^\n]*$":gsub("^[^ ]+:%d+: ", "")
    reason = reason:match "^the server does not know this type" or reason
    reasons[reason] = (reasons[reason] or 0) + 1
  end
end

local function add(counts, passed, failed, pending)
  counts.passed = (counts.passed or 0) + passed
  counts.failed = (counts.failed or 0) + failed
  counts.pending = (counts.pending or 0) + pending
end

-- Takes in what a file of specs came to on the server.
local function take(server, group, name)
  local text = read(folder .. server.name .. "/" .. group .. "/" .. name .. "_spec.lua") or ""
  local passed, failures, errors, pending =
    text:match "(%d+) success%a* / (%d+) failure%a* / (%d+) error%a* / (%d+) pending"
  if not passed then
    server.open[#server.open + 1] = group .. "/" .. name
    return
  end
  reasons_in(text, server.reasons)
  server.failures[group .. "/" .. name] = failures + errors > 0 and failures + errors or nil
  server.groups[group] = server.groups[group] or {}
  for _, counts in ipairs { server.groups[group], server.total } do
    add(counts, passed + 0, failures + errors, pending + 0)
  end
end

local function take_all()
  local groups, known = {}, {}
  local pipe = assert(io.popen "tools/servers.sh --files")
  for file in pipe:lines() do
    local group, name = file:match "^spec/(.+)/([^/]+)_spec%.lua$"
    if not known[group] then
      known[group] = true
      groups[#groups + 1] = group
    end
    for _, server in ipairs(servers) do
      take(server, group, name)
    end
  end
  pipe:close()
  return groups
end

-- ---- the page ----

local function put_row(first, cell_of)
  local cells = { first }
  for _, server in ipairs(servers) do
    cells[#cells + 1] = cell_of(server)
  end
  print("| " .. table.concat(cells, " | ") .. " |")
end

local function put_heading(first)
  put_row(first, function(server)
    return server.title
  end)
  print("|---" .. ("|---"):rep(#servers) .. "|")
end

local function counts_cell(counts)
  if not counts or not counts.passed then
    return "not run"
  end
  local failed = counts.failed > 0 and (", **%d failed**"):format(counts.failed) or ""
  local pending = counts.pending > 0 and (", %d n/a"):format(counts.pending) or ""
  return ("%d passed%s%s"):format(counts.passed, failed, pending)
end

local function put_list(heading, list_of)
  local lines = {}
  for _, server in ipairs(servers) do
    for _, line in ipairs(list_of(server)) do
      lines[#lines + 1] = ("- %s: %s"):format(server.title, line)
    end
  end
  if #lines > 0 then
    print(("\n## %s\n"):format(heading))
    print(table.concat(lines, "\n"))
  end
end

local function counted(counts)
  local list = {}
  for what, count in pairs(counts) do
    list[#list + 1] = ("%s (%d)"):format(what, count)
  end
  table.sort(list)
  return list
end

local function open_of(server)
  local why = read(folder .. server.name .. "/unavailable")
  if why then
    return { (why:gsub("\n", "")) }
  elseif not server.total.passed then
    return { "all" }
  end
  return #server.open > 0 and { table.concat(server.open, ", ") } or {}
end

-- ---- the matrix ----

local words = { clean = "clean", replaced = "clean, new connection", leaks = "**leaks**", breaks = "**breaks**" }

local function is_leak(verdict)
  return verdict and verdict ~= "clean" and verdict ~= "replaced"
end

-- Verdicts by the name of the row, of all transports the worst; none for a row whose spec does not apply, or did not
-- run.
local function read_matrix(server)
  server.matrix, server.rows = {}, 0
  for verdict, name in (read(folder .. server.name .. "/matrix") or ""):gmatch "(%S+)\t([^\n]+)\n" do
    server.rows = server.rows + (server.matrix[name] and 0 or 1)
    if not is_leak(server.matrix[name]) then
      server.matrix[name] = verdict
    end
  end
end

local function put_matrix()
  local leaks = require "spec.matrix.leaks"
  print "\n## What the next borrower sees\n"
  print "Each row is a kind of state that a borrower left behind, as [isolation.md](why/isolation.md) explains it, over"
  print "a unix socket, TCP and TLS. Clean, new connection: mypool has closed the session and opened another, unseen."
  print "n/a: the server does not have that kind of state.\n"
  put_heading "state"
  local leaked = {}
  leaks.each(function(row)
    put_row((row.name:gsub("|", "\\|")), function(server)
      local verdict = server.matrix[row.name]
      if is_leak(verdict) and not row.exception then
        leaked[server] = (leaked[server] or 0) + 1
      end
      local known = verdict and (words[verdict] or verdict) or server.rows > 0 and "n/a" or "not run"
      return row.exception and is_leak(verdict) and "an [exception](why/isolation.md#exceptions)" or known
    end)
  end)
  put_row("**kinds of state leaked**, of so many", function(server)
    return server.rows > 0 and ("**%d** of %d"):format(leaked[server] or 0, server.rows) or "not run"
  end)
end

local groups = take_all()
for _, server in ipairs(servers) do
  read_matrix(server)
end
print [[
# The specs on other servers

`make test-servers` fetches four servers into `build/servers`, runs all specs that are about a server on each of them
and on the MariaDB that is installed, the reference, and writes this page. n/a: the spec does not apply, for a reason
that is told below. Where a spec tries many statements, those that a server does not know are left out on it.
]]
put_heading "specs"
for _, group in ipairs(groups) do
  put_row(group, function(server)
    return counts_cell(server.groups[group])
  end)
end
put_row("**all**", function(server)
  return counts_cell(server.total)
end)
put_list("What did not run", open_of)
put_list("What failed", function(server)
  local failures = counted(server.failures)
  return #failures > 0 and { table.concat(failures, ", ") } or {}
end)
put_list("What does not apply", function(server)
  return counted(server.reasons)
end)
put_matrix()
