-- Loans that are kept too long are told of, and a checkout that waits for its own coroutine says so.

local auxlib = require "cqueues.auxlib"
local cqueues = require "cqueues"
local cqueues_wait = require "mypool.wait.cqueues"
local fixture = require "spec.support.fixture"
local program = require "spec.support.program"
local pools = require "spec.support.pools"
local sleep = require "spec.support.sleep"

local s = fixture.shared_server()

after_each(pools.close)

local function here()
  local frame = debug.getinfo(2, "Sl")
  return frame.short_src .. ":" .. frame.currentline
end

-- A pool and the array of its events, each with its name as `event`.
local function watched(options)
  local events = {}
  options.on_event = options.on_event
    or function(event, details)
      details.event = event
      events[#events + 1] = details
    end
  options.leak_after = options.leak_after or 0.05
  return pools.new(s:options(options)), events
end

local modes = {
  ["in a plain program"] = {
    sleep = sleep,
    wrap = coroutine.wrap,
    run = function(fn)
      fn()
    end,
  },
  ["under cqueues"] = {
    wait = cqueues_wait,
    sleep = cqueues.sleep,
    wrap = auxlib.wrap, -- what waits within another coroutine
    run = function(fn)
      assert(cqueues.new():wrap(fn):loop())
    end,
  },
}

for name, mode in pairs(modes) do
  describe(name, function()
    local function promise(text, fn)
      it(text, function()
        mode.run(fn)
      end)
    end

    describe("leak_after", function()
      promise("reports a loan once, with its place, age, connection id and the pool's name", function()
        local pool, events = watched { name = "shop", leak_after = 0.5, wait = mode.wait }
        local db, place = assert(pool:checkout()), here()
        local id = db:id()
        pool:stats()
        assert.same({}, events)
        mode.sleep(0.6)
        pool:stats()
        pool:stats()
        db:release()
        assert.equal(1, #events)
        local age = events[1].age
        assert.truthy(age >= 0.5 and age < 10)
        assert.same({ event = "loan_overdue", place = place, age = age, id = id, pool = "shop" }, events[1])
      end)

      promise("notices at the next checkout", function()
        local pool, events = watched { max_size = 2, wait = mode.wait }
        local _ = assert(pool:checkout())
        mode.sleep(0.1)
        assert.same({}, events)
        assert(pool:query "DO 0")
        assert.equal(1, #events)
      end)

      promise("notices at a checkout that fails", function()
        local pool, events = watched { max_size = 1, wait = mode.wait }
        local _ = assert(pool:checkout())
        mode.sleep(0.1)
        assert.falsy(pool:checkout(0.01))
        assert.equal(1, #events)
      end)

      promise("may be told of to a function that ends this very loan", function()
        for _, ending in ipairs { "release", "discard", "close" } do
          local db, told
          local pool = watched {
            max_size = 1,
            wait = mode.wait,
            on_event = function(event)
              if event == "loan_overdue" then
                told = true
                db[ending == "close" and "release" or ending](db)
              end
            end,
          }
          db = assert(pool:checkout())
          mode.sleep(0.1)
          if ending == "close" then
            local _ <close> = db
          else
            db:release()
          end
          assert.is_true(told)
          assert.is_false(db:is_held())
          assert.equal(0, pool:stats().lent)
          assert.equal(1, pool:value "SELECT 1")
        end
      end)

      promise("notices at the release of another one", function()
        local pool, events = watched { max_size = 2, wait = mode.wait }
        local old, place = assert(pool:checkout()), here()
        mode.sleep(0.04)
        local young = assert(pool:checkout())
        mode.sleep(0.04)
        young:release()
        local of_old = 0
        for _, event in ipairs(events) do -- on a slow machine one is of the young connection
          of_old = of_old + (event.place == place and 1 or 0)
        end
        assert.equal(1, of_old)
        assert.equal(place, events[1].place)
        old:release()
      end)

      promise("notices at its own release, and at the end of its scope", function()
        local pool, events = watched { max_size = 1, wait = mode.wait }
        local db = assert(pool:checkout())
        mode.sleep(0.1)
        db:release()
        assert.equal(1, #events)
        do
          local _ <close> = assert(pool:checkout())
          mode.sleep(0.1)
        end
        assert.equal(2, #events)
        assert.equal(0, pool:stats().lent)
      end)

      promise("reports each of many, and the next loan of the same session again", function()
        local pool, events = watched { max_size = 5, wait = mode.wait }
        for round = 1, 2 do
          local held = {}
          for i = 1, 5 do
            held[i] = assert(pool:checkout())
          end
          mode.sleep(0.1)
          pool:stats()
          assert.equal(5 * round, #events)
          for i = 1, 5 do
            held[i]:release()
          end
        end
        assert.equal(10, #events)
      end)

      promise("reports nothing of loans that came back in time, and nothing without the option", function()
        local pool, events = watched { leak_after = 5, wait = mode.wait }
        local without = {}
        local other = pools.new(s:options {
          wait = mode.wait,
          on_event = function(event)
            without[#without + 1] = event
          end,
        })
        local db, late = assert(pool:checkout()), assert(other:checkout())
        mode.sleep(0.1)
        pool:stats()
        other:stats()
        db:release()
        late:release()
        assert.same({ {}, {} }, { events, without })
      end)

      promise("lets on_event use the pool, and raise", function()
        local pool
        local seen = 0
        pool = watched {
          max_size = 1,
          wait = mode.wait,
          on_event = function()
            seen = seen + pool:stats().lent
            error "no matter"
          end,
        }
        local db = assert(pool:checkout())
        mode.sleep(0.1)
        db:release()
        assert.equal(1, seen)
        assert.equal(1, pool:value "SELECT 1")
      end)
    end)

    describe("an exhausted pool", function()
      promise("tells a coroutine that itself holds a connection so, and where it took it", function()
        local pool = pools.new(s:options { max_size = 1, wait = mode.wait })
        local db, place = assert(pool:checkout()), here()
        local _, err = pool:checkout(0.01)
        assert.equal("exhausted", err.kind)
        local hint = "; this coroutine itself holds one, taken at " .. place .. ": a nested checkout waits for itself"
        assert.truthy(err.message:find(hint, 1, true), err.message)
        db:release()
      end)

      promise("says nothing of the kind when others hold all of them", function()
        local pool = pools.new(s:options { max_size = 1, wait = mode.wait })
        assert(pool:checkout()):release() -- its connection is open now: the other one need not wait
        local db
        coroutine.wrap(function()
          db = assert(pool:checkout())
        end)()
        local _, err = pool:checkout(0.01)
        assert.equal("exhausted", err.kind)
        assert.falsy(err.message:find("itself", 1, true), err.message)
        db:release()
      end)

      promise("does not take a new coroutine for one that was collected", function()
        local pool = pools.new(s:options { max_size = 1, wait = mode.wait })
        assert(pool:checkout()):release()
        local db
        mode.wrap(function()
          db = assert(pool:checkout())
        end)()
        collectgarbage()
        for _ = 1, 100 do
          mode.wrap(function()
            local _, err = pool:checkout(0)
            assert.falsy(err and err.message:find("itself", 1, true))
          end)()
        end
        db:release()
      end)

      promise("names itself", function()
        local pool, db = pools.lend(s:options { max_size = 1, name = "shop", wait = mode.wait })
        local _, err = pool:checkout(0.01)
        assert.match("^pool 'shop' exhausted, 1 of 1 connections are lent: ", err.message)
        db:release()
      end)
    end)
  end)
end

it("leak_after warns when there is no on_event", function()
  local text = ([[
    local pool = require("mypool").new(%q)
    local db = assert(pool:checkout())
    os.execute "sleep 0.05"
    db:release()]]):format(s:dsn "leak_after=0.01")
  local printed = program(text)
  assert.match("Lua warning: mypool: a connection checked out at .-:2 is out for 0%.%d s", printed)
end)
