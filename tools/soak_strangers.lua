-- A process of `make soak`: other programs, straight on the servers, while soak.lua breaks things around them. One
-- on each server holds the lock that others wait for; the rest are those of spec/support/strangers.lua.
--
--   require "tools.soak_strangers" { places = { { "127.0.0.1", 3306 }, … }, seconds = …, seed = … }
--
-- Prints in the end how many of their statements there were, and how many were stopped.

local cqueues = require "cqueues"
local strangers = require "spec.support.strangers"

local CROWD = 20 -- on each server

local function new_crowd(place)
  local host, port = table.unpack(place)
  return strangers.new { host = host, port = port, user = "limited", password = "secret", database = "app" }
end

-- Also on a server that was started again, as soon as it can be reached.
local function hold_lock(pool, deadline)
  while cqueues.monotime() < deadline do
    pool:transaction(function(tx)
      while tx:query "UPDATE soak_locked SET n = n + 1" and cqueues.monotime() < deadline do
        cqueues.sleep(0.2)
      end
    end)
    cqueues.sleep(0.2)
  end
end

return function(given)
  math.randomseed(given.seed)
  local deadline, loop, count, stopped = cqueues.monotime() + given.seconds, cqueues.new(), 0, 0
  local crowds = {}
  for i, place in ipairs(given.places) do
    crowds[i] = new_crowd(place)
    loop:wrap(hold_lock, crowds[i].pool, deadline)
    for one = 1, CROWD do
      loop:wrap(crowds[i].live, crowds[i], deadline, one % 2 == 0)
    end
  end
  assert(loop:loop())
  for _, crowd in ipairs(crowds) do
    count, stopped = count + crowd.count, stopped + crowd.stopped
  end
  print(("statements=%d stopped=%d"):format(count, stopped))
end
