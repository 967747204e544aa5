-- What every adapter must carry: the specs of spec/wait/cqueues_spec.lua and spec/wait/luv_spec.lua.

local assert = require "luassert"
local busted = require "busted"
local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local monotime = require("cqueues").monotime
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local times = require "spec.support.times"
local tls = require "spec.servers.tls"

-- Runs the functions, and beside them what looks on, again and again, until they have ended.
local function run_watched(scheduler, functions, onlooker)
  local left, tasks = #functions, {}
  for i, f in ipairs(functions) do
    tasks[i] = function()
      local ok, err = pcall(f)
      left = left - 1
      if not ok then
        error(err, 0)
      end
    end
  end
  tasks[#tasks + 1] = function()
    while left > 0 do
      onlooker()
    end
  end
  scheduler.run(table.unpack(tasks))
end

-- Runs the functions. Returns how many seconds that took, and how often another coroutine had its turn meanwhile,
-- with the longest time that it had none: { count =, longest = }.
local function run_with_ticker(scheduler, functions)
  local ticks, started = { count = 0, longest = 0 }, monotime()
  local last = started
  run_watched(scheduler, functions, function()
    scheduler.sleep(0.01)
    local now = monotime()
    ticks.count, ticks.longest, last = ticks.count + 1, math.max(ticks.longest, now - last), now
  end)
  return monotime() - started, ticks
end

-- `scheduler`: one of spec/support/schedulers.lua. `loans`: how many each of 300 coroutines takes. pending: busted's.
return function(scheduler, loans, pending)
  local s = fixture.server { tls = true }

  busted.after_each(pools.close)

  local noticed = {} -- by coroutine: what to call when what it waits for next has come

  local function notice()
    local co = coroutine.running()
    local call = noticed[co]
    noticed[co] = nil
    if call then
      call()
    end
  end

  local function noticing(wait)
    return wait
      and function(source, seconds)
        local ready = wait(source, seconds)
        if ready then -- who has been in line for a second looks for forgotten connections, and waits on
          notice()
        end
        return ready
      end
  end

  local function new(options)
    local adapter = scheduler.wait
    options.wait = {
      wait = noticing(adapter.wait),
      forget = adapter.forget,
      park = noticing(adapter.park),
      unpark = adapter.unpark,
    }
    return pools.new(s:options(options))
  end

  local sessions = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'"

  local function await_no_session()
    eventually(function()
      return #s:sql(sessions) == 0
    end)
  end

  -- Looks at the server through a connection of its own. The server's record of the most connections at
  -- one time begins anew, with those that are not yet gone.
  local function observe()
    await_no_session()
    local observer = pools.new { socket = s.socket, user = "root", max_size = 1, wait = scheduler.wait }
    scheduler.run(function()
      -- Since MariaDB 11.5 the shorter form is about the session alone.
      assert(observer:query "FLUSH GLOBAL STATUS" or observer:query "FLUSH STATUS")
    end)
    return observer
  end

  local function most_connections(observer)
    local most
    scheduler.run(function()
      most = math.tointeger(assert(observer:one "SHOW STATUS LIKE 'Max_used_connections'").Value)
    end)
    return most
  end

  local function warm(pool, count)
    scheduler.run(table.unpack(times(count, function()
      local conn = assert(pool:checkout())
      scheduler.sleep(0.1)
      conn:release()
    end)))
    assert.equal(count, pool:stats().idle)
  end

  busted.it("runs statements side by side", function()
    local pool = new { max_size = 4 }
    local seconds, ticks = run_with_ticker(
      scheduler,
      times(4, function()
        assert(pool:query "SELECT SLEEP(1.5)")
      end)
    )
    assert.is_true(seconds > 1.4 and seconds < 5, seconds)
    assert.is_true(ticks.count >= 15 and ticks.longest < 1.2, ticks.longest)
  end)

  busted.it("lets other coroutines run while 32 connections are opened with TLS", function()
    dialect.needs("TLS", pending)
    local r <close> = relay.start(s.host .. ":" .. s.port)
    r:delay(40)
    local pool = pools.new(s:tcp_options {
      port = r.port,
      max_size = 32,
      tls = { ca = tls.ca },
      wait = scheduler.wait,
    })
    local cipher = {}
    local _, ticks = run_with_ticker(
      scheduler,
      times(32, function(i)
        local conn <close> = assert(pool:checkout())
        cipher[i] = assert(conn:one "SHOW STATUS LIKE 'Ssl_cipher'").Value
        scheduler.sleep(0.5) -- nobody uses the connection of another one
      end)
    )
    assert.equal(32, pool:stats().opened)
    for i = 1, 32 do
      assert.not_equal("", cipher[i])
    end
    assert.is_true(ticks.count >= 30 and ticks.longest < 1, ticks.longest)
  end)

  -- 300 coroutines and what they met with.
  local function crowd(pool, each)
    local seen = { served = 0, tickets = 0, outstanding = {}, overtaken = 0, errors = {}, wrong = 0 }
    local oldest = 1
    local function served(ticket)
      seen.outstanding[ticket] = nil
      while oldest <= seen.tickets and not seen.outstanding[oldest] do
        oldest = oldest + 1
      end
      seen.served = seen.served + 1
      seen.overtaken = math.max(seen.overtaken, ticket - oldest)
    end
    local function one_loan(i)
      seen.tickets = seen.tickets + 1
      local ticket = seen.tickets
      seen.outstanding[ticket] = true
      noticed[coroutine.running()] = function()
        served(ticket)
      end
      local conn, err = pool:checkout(30)
      notice()
      if not conn then
        seen.errors[#seen.errors + 1] = err
        return
      end
      local value
      value, err = conn:value("SELECT ?", i)
      if err then
        seen.errors[#seen.errors + 1] = err
      elseif value ~= i then
        seen.wrong = seen.wrong + 1
      end
      conn:release()
    end
    seen.tasks = times(300, function(i)
      each(function()
        one_loan(i)
      end)
    end)
    return seen
  end

  busted.it(("serves 300 coroutines from 4 connections in order, %d loans each"):format(loans), function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local observer, most = observe(), 0
    local pool = new { max_size = 4 }
    warm(pool, 4)
    local seen = crowd(pool, function(one_loan)
      for _ = 1, loans do
        one_loan()
      end
    end)
    run_watched(scheduler, seen.tasks, function()
      most = math.max(most, #assert(observer:query(sessions)))
      scheduler.sleep(0.05)
    end)
    assert.same({}, seen.errors)
    assert.same({ 300 * loans, 0 }, { seen.served, seen.wrong })
    assert.equal(4, most)
    assert.equal(4 + 1, most_connections(observer))
    -- A scheduler may resume those whom it finds ready together in any order.
    assert.is_true(seen.overtaken < 8, seen.overtaken)
    local stats = pool:stats()
    assert.same({ 4, 0, 0, 4 }, { stats.idle, stats.lent, stats.waiting, stats.opened })
    assert.equal(300 * loans + 4, stats.checkouts)
  end)

  busted.it("loses only statements in flight to the KILL of connections, and never has more than 4", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local observer, most, kills = observe(), 0, 0
    local pool = new { max_size = 4 }
    warm(pool, 4)
    local ends_at = monotime() + 3
    local seen = crowd(pool, function(one_loan)
      while monotime() < ends_at do
        one_loan()
      end
    end)
    run_watched(scheduler, seen.tasks, function()
      local ids = assert(observer:query(sessions))
      most = math.max(most, #ids)
      if #ids > 0 then
        observer:query("KILL " .. ids[math.random(#ids)].ID)
        kills = kills + 1
      end
      scheduler.sleep(0.1)
    end)
    for _, err in ipairs(seen.errors) do
      assert.equal("lost", err.kind, err.message)
      assert.is_true(err.executed == "unknown" or err.executed == "no", err.executed)
    end
    assert.is_true(#seen.errors <= kills, #seen.errors)
    assert.same({ seen.tickets, 0 }, { seen.served, seen.wrong })
    assert.is_true(most <= 4, most)
    assert.is_true(most_connections(observer) <= 4 + 1, most_connections(observer))
    local stats = pool:stats()
    assert.same({ 0, 0, 0 }, { stats.lent, stats.waiting, stats.connect_failures })
  end)

  busted.it("loses nothing to the KILL of idle connections", function()
    local pool = new { max_size = 4 }
    for _ = 1, 5 do
      warm(pool, 4)
      for _, id in ipairs(s:sql(sessions)) do
        s:sql("KILL " .. id)
      end
      local seen = crowd(pool, function(one_loan)
        one_loan()
      end)
      run_watched(scheduler, seen.tasks, function()
        scheduler.sleep(0.05)
      end)
      assert.same({}, seen.errors)
      assert.same({ 300, 0 }, { seen.served, seen.wrong })
    end
  end)

  busted.it("leaves nothing behind: no connection, and no reason to go on", function()
    local pool = new { max_size = 4 }
    warm(pool, 4)
    pool:close()
    await_no_session()
    scheduler.run(function() end)
  end)
end
