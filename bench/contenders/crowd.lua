-- mypool under cqueues: many coroutines that take turns on few sessions.

local clock = require "bench.clock"
local cqueues = require "cqueues"
local mypool = require "mypool"

local scheduler = cqueues.new()

-- What a loan is for: function(db, i) that returns the sum of what it fetched. "none" only lets the others
-- run, or else there would be no waiting.
local uses = {}

function uses.point(db, i)
  local row = db:one("SELECT id, name, price, made FROM bench_rows WHERE id = ?", i % 10000 + 1)
  return row.id + #row.name + row.price * 4
end

function uses.one(db)
  return db:value "SELECT 1"
end

function uses.none()
  cqueues.poll()
  return 1
end

-- Each coroutine borrows again and again. Time counts from when each has had a turn until `count` more
-- requests have ended, while all of them still want more: so as many wait as the title says.
return function(options, watch, count, coroutines, what)
  options.wait = require "mypool.wait.cqueues"
  local pool, use = mypool.new(options), uses[what]
  local timed = what ~= "none"
  local begun, ended, sum = 0, 0, 0
  local total = count + 2 * coroutines
  local latencies = {}

  local function request(i)
    local from = timed and clock.wall()
    local db = assert(pool:checkout())
    local fetched = use(db, i) -- others run meanwhile, so nothing may be read of `sum` before
    sum = sum + fetched
    db:release()
    ended = ended + 1
    if ended == coroutines then
      watch.start()
    elseif ended == coroutines + count then
      watch.stop()
    end
    if timed and ended > coroutines and ended <= coroutines + count then
      latencies[ended - coroutines] = clock.wall() - from
    end
  end

  local function borrow_again()
    while begun < total do
      begun = begun + 1
      request(begun - 1)
    end
  end

  for _ = 1, coroutines do
    scheduler:wrap(borrow_again)
  end
  assert(scheduler:loop())
  pool:close() -- and with it the descriptors that its coroutines have waited on, one each
  return sum, latencies
end
