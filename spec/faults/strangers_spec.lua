-- Time limits where neither address nor number says whose a statement is: behind a balancer of two servers that say
-- the same of themselves, and behind a proxy that numbers connections by itself. Nobody else's statement is stopped,
-- and none of the own runs twice.

local cqueues = require "cqueues"
local haproxy = require "spec.servers.haproxy"
local ledger = require "tools.ledger"
local mypool = require "mypool"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"
local server = require "spec.servers.server"
local strangers = require "spec.support.strangers"
local whole = require "spec.support.whole"

local seconds = tonumber(os.getenv "MYPOOL_SECONDS") or os.getenv "MYPOOL_THOROUGH" and 60 or 3
local crowd_size, coroutines, max_size = 20, 8, 4

describe("a time limit #slow", function()
  local servers, balancer, proxy
  local scheduler = schedulers.cqueues()

  setup(function()
    local a = server.start()
    servers = { a, server.twin(a) }
    for _, s in ipairs(servers) do
      strangers.prepare(s)
      s:sql "CREATE TABLE once (id INT, zero INT, KEY (id))"
    end
    balancer = haproxy.start { "127.0.0.1:" .. a.port, "127.0.0.2:" .. a.port }
    proxy = relay.start { port = balancer.port }
    proxy:renumber(2 * crowd_size) -- those of the strangers that stay
  end)

  teardown(function()
    proxy:stop()
    balancer:stop()
    for _, s in ipairs(servers) do
      s:remove()
    end
  end)

  local reported, keys -- by key; how many
  local limited, interrupted -- how many met their time limit, and how many were stopped before it

  local function insert(pool)
    keys = keys + 1
    local key = keys
    local result, err = pool:query({ "INSERT INTO once SELECT ?, SLEEP(?)", timeout = 0.03 }, key, math.random() * 0.06)
    reported[key] = result and "yes" or err.executed
    return result, err
  end

  local function sleep(pool)
    local text = strangers.texts[math.random(#strangers.texts)]
    return pool:query { text, timeout = 0.01 + math.random() * 0.3 }
  end

  local function use(pool, deadline)
    while cqueues.monotime() < deadline do
      local result, err = (math.random(2) == 1 and insert or sleep)(pool)
      if err and err.errno == 1317 then
        interrupted = interrupted + 1
      elseif err and err.kind == "timeout" then
        limited = limited + 1
      end
      assert(result or err.errno == 1317 or err.kind == "timeout" or err.kind == "exhausted", err)
    end
  end

  local function rows()
    local count = {}
    for _, s in ipairs(servers) do
      for _, line in ipairs(s:sql "SELECT id, COUNT(*) FROM once GROUP BY id") do
        local id, n = line:match "^(%d+)\t(%d+)$"
        count[math.tointeger(id)] = (count[math.tointeger(id)] or 0) + math.tointeger(n)
      end
    end
    return count
  end

  local function judge()
    local counts, count = { twice = 0, lost = 0 }, rows()
    for key, outcome in pairs(reported) do
      local n = count[key] or 0
      local wrong = n > 1 and "twice" or (outcome == "yes" and n == 0 or outcome == "no" and n == 1) and "lost"
      if wrong then
        counts[wrong] = counts[wrong] + 1
      end
    end
    return counts
  end

  -- Strangers and the pools' coroutines, side by side until the time is over.
  local function run_all(pools, crowds)
    local deadline, tasks = cqueues.monotime() + seconds, {}
    for _, crowd in ipairs(crowds) do
      for i = 1, crowd_size do
        tasks[#tasks + 1] = function()
          crowd:live(deadline + 1, i % 2 == 0)
        end
      end
    end
    for i = 1, coroutines do
      tasks[#tasks + 1] = function()
        cqueues.sleep(0.3) -- the strangers' numbers are the first ones
        use(pools[i % #pools + 1], deadline)
      end
    end
    scheduler.run(table.unpack(tasks))
  end

  it("stops no statement of anybody else, and nothing is run twice", function()
    reported, keys, limited, interrupted = {}, 0, 0, 0
    local pools, crowds = {}, {}
    for i, port in ipairs { balancer.port, proxy.port } do
      pools[i] = mypool.new(servers[1]:tcp_options { port = port, max_size = max_size, wait = scheduler.wait })
      crowds[i] = strangers.new(servers[i]:tcp_options { user = "limited" })
    end
    run_all(pools, crowds)
    local counts = judge()
    counts.faults, counts.statements = limited, keys + crowds[1].count + crowds[2].count
    counts.strangers = crowds[1].stopped + crowds[2].stopped + interrupted
    ledger.enter("time limits behind a balancer and a proxy", counts)
    assert.same({ 0, 0, 0 }, { counts.strangers, counts.twice, counts.lost })
    assert.is_true(crowds[1].count > 0 and crowds[2].count > 0 and limited > 0)
    scheduler.run(function()
      for i = 1, 2 do
        whole(pools[i], max_size)
        pools[i]:close()
        crowds[i].pool:close()
      end
    end)
  end)
end)
