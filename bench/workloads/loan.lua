-- Checkout, SELECT 1, release: on the socket, and with a network between client and server.

-- `where`: port, sessions, pause in µs. C's "four commands" are those of mypool's reset, sent at once, their replies
-- read by a program that knows no others. Go has no reset to offer.
local function entries(where)
  local port, sessions, pause = table.unpack(where)
  local function loan(how)
    return ("loan %%d %d %d %d %s"):format(port, sessions, pause, how)
  end
  return {
    { "C, no reset", "c", loan "none" },
    { "C, synchronous reset", "c", loan "reset" },
    { "C, synchronous reset and restore", "c", loan "restore" },
    { "C, the reset's four commands", "c", loan "flight" },
    { "mypool", "mypool", loan "always" },
    { "mypool, reset = never", "mypool", loan "never" },
    { "Go (no reset)", "go", loan "" },
    { "mysql2, resetOnRelease", "mysql2", loan "always" },
    { "mysql2", "mysql2", loan "never" },
    { "mariadb, resetAfterUse", "mariadb", loan "always" },
    { "mariadb", "mariadb", loan "never" },
  }
end

local function near()
  return {
    key = "loan",
    title = "Checkout, SELECT 1, release",
    count = 2000,
    unit = "µs per loan",
    entries = entries { 0, 1, 0 },
    promises = {
      { "loan without reset / C", "mypool, reset = never", "C, no reset", 1.19 },
      { "loan with reset / C, equal work", "mypool", "C, the reset's four commands", 1.05 },
      { "the same / mysql2 without reset", "mypool", "mysql2", 1.00 },
    },
  }
end

local function one_call()
  return {
    key = "call",
    title = "One call of the pool: pool:value",
    count = 2000,
    unit = "µs per call",
    entries = {
      { "C, the four commands with the statement", "c", "loan %d 0 1 0 together" },
      { "C, the four commands after the reply", "c", "loan %d 0 1 0 flight" },
      { "mypool", "mypool", "calls %d 0 1 call always" },
      { "mypool, reset_together = false", "mypool", "calls %d 0 1 call apart" },
      { "mypool, reset = never", "mypool", "calls %d 0 1 call never" },
    },
    promises = {
      {
        "call of the pool / C, equal work sent with the statement",
        "mypool",
        "C, the four commands with the statement",
        1.10,
      },
    },
  }
end

local function key_of(ms, how)
  return (("far_%g_%s"):format(ms, how):gsub("%.", "_"))
end

-- The longer the way, the longer the pause that hides a reset, and the fewer loans for the same time.
local function with_pause(ms, port)
  return {
    key = key_of(ms, "pause"),
    title = ("The same through a network of +%g ms, with a pause of %g ms between loans"):format(ms, 2 * ms + 1),
    count = 30,
    unit = "µs per loan",
    by = "wall",
    no_cpu = true, -- it would count the pauses, too
    entries = entries { port, 1, math.tointeger((2 * ms + 1) * 1000) },
    promises = ms == 0.5 and {
      { "+0.5 ms, pause / mypool with reset = never", "mypool", "mypool, reset = never", 1.12 },
      { "+0.5 ms, pause / C with a synchronous reset", "mypool", "C, synchronous reset", 0.6 },
    },
  }
end

local function back_to_back(ms, port)
  return {
    key = key_of(ms, "busy"),
    title = ("The same through a network of +%g ms, back to back, two sessions"):format(ms),
    count = math.tointeger(100 // ms),
    unit = "µs per loan",
    by = "wall",
    entries = entries { port, 2, 0 },
    promises = ms == 0.5 and {
      { "+0.5 ms, back to back / mypool with reset = never", "mypool", "mypool, reset = never", 1.15 },
    },
  }
end

return function(world)
  local groups = { near(), one_call() }
  for _, ms in ipairs { 0.5, 2 } do
    local port = world:relay(ms)
    table.insert(groups, with_pause(ms, port))
    table.insert(groups, back_to_back(ms, port))
  end
  return groups
end
