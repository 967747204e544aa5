-- Many coroutines on 8 sessions: 64 for throughput and latency; 1 to 10,000 for the cost of waiting.

local function point_select(cores, title)
  return {
    key = "crowd_" .. cores,
    title = "64 coroutines on 8 sessions, point select, " .. title,
    cores = cores,
    by = cores == "all" and "wall" or "cpu",
    count = 4000,
    unit = "µs per loan",
    extra = 2 * 64, -- requests before and after those that count
    baseline = "Go (no reset)",
    entries = {
      { "C, epoll, no reset", "c", "crowd %d 64 none 0" },
      { "C, epoll, the reset's four commands", "c", "crowd %d 64 flight 0" },
      { "mypool", "mypool", "crowd %d 64 point always" },
      { "mypool, reset = never", "mypool", "crowd %d 64 point never" },
      { "Go (no reset)", "go", "crowd %d 64 point" },
      { "mysql2, resetOnRelease", "mysql2", "crowd %d 64 point always" },
      { "mysql2", "mysql2", "crowd %d 64 point never" },
      { "mariadb, resetAfterUse", "mariadb", "crowd %d 64 point always" },
      { "mariadb", "mariadb", "crowd %d 64 point never" },
    },
    promises = cores == "one" and {
      { "64 coroutines without reset / C, epoll", "mypool, reset = never", "C, epoll, no reset", 1.85 },
      { "64 coroutines with reset / C, epoll, equal work", "mypool", "C, epoll, the reset's four commands", 1.60 },
    },
  }
end

local sizes = { 1, 10, 100, 1000, 10000 }

-- One entry for each size; cost per loan by size becomes a line of a chart.
local function waiting(what, title, contenders, bound)
  local group = {
    key = "herd_" .. what,
    title = title,
    count = 4000,
    unit = "µs per loan",
    rounds = 5,
    baseline = false,
    entries = {},
    promises = bound and {
      { title .. ": 10,000 coroutines / 10", "mypool × 10000", "mypool × 10", bound },
    },
  }
  for _, contender in ipairs(contenders) do
    local label, program, reset = table.unpack(contender)
    for _, size in ipairs(sizes) do
      local entry = { ("%s × %d"):format(label, size), program, ("crowd %%d %d %s %s"):format(size, what, reset) }
      entry.extra, entry.x, entry.line, entry.differs = 2 * size, size, label, true
      table.insert(group.entries, entry)
    end
  end
  return group
end

return function()
  return {
    point_select("one", "one core"),
    point_select("all", "all cores"),
    waiting("one", "SELECT 1 by many coroutines on 8 sessions", {
      { "mypool", "mypool", "always" },
      { "mypool, reset = never", "mypool", "never" },
      { "Go", "go", "" },
      { "mysql2", "mysql2", "never" },
      { "mariadb", "mariadb", "never" },
    }, 1.3),
    waiting("none", "Loans without I/O by many coroutines on 8 sessions", {
      { "mypool", "mypool", "never" },
      { "Go", "go", "" },
      { "mysql2", "mysql2", "never" },
      { "mariadb", "mariadb", "never" },
    }, 1.3),
  }
end
