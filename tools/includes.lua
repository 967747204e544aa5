-- Who may include whom, what a .c includes first, and that no two files of a folder reach each other: for `make lint`.
--
--   lua tools/includes.lua SOURCES OBJECTS
--
-- SOURCES is a folder laid out as src is, OBJECTS has an object file for each of its .c files. Prints each forbidden
-- include, each .c that does not begin with the header of its own prototypes, and for each circle of files the symbols
-- that close it; ends with 1 where there are any.

-- Headers of ours that a folder may include beside its own. What an allowed header includes is allowed with it.
local ours = {
  [""] = {},
  sql = { "sql.h" },
  os = { "outcome.h" },
  mariadb = { "driver.h", "mariadb.h", "os/" },
  pool = { "driver.h", "mypool.h" },
  lua = { "mypool.h", "mariadb.h", "os/" },
}

-- The headers above all folders, in the order in which one may include those before it.
local tops = { "outcome.h", "result.h", "sql.h", "mypool.h", "mariadb.h", "driver.h" }

-- Headers of others. The C standard's are allowed everywhere, POSIX and the system's where it says so.
local standard = {}
for name in
  ([[assert ctype errno float inttypes limits locale math setjmp signal stdarg stdatomic stdbool stddef stdint stdio
    stdlib string time]]):gmatch "%a+"
do
  standard[name .. ".h"] = true
end

local function is_mysql(name)
  return name:find "mysql" or name:find "^ma_" or name:find "mariadb" or name == "errmsg.h"
end

local function is_lua(name)
  return name:find "^lua" or name == "lauxlib.h"
end

local others = {
  sql = function(name)
    return name == "pthread.h" or name == "xlocale.h" -- numbers have a locale of their own, made once
  end,
  os = function(name)
    return not is_mysql(name) and not is_lua(name)
  end,
  mariadb = function(name)
    return not is_lua(name)
  end,
  lua = function(name)
    return is_lua(name) or name == "poll.h"
  end,
}

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
  end
  assert(pipe:close(), command)
  return lines
end

local function folder_of(path)
  return path:match "^(.*)/[^/]*$" or ""
end

-- ---- includes ----

-- Returns the names between quotes and those between angle brackets; the first of all when it is a quoted one.
local function includes_of(path)
  local quoted, angled, first = {}, {}, nil
  for line in io.lines(path) do
    quoted[#quoted + 1] = line:match '^%s*#%s*include%s*"([^"]+)"'
    angled[#angled + 1] = line:match "^%s*#%s*include%s*<([^>]+)>"
    first = first or #angled == 0 and quoted[1]
  end
  return quoted, angled, first
end

local function position(list, wanted)
  for i, value in ipairs(list) do
    if value == wanted then
      return i
    end
  end
end

-- The header of a file's prototypes: wakeup_eventfd.c, the half of one system, has wakeup.h. Without one beside it they
-- are in a header of `tops`, any of them.
local function is_own_header(files, path, first)
  for _, pattern in ipairs { "%.c$", "_%a+%.c$" } do
    local own, found = path:gsub(pattern, ".h")
    if found > 0 and files[own] then
      return first == own
    end
  end
  return position(tops, first) ~= nil
end

-- Where a quoted name leads from a file: to its own folder first, as the compiler looks.
local function resolve(files, from, name)
  local own = folder_of(from)
  local beside = own == "" and name or own .. "/" .. name
  return files[beside] and beside or files[name] and name
end

-- Whether a file of a folder may include this header: it is named, in a folder that is, or included by one that is.
local function is_allowed(includes, folder, header)
  local seen = {}
  local function reaches(from)
    if from == header then
      return true
    elseif not seen[from] then
      seen[from] = true
      for _, name in ipairs(includes[from] or {}) do
        if reaches(name) then
          return true
        end
      end
    end
  end
  for _, name in ipairs(ours[folder]) do
    if name:sub(-1) == "/" and folder_of(header) .. "/" == name or reaches(name) then
      return true
    end
  end
end

local function check_includes(root, report)
  local files, includes, angles = {}, {}, {}
  for _, path in ipairs(lines_of(("cd '%s' && find . -name '*.[ch]' | sort"):format(root))) do
    files[path:sub(3)] = true
  end
  for path in pairs(files) do
    local quoted, first
    quoted, angles[path], first = includes_of(root .. "/" .. path)
    includes[path] = {}
    for i, name in ipairs(quoted) do
      includes[path][i] = resolve(files, path, name) or name
    end
    if path:sub(-2) == ".c" and not is_own_header(files, path, first and resolve(files, path, first)) then
      report(("%s does not begin with the header of its own prototypes"):format(path))
    end
  end
  for path in pairs(files) do
    local folder = folder_of(path)
    if not ours[folder] then
      report(("%s: no rule says what a file of the folder '%s' may include"):format(path, folder))
    else
      for _, header in ipairs(includes[path]) do
        local before = folder == "" and position(tops, header)
        local own = position(tops, (path:gsub("%.c$", ".h")))
        local fine = before and own and (before < own or path:sub(-2) == ".c" and before == own)
        if folder ~= "" then
          fine = folder_of(header) == folder or is_allowed(includes, folder, header)
        end
        if not fine then
          report(('%s may not include "%s"'):format(path, header))
        end
      end
      for _, header in ipairs(angles[path]) do
        if not standard[header] and not (others[folder] and others[folder](header)) then
          report(("%s may not include <%s>"):format(path, header))
        end
      end
    end
  end
end

-- ---- circles ----

-- Returns what a file's code names and what it defines. A table of functions lies in a section of data: what only
-- that names is plugged in, not called.
local function symbols_of(object)
  local named, defined = {}, {}
  local in_code = false
  for _, line in ipairs(lines_of(("readelf -rW '%s'"):format(object))) do
    local section = line:match "^Relocation section '([^']+)'"
    in_code = section and section:find "^%.rela?%.text" ~= nil or not section and in_code
    local symbol = line:match "^%x+%s+%x+%s+R_%S+%s+%x+%s+([%a_][%w_]*)"
    if in_code and symbol then
      named[symbol] = true
    end
  end
  for _, line in ipairs(lines_of(("nm --defined-only --extern-only '%s'"):format(object))) do
    defined[line:match "(%S+)$"] = true
  end
  return named, defined
end

-- arrows[a][b]: a symbol of b that a names.
local function arrows_between(objects)
  local arrows, home = {}, {}
  local named = {}
  for name, object in pairs(objects) do
    local defined
    named[name], defined = symbols_of(object)
    for symbol in pairs(defined) do
      home[symbol] = name
    end
  end
  for name in pairs(objects) do
    arrows[name] = {}
    for symbol in pairs(named[name]) do
      local other = home[symbol]
      if other and other ~= name then
        arrows[name][other] = symbol
      end
    end
  end
  return arrows
end

local function keys(set)
  local list = {}
  for key in pairs(set) do
    list[#list + 1] = key
  end
  table.sort(list)
  return list
end

-- The files of a circle in their order, or nil: a search that meets a file that it has not left yet.
local function find_circle(arrows)
  local state, trail = {}, {}
  local function visit(file)
    state[file], trail[#trail + 1] = "open", file
    for _, other in ipairs(keys(arrows[file])) do
      if state[other] == "open" then
        return { table.unpack(trail, position(trail, other)) }
      end
      local circle = not state[other] and visit(other)
      if circle then
        return circle
      end
    end
    state[file], trail[#trail] = "left", nil
  end
  for _, file in ipairs(keys(arrows)) do
    local circle = not state[file] and visit(file)
    if circle then
      return circle
    end
  end
end

local function describe(folder, arrows, circle)
  local steps = {}
  for i, file in ipairs(circle) do
    local other = circle[i % #circle + 1]
    steps[i] = ("%s.c names %s of %s.c"):format(file, arrows[file][other], other)
  end
  return ("%s: a circle: %s"):format(folder, table.concat(steps, ", "))
end

-- A circle is told once, then its last arrow is taken away, so that the others are told as well.
local function check_circles(objects, report)
  for _, folder in ipairs(lines_of(("cd '%s' && find . -mindepth 1 -type d | sort"):format(objects))) do
    local found = {}
    for _, path in ipairs(lines_of(("find '%s/%s' -maxdepth 1 -name '*.o'"):format(objects, folder))) do
      found[path:match "([^/]+)%.o$"] = path
    end
    local arrows = arrows_between(found)
    local circle = find_circle(arrows)
    while circle do
      report(describe(folder:sub(3), arrows, circle))
      arrows[circle[#circle]][circle[1]] = nil
      circle = find_circle(arrows)
    end
  end
end

local sources, objects = ...
local count = 0
local function report(text)
  count = count + 1
  print(text)
end
check_includes(sources, report)
check_circles(objects, report)
os.exit(count == 0)
