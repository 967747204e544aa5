-- mypool under cqueues: many coroutines that take turns on few sessions.

local clock = require "bench.clock"
local cqueues = require "cqueues"
local mypool = require "mypool"

local scheduler = cqueues.new()
local by_id = "SELECT id, name, price, made FROM bench_rows WHERE id = ?"

local function sum_of(row)
  return row.id + #row.name + row.price * 4
end

-- What a request is: function(pool, i) that returns the sum of what it fetched. "none" only lets the others
-- run, or else there would be no waiting.
local requests = {}

function requests.point(pool, i)
  local db = assert(pool:checkout())
  local sum = sum_of(db:one(by_id, i % 10000 + 1))
  db:release()
  return sum
end

function requests.call(pool, i)
  return sum_of(assert(pool:one(by_id, i % 10000 + 1)))
end

function requests.transaction(pool, i)
  return assert(pool:transaction(function(tx)
    return sum_of(tx:one(by_id, i % 10000 + 1))
  end))
end

function requests.one(pool)
  local db = assert(pool:checkout())
  local value = db:value "SELECT 1"
  db:release()
  return value
end

function requests.none(pool)
  local db = assert(pool:checkout())
  cqueues.poll()
  db:release()
  return 1
end

local crowd = {}

-- Each coroutine asks again and again. Time counts from when each has had a turn until `count` more
-- requests have ended, while all of them still want more: so as many wait as the title says.
function crowd.run(options, watch, count, coroutines, what)
  options.wait = require "mypool.wait.cqueues"
  local pool, use = mypool.new(options), requests[what]
  local timed = what ~= "none"
  local begun, ended, sum = 0, 0, 0
  local total = count + 2 * coroutines
  local latencies = {}

  local function request(i)
    local from = timed and clock.wall()
    local fetched = use(pool, i) -- others run meanwhile, so nothing may be read of `sum` before
    sum = sum + fetched
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

  local function ask_again()
    while begun < total do
      begun = begun + 1
      request(begun - 1)
    end
  end

  for _ = 1, coroutines do
    scheduler:wrap(ask_again)
  end
  assert(scheduler:loop())
  pool:close() -- and with it the descriptors that its coroutines have waited on, one each
  return sum, latencies
end

local function count_descriptors()
  local list = assert(io.popen "ls /proc/$PPID/fd")
  local _, count = list:read("a"):gsub("\n", "")
  list:close()
  return count
end

-- How many descriptors the process has while so many coroutines wait for a session.
function crowd.descriptors(options, coroutines)
  options.wait = require "mypool.wait.cqueues"
  local pool = mypool.new(options)
  local lent, found = {}, nil
  for _ = 1, coroutines do
    scheduler:wrap(function()
      local db <close> = assert(pool:checkout())
      if not found then
        lent[#lent + 1] = db
        while not found do
          cqueues.sleep(0.01)
        end
      end
    end)
  end
  scheduler:wrap(function()
    repeat
      cqueues.sleep(0.01)
    until #lent == options.max_size and pool:stats().waiting == coroutines - #lent
    found = count_descriptors()
  end)
  assert(scheduler:loop())
  pool:close()
  return found
end

return crowd
