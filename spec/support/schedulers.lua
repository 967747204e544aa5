-- The schedulers that mypool comes with adapters for, and none, as specs use them:
--
--     schedulers.cqueues().run(function() … end, …)   -- until all have ended; raises what one of them raises
--
-- Each has name, where (for the names of specs), wait (the adapter), sleep(seconds) and run(...).

local block = require "spec.support.sleep"

local schedulers = {}

-- No scheduler: the functions run one after the other, and all waiting blocks.
function schedulers.plain()
  local function run(...)
    for _, f in ipairs { ... } do
      f()
    end
  end
  return { name = "a plain program", where = "in a plain program", sleep = block, run = run }
end

-- Remembers the first failure of the functions it wraps.
local function guard()
  local failed, failure = false, nil
  local function guarded(f)
    return function()
      local ok, err = pcall(f)
      if not ok and not failed then
        failed, failure = true, err
      end
    end
  end
  local function check()
    if failed then
      error(failure, 0)
    end
  end
  return guarded, check
end

function schedulers.cqueues()
  local cqueues = require "cqueues"
  local function run(...)
    local guarded, check = guard()
    local controller = cqueues.new()
    for _, f in ipairs { ... } do
      controller:wrap(guarded(f))
    end
    assert(controller:loop())
    controller:close()
    check()
  end
  return {
    name = "cqueues",
    where = "under cqueues",
    wait = require "mypool.wait.cqueues",
    sleep = cqueues.sleep,
    run = run,
  }
end

function schedulers.luv()
  local uv = require "luv"
  local function sleep(seconds)
    local co = coroutine.running()
    local timer = uv.new_timer()
    timer:start(math.ceil(seconds * 1000), 0, function()
      timer:close()
      if coroutine.status(co) ~= "dead" then -- closed meanwhile
        assert(coroutine.resume(co))
      end
    end)
    coroutine.yield()
  end
  local function run(...)
    local guarded, check = guard()
    for _, f in ipairs { ... } do
      assert(coroutine.resume(coroutine.create(guarded(f))))
    end
    uv.run()
    check()
  end
  return { name = "luv", where = "under luv", wait = require "mypool.wait.luv", sleep = sleep, run = run }
end

-- The program's own of spec/support/scheduler.lua, with park and unpark.
function schedulers.own()
  local own = require "spec.support.scheduler"
  return {
    name = "a scheduler of the program's own",
    where = "under a scheduler of the program's own",
    wait = own.parking,
    sleep = own.sleep,
    run = own.run,
  }
end

-- The same without park and unpark: all waits are for descriptors.
function schedulers.by_descriptors(scheduler)
  local same = {}
  for name, value in pairs(scheduler) do
    same[name] = value
  end
  same.name, same.where = scheduler.name .. ", by descriptors", scheduler.where .. ", by descriptors"
  same.wait = { wait = scheduler.wait.wait, forget = scheduler.wait.forget }
  return same
end

return schedulers
