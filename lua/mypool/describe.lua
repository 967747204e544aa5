-- What a pool is doing, in a few lines for people: who has its connections, who waits for one, why none can be opened.
-- Neither values nor passwords: places in the program, and the server's words.

local core = require "mypool.core"
core.internal()

-- Of places with ages: how often each stands there, and the greatest age. Returns also the places, the oldest first.
local function grouped(list)
  local groups, places = {}, {}
  for _, entry in ipairs(list) do
    local place, age = core.place_to_tell(entry[1]), entry[2]
    local group = groups[place]
    if not group then
      group = { count = 0, age = 0 }
      groups[place] = group
      places[#places + 1] = place
    end
    group.count, group.age = group.count + 1, math.max(group.age, age)
  end
  table.sort(places, function(a, b)
    return groups[a].age > groups[b].age
  end)
  return groups, places
end

local function add_places(lines, what, list)
  local groups, places = grouped(list)
  for _, place in ipairs(places) do
    local group = groups[place]
    lines[#lines + 1] = ("%s: %s ×%d for up to %.1f s"):format(what, place, group.count, group.age)
  end
end

local function sums(stats, name)
  local parts = {}
  for _, state in ipairs { "lent", "idle", "opening", "recovering" } do
    if stats[state] > 0 or state == "lent" or state == "idle" then
      parts[#parts + 1] = ("%d %s"):format(stats[state], state)
    end
  end
  local whose = name ~= "" and ("pool '%s'"):format(name) or "pool"
  local line = "%s: %d of %d connections (%s), %d waiting"
  return line:format(whose, stats.size, stats.max_size, table.concat(parts, ", "), stats.waiting)
end

-- Nothing while one server can be used.
local function add_reasons(lines, hosts)
  for _, host in ipairs(hosts) do
    if host.standing ~= "barred" then
      return
    end
  end
  for _, host in ipairs(hosts) do
    lines[#lines + 1] = ("down: %s: %s"):format(host.host, host.last_error or "avoided")
  end
end

-- The text for a pool, without a line break at its end.
return function(pool)
  local lent, waiting, name = core.places(pool)
  local stats = core.stats(pool)
  local lines = { sums(stats, name) }
  add_places(lines, "lent", lent)
  add_places(lines, "waiting", waiting)
  add_reasons(lines, stats.hosts)
  return table.concat(lines, "\n")
end
