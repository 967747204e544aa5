-- What the reset costs whom it must not cost anything: a program far from its server. Requests of the
-- form checkout, SELECT 1, release go through a relay that adds 1 ms each way, with a pause of 5 ms
-- between them, as there is in a program that does something. Prints the time of a request with the
-- reset, with reset = "never", and their ratio; fails when the ratio exceeds 1.15.
--
--   make all build/spec/relay
--   LUA_PATH="./lua/?.lua;./lua/?/init.lua;./?.lua;;" LUA_CPATH="./build/?.so;;" lua5.4 bench/hidden_reset.lua
--
-- Arguments: rounds, requests per round. The two pools take turns, so that both meet the same noise.

local core = require "mypool.core"
local mypool = require "mypool"
local relay = require "spec.support.relay"
local server = require("spec.support.server").shared()

local rounds = math.tointeger(tonumber(arg[1])) or 20
local requests = math.tointeger(tonumber(arg[2])) or 25
local limit = 1.15
local pause = 0.005

local far = relay.start { host = server.host, port = server.port }
far:delay(1)

local function new_pool(reset)
  return mypool.new(server:tcp_options { host = far.host, port = far.port, max_size = 1, reset = reset })
end

local pools = { always = new_pool "always", never = new_pool "never" }

-- poll(2) passes over a negative fd, so this only waits.
local function sleep(seconds)
  core.poll(-1, seconds)
end

local function request(pool)
  local from = core.now(pool)
  local db = assert(pool:checkout())
  assert(db:value "SELECT 1" == 1)
  db:release()
  return core.now(pool) - from
end

local function median(numbers)
  table.sort(numbers)
  return (numbers[#numbers // 2 + 1] + numbers[(#numbers + 1) // 2]) / 2
end

local times = { always = {}, never = {} }

local function round(reset)
  for _ = 1, requests do
    table.insert(times[reset], request(pools[reset]))
    sleep(pause)
  end
end

for _, pool in pairs(pools) do
  request(pool) -- connects
  sleep(pause)
end
for i = 1, rounds do
  local first = i % 2 == 0 and "always" or "never"
  round(first)
  round(first == "always" and "never" or "always")
end

local with, without = median(times.always), median(times.never)
local ratio = with / without
local stats = pools.always:stats()
print(("checkout, SELECT 1, release; 1 ms each way, %g ms between two; median of %d"):format(
  pause * 1000,
  rounds * requests
))
print(('  reset = "never"   %.3f ms'):format(without * 1000))
print(('  with the reset    %.3f ms   %d of %d resets were answered in time'):format(
  with * 1000,
  stats.resets_hidden,
  stats.resets_hidden + stats.resets_waited
))
print(("  ratio             %.3f      at most %.2f is promised"):format(ratio, limit))

for _, pool in pairs(pools) do
  pool:close()
end
far:stop()
os.exit(ratio <= limit and stats.resets_failed == 0, true)
