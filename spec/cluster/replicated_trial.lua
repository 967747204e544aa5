-- A load on a primary and its replica that change places, planned or not: what is reported of each statement is true.

local breaking = require "spec.support.breaking"
local cluster_ways = require "spec.support.cluster_ways"
local fixture = require "spec.support.fixture"
local replicated = require "spec.servers.replicated"
local sleep = require "spec.support.sleep"

local pair = fixture.started(replicated.start)
local balancer = fixture.started(function()
  return cluster_ways.balancer { pair.primary, pair.replica }
end)

local function witness()
  pair:await_same()
  return pair.primary
end

local function ways()
  local list = cluster_ways.list({ pair.primary, pair.replica }, balancer)
  list[#list + 1] = { name = "reader", options = list[3].options, reader = true }
  return list
end

local function run(fault, act)
  return breaking.run {
    fault = "primary and replica: " .. fault,
    ways = ways(),
    witness = witness,
    act = act,
  }
end

describe("a pool on a primary and a replica reports nothing that is not so", function()
  it("when they change places, and back", function()
    local figures = run("switchover", function()
      pair:switchover()
      sleep(2)
      pair:switchover()
    end)
    breaking.assert_exactly_once(figures)
    for _, way in ipairs { "first", "spread", "reader" } do
      assert.equal(0, figures[way].errors, figures[way].first)
    end
  end)

  it("when the primary is killed and the replica takes its place", function()
    pair:semi_synchronous()
    local figures = run("promotion", function()
      pair.primary:kill()
      sleep(0.5)
      pair:promote()
      sleep(1)
      pair:return_former()
    end)
    breaking.assert_exactly_once(figures)
    breaking.assert_unavoidable(figures)
  end)

  it("when the replica is killed, and stopped, while a reader reads from it", function()
    local figures = run("replica away", function()
      pair.replica:kill()
      sleep(0.5)
      pair.replica:resume()
      sleep(1)
      pair.replica:stop()
      sleep(0.5)
      pair.replica:resume()
    end)
    breaking.assert_exactly_once(figures)
    assert.equal(0, figures.reader.errors, figures.reader.first)
  end)

  it("when the replica stands still while a reader reads from it", function()
    local figures = run("replica stopped for 7 s", function()
      pair.replica:pause()
      sleep(7)
      pair.replica:continue()
    end)
    breaking.assert_exactly_once(figures)
    assert.equal(0, figures.reader.errors, figures.reader.first)
  end)
end)
