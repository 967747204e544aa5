-- Three servers of a pool, one of which is away: who is served from where, how soon, and by how many connections.
-- What is asserted of times leaves a busy machine room; the figures say how it was.

local breaking = require "spec.support.breaking"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local monotime = require("cqueues").monotime
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"

local DOWN = 6 -- seconds

local servers = { fixture.server(), fixture.server(), fixture.server() }
local first = servers[1]

local function new(options)
  return pools.new(first:hosts_options(servers, options))
end

-- Of each server, in the order of the servers.
local function field(pool, name)
  local values = {}
  for i, host in ipairs(pool:stats().hosts) do
    values[i] = host[name]
  end
  return values
end

local function borrow(pool, count)
  local conns = {}
  for i = 1, count do
    conns[i] = assert(pool:checkout())
  end
  return conns
end

-- How many of so many loans that follow each other come to each server.
local function follow(pool, count)
  local places, seen = {}, { 0, 0, 0 }
  for i, s in ipairs(servers) do
    places[s.port] = i
  end
  for _ = 1, count do
    local place = places[assert(pool:value "SELECT @@port")]
    seen[place] = seen[place] + 1
  end
  return seen
end

local function percentile(times, share)
  table.sort(times)
  return times[math.ceil(#times * share)]
end

after_each(pools.close)

describe("a pool that spreads over three servers", function()
  it("has as many loans on each, at one time and one after the other, also when one was away", function()
    local pool = new { balance = "spread", max_size = 9 }
    pools.release(table.unpack(borrow(pool, 9)))
    local conns = borrow(pool, 9)
    assert.same({ 3, 3, 3 }, field(pool, "lent"))
    pools.release(table.unpack(conns))
    local seen = follow(pool, 300)
    breaking.note("spread, 9 loans at once: 3, 3, 3; 300 in a row: %d, %d, %d", table.unpack(seen))
    for _, count in ipairs(seen) do
      assert.is_true(count >= 60 and count <= 140, table.concat(seen, ", "))
    end
    first:stop()
    pools.release(table.unpack(borrow(pool, 9)))
    assert.equal(0, field(pool, "sessions")[1])
    first:resume()
    local began = monotime()
    eventually(function()
      pools.release(table.unpack(borrow(pool, 9)))
      local sessions = field(pool, "sessions")
      return math.max(table.unpack(sessions)) - math.min(table.unpack(sessions)) < 2
    end, nil, 60)
    breaking.note("spread, even again after a return: %.1f s", monotime() - began)
  end)

  it("begins on another one in each pool", function()
    local seen = { 0, 0, 0 }
    for _ = 1, 60 do
      local one = follow(new { balance = "spread", max_size = 1 }, 1)
      for i = 1, 3 do
        seen[i] = seen[i] + one[i]
      end
    end
    breaking.note("spread, first loans of 60 pools: %d, %d, %d", table.unpack(seen))
    assert.is_true(math.min(table.unpack(seen)) > 0)
  end)
end)

describe("a pool one of whose servers is down", function()
  for _, balance in ipairs { "first", "spread" } do
    it("opens few connections, with " .. balance, function()
      local scheduler = schedulers.cqueues()
      local pool = new { balance = balance, max_size = 8, wait = scheduler.wait }
      local failures, times, deadline = 0, {}, nil
      local function work()
        while monotime() < deadline do
          local began = monotime()
          local conn = pool:checkout()
          times[#times + 1] = monotime() - began
          failures = failures + (conn and conn:query "DO 1" and 0 or 1)
          if conn then
            conn:release()
          end
          scheduler.sleep(0.01)
        end
      end
      local function work_for(seconds)
        deadline = monotime() + seconds
        scheduler.run(work, work, work, work, work, work, work, work)
      end
      work_for(1)
      first:stop()
      times = {}
      work_for(DOWN)
      local tries = field(pool, "failures")[1]
      breaking.note(
        "%s, a server down for %d s: %d connects to it, %d connections opened, 99 of 100 checkouts within %.1f ms",
        balance,
        DOWN,
        tries,
        pool:stats().opened,
        1000 * percentile(times, 0.99)
      )
      first:resume()
      work_for(5)
      breaking.note("%s, the same with its return: %d connections opened", balance, pool:stats().opened)
      assert.equal(0, failures)
      assert.is_true(tries <= 3 * DOWN, "connects to the server that is down: " .. tries)
      assert.is_true(pool:stats().opened <= 4 * 8, "opened: " .. pool:stats().opened)
    end)
  end
end)

describe("a new pool whose first server", function()
  local away = {
    { "accepts connections and says nothing", "pause", "continue" },
    { "is not there", "stop", "resume" },
    { "has another password", function()
      first:sql "ALTER USER app@'%' IDENTIFIED BY 'another'"
    end, function()
      first:sql "ALTER USER app@'%' IDENTIFIED BY 'secret'"
    end },
  }

  local function call(what)
    return (type(what) == "function" and what or first[what])(first)
  end

  for _, scheduler in ipairs { schedulers.plain(), schedulers.cqueues() } do
    for _, case in ipairs(away) do
      local name, take, give = table.unpack(case)
      it(name .. " serves from another, " .. scheduler.where, function()
        local took, port, err
        call(take)
        local ok, message = pcall(scheduler.run, function()
          local pool, began = new { wait = scheduler.wait }, monotime()
          port, err = pool:value "SELECT @@port"
          took = monotime() - began
        end)
        call(give)
        assert(ok, message)
        assert.equal(servers[2].port, port, err)
        breaking.note("a first server that %s, %s: first loan after %.2f s", name, scheduler.where, took)
        assert.is_true(took < 4, took) -- connect_timeout is 5 s
      end)
    end
  end
end)
