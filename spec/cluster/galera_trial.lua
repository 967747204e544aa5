-- A load on a Galera cluster one of whose nodes fails: what is reported of each statement is true, whatever way leads
-- to the nodes.

local breaking = require "spec.support.breaking"
local cluster_ways = require "spec.support.cluster_ways"
local fixture = require "spec.support.fixture"
local galera = require "spec.servers.galera"
local sleep = require "spec.support.sleep"

local reason = galera.reason_against()
if reason then
  pending("skipped, as there is no Galera: " .. reason)
  return
end

local cluster = fixture.started(galera.start)
local balancer = fixture.started(function()
  return cluster_ways.balancer(cluster)
end)

-- `errors`: where it takes twice as many as are on their way. A node that stood still swallows statements again when
-- it goes on, before it knows that the group has forgotten it; and while the group forgets one, commits on the others
-- wait, which a busy machine may make so long that they seem silent.
local faults = {
  { "kill -9, started again", function(node)
    cluster:crash(node)
  end, errors = 16 },
  { "SIGTERM, started again", function(node)
    node:stop()
    node:resume()
  end },
  { "SIGSTOP for 7 s", function(node)
    node:pause()
    sleep(7)
    node:continue()
  end, errors = 16 },
  { "isolated for 8 s", function(node)
    cluster:isolate(node)
    sleep(8)
    cluster:heal(node)
  end, errors = 16 },
  { "refusing queries for 4 s", function(node)
    cluster:reject(node)
    sleep(4)
    cluster:accept(node)
  end },
}

describe("a pool on a Galera cluster reports nothing that is not so", function()
  for _, fault in ipairs(faults) do
    it("when a node is hit: " .. fault[1], function()
      local figures = breaking.run {
        fault = "Galera: " .. fault[1],
        ways = cluster_ways.list(cluster, balancer),
        witness = function()
          cluster:await_whole()
          return cluster[2]
        end,
        act = function()
          fault[2](cluster[1])
        end,
      }
      breaking.assert_exactly_once(figures)
      breaking.assert_unavoidable(figures, fault.errors)
    end)
  end
end)
