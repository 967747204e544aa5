-- mypool under cqueues.

local auxlib = require "cqueues.auxlib"
local concurrency = require "spec.support.concurrency"
local cqueues = require "cqueues"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local server = require "spec.servers.server"

local scheduler = schedulers.cqueues()

describe("under cqueues #slow", function()
  concurrency(scheduler, 1000, function(reason)
    pending(reason)
  end)
end)

describe("under cqueues, by descriptors #slow", function()
  concurrency(schedulers.by_descriptors(scheduler), 100, function(reason)
    pending(reason)
  end)
end)

describe("a wait under cqueues", function()
  after_each(pools.close)

  local function new()
    return pools.new(server.shared():options { max_size = 1, wait = scheduler.wait })
  end

  -- Nothing waits for what was refused.
  local function check_free(pool)
    assert.same({ 0, 0 }, { pool:stats().lent, pool:stats().waiting })
    local began = cqueues.monotime()
    assert.equal(7, (pool:value "SELECT 7"))
    assert.is_true(cqueues.monotime() - began < 4.5)
  end

  local function generator(wrap, pool)
    return wrap(function()
      for row in assert(pool:rows "SELECT seq, SLEEP(0.005) FROM seq_1_to_3") do
        coroutine.yield(row.seq)
      end
    end)
  end

  local function refused(why, ...)
    local ok, message = pcall(...)
    assert.is_false(ok)
    assert.match("spec/wait/cqueues_spec%.lua:%d+: mypool cannot wait here: " .. why, message)
  end

  for _, state in ipairs { "new", "warm" } do
    it("is refused in a coroutine that cqueues does not resume (a pool that is " .. state .. ")", function()
      scheduler.run(function()
        local pool = new()
        if state == "warm" then
          assert(pool:ping())
        end
        local why = "cqueues does not resume this coroutine %(make it by cqueues.auxlib.wrap%)$"
        refused(why, generator(coroutine.wrap, pool))
        check_free(pool)
        refused(why, auxlib.wrap(generator(coroutine.wrap, pool)))
        check_free(pool)
      end)
    end)
  end

  it("serves a generator that cqueues.auxlib made, also within another one", function()
    scheduler.run(function()
      local pool = new()
      local function sum(each)
        local result = 0
        for n in each do
          result = result + n
        end
        return result
      end
      assert.equal(6, sum(generator(auxlib.wrap, pool)))
      assert.equal(
        6,
        sum(auxlib.wrap(function()
          for n in generator(auxlib.wrap, pool) do
            coroutine.yield(n)
          end
        end))
      )
      local co = coroutine.create(function()
        return (pool:value "SELECT 5 + SLEEP(0.005)")
      end)
      assert.same({ true, 5 }, { auxlib.resume(co) })
    end)
  end)

  it("is refused inside of what C calls", function()
    scheduler.run(function()
      local pool = new()
      local function ask()
        return (pool:value "SELECT SLEEP(0.005)")
      end
      local object = setmetatable({}, { __tostring = ask, __index = ask })
      package.preload["spec.asking"] = ask
      local why = "inside of string.gsub, table.sort, require or another C function$"
      for _ = 1, 3 do
        refused(why, string.gsub, "a", "a", ask)
        refused(why, table.sort, { 1, 2 }, ask)
        refused(why, require, "spec.asking")
        refused(why, tostring, object)
        refused(why, table.concat, object, "", 1, 1)
        refused(why, function()
          assert(load(ask))
        end)
      end
      package.preload["spec.asking"] = nil
      check_free(pool)
      assert.equal(0, object.field) -- of the language: that can yield
    end)
  end)

  it("ends when something else resumes its coroutine: the call raises, and leaves its place", function()
    local pool = new()
    local waiting, outcome
    local controller = cqueues.new()
    controller:wrap(function()
      assert(pool:ping())
      waiting = coroutine.running()
      outcome = { pcall(pool.value, pool, "SELECT SLEEP(20)") }
      check_free(pool)
    end)
    while pool:stats().checkouts < 2 do
      assert(controller:step(1))
    end
    assert(coroutine.resume(waiting))
    assert.is_false(outcome[1])
    assert.match("mypool cannot wait here: something else than cqueues resumed this coroutine$", outcome[2])
  end)

  it("blocks outside of all controllers", function()
    assert.equal(5, (new():value "SELECT 5 + SLEEP(0.005)"))
  end)
end)
