-- Sessions that are handed on at once have no time between their loans in which a reset could hide: 64 coroutines
-- on 8 sessions, and one caller on one session, with a network between client and server.

local COROUTINES = 64

local function key_of(what, ms)
  return (("handover_%s_%g"):format(what, ms):gsub("%.", "_"))
end

-- `more`: entries of C, which has calls alone.
local function crowd(what, title, ms, port, bound, more)
  local function request(reset)
    return ("crowd %%d %d %s %s %d"):format(COROUTINES, what, reset, port)
  end
  local group = {
    key = key_of(what, ms),
    title = ("All sessions lent, +%g ms: %d coroutines on 8 sessions, %s"):format(ms, COROUTINES, title),
    count = math.tointeger(1200 // (ms + 0.5)),
    unit = "µs per loan",
    by = "wall",
    extra = 2 * COROUTINES,
    baseline = "mypool, reset = never",
    entries = {
      { "mypool, reset = never", "mypool", request "never" },
      { "mypool", "mypool", request "always" },
      { "mypool, reset_together = false", "mypool", request "apart" },
    },
    promises = bound and {
      { ("all lent, +%g ms, %s: reset / none"):format(ms, title), "mypool", "mypool, reset = never", bound },
    },
  }
  for _, entry in ipairs(more or {}) do
    table.insert(group.entries, entry)
  end
  return group
end

local function of_c(port)
  local function request(how)
    return ("crowd %%d %d %s %d"):format(COROUTINES, how, port)
  end
  return {
    { "C, epoll, no reset", "c", request "none" },
    { "C, epoll, the four commands after the reply", "c", request "flight" },
    { "C, epoll, the four commands with the statement", "c", request "together" },
  }
end

local function alone(ms, port, bound)
  local function calls(what, reset)
    return ("calls %%d %d 1 %s %s"):format(port, what, reset)
  end
  return {
    key = key_of("alone", ms),
    title = ("One caller on one session, +%g ms, back to back"):format(ms),
    count = math.tointeger(120 // (ms + 0.5)),
    unit = "µs per loan",
    by = "wall",
    baseline = "mypool, reset = never",
    entries = {
      { "mypool, reset = never", "mypool", calls("call", "never") },
      { "mypool", "mypool", calls("call", "always") },
      { "mypool, reset_together = false", "mypool", calls("call", "apart") },
      { "transaction, reset = never", "mypool", calls("transaction", "never") },
      { "transaction", "mypool", calls("transaction", "always") },
      { "transaction, reset_together = false", "mypool", calls("transaction", "apart") },
      { "C, no reset", "c", ("loan %%d %d 1 0 none"):format(port) },
      { "C, the four commands after the reply", "c", ("loan %%d %d 1 0 flight"):format(port) },
      { "C, the four commands with the statement", "c", ("loan %%d %d 1 0 together"):format(port) },
    },
    promises = bound and {
      { ("one caller, one session, +%g ms: reset / none"):format(ms), "mypool", "mypool, reset = never", bound },
    },
  }
end

local bounds = {
  [0.5] = { call = 1.60 },
  [2] = { call = 1.20, transaction = 1.12, alone = 1.20 },
  [4] = {},
}

return function(world)
  local groups = {}
  for _, ms in ipairs { 0.5, 2, 4 } do
    local port, bound = world:relay(ms), bounds[ms]
    table.insert(groups, crowd("call", "calls of the pool", ms, port, bound.call, of_c(port)))
    table.insert(groups, crowd("transaction", "transactions", ms, port, bound.transaction))
    table.insert(groups, crowd("point", "checkouts", ms, port))
    table.insert(groups, alone(ms, port, bound.alone))
  end
  return groups
end
