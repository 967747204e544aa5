-- A load on a Galera cluster of which one node after the other fails, in an order and for times that a seed gives:
-- MYPOOL_CHAOS seconds of it, for several seeds when these are a hundred.

local breaking = require "spec.support.breaking"
local cluster_ways = require "spec.support.cluster_ways"
local fixture = require "spec.support.fixture"
local galera = require "spec.servers.galera"
local monotime = require("cqueues").monotime
local sleep = require "spec.support.sleep"

local reason = galera.reason_against()
if reason then
  pending("skipped, as there is no Galera: " .. reason)
  return
end

local seconds = tonumber(os.getenv "MYPOOL_CHAOS") or 20
local seeds = seconds < 100 and { 7 } or { 7, 11, 23 }

local cluster = fixture.started(galera.start)
local balancer = fixture.started(function()
  return cluster_ways.balancer(cluster)
end)

-- node, random: of its own, so that what else draws numbers changes no order.
local faults = {
  function(node)
    cluster:crash(node)
  end,
  function(node)
    node:stop()
    node:resume()
  end,
  function(node, random)
    node:pause()
    sleep(1 + random(6))
    node:continue()
  end,
  function(node, random)
    cluster:isolate(node)
    sleep(1 + random(7))
    cluster:heal(node)
  end,
  function(node, random)
    cluster:reject(node)
    sleep(random(4))
    cluster:accept(node)
  end,
  function(node)
    local ids = node:sql "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'limited'"
    for _, id in ipairs(ids) do
      pcall(node.sql, node, "KILL " .. id) -- it may have ended by itself
    end
  end,
}

local function random_of(seed)
  local state = seed
  return function(most)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % most + 1
  end
end

-- One node fails at a time, and the next when it is back. Returns how often one did.
local function break_nodes(seed)
  local random, deadline, count = random_of(seed), monotime() + seconds, 0
  while monotime() < deadline do
    faults[random(#faults)](cluster[random(3)], random)
    cluster:await_whole()
    sleep(0.5)
    count = count + 1
  end
  return count
end

local function witness()
  cluster:await_whole()
  return cluster[2]
end

describe("a pool reports nothing that is not so when nodes fail at random", function()
  for _, seed in ipairs(seeds) do
    it("by the seed " .. seed, function()
      local count
      local figures = breaking.run {
        fault = ("Galera: chaos, seed %d"):format(seed),
        ways = cluster_ways.list(cluster, balancer),
        witness = witness,
        act = function()
          count = break_nodes(seed)
        end,
      }
      breaking.assert_exactly_once(figures)
      breaking.assert_unavoidable(figures, 16 * count) -- eight on their way, and once more when a node stood still
    end)
  end
end)
