-- An outage: while the server is down everybody is told why, and in time, and one connect is tried at a time; when
-- it is back, so is the pool, without a rush of connects.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"
local socket = require "cqueues.socket"
local times = require "spec.support.times"

local scheduler = schedulers.cqueues()
local now, run, sleep = cqueues.monotime, scheduler.run, scheduler.sleep
local s = fixture.server()

after_each(pools.close)

-- Asserts that a checkout failed for want of a server, naming what the last connect met with.
local function assert_down(err, cause)
  assert.same({ "connect", "no", true, false }, { err.kind, err.executed, err.retryable, err.fatal }, err.message)
  assert.is_true(err.errno >= 2000 and err.errno < 3000, err.message)
  assert.truthy(err.message:find(cause, 1, true), err.message)
end

-- Nothing is out, nobody waits, and the books balance. The one attempt to connect that goes on when its
-- caller has given up may still be under way.
local function assert_settled(pool)
  local stats = pool:stats()
  assert.same({ 0, 0 }, { stats.lent, stats.waiting })
  assert.is_true(stats.opening <= 1, stats.opening)
  assert.equal(stats.opened - stats.closed, stats.idle + stats.recovering)
  return stats
end

-- What is left of a server: its port takes connections and closes them a little later. Notes when.
local function ruin()
  local listener = socket.listen("127.0.0.1", 0)
  listener:listen()
  local r = { attempts = {}, open = 0, most = 0, port = select(3, listener:localname()) }
  local function refuse(client)
    local attempt = { from = now() }
    r.attempts[#r.attempts + 1] = attempt
    r.open = r.open + 1
    r.most = math.max(r.most, r.open)
    sleep(0.03)
    r.open = r.open - 1
    attempt.to = now()
    client:close()
  end
  function r.serve(wanted)
    while wanted() do
      local client = listener:accept(nil, 0.05)
      if client then
        cqueues.running():wrap(refuse, client)
      end
    end
    listener:close()
  end
  return r
end

-- The pauses between connects, each from the end of the one to the begin of the next.
local function pauses_of(attempts)
  local pauses = {}
  for i = 2, #attempts do
    pauses[#pauses + 1] = attempts[i].from - attempts[i - 1].to
  end
  return pauses
end

describe("#slow, while the server is down", function()
  -- 30 coroutines that ask again and again, for up to `longest` seconds each time. Returns the ruin and all failures.
  local function besiege(seconds, longest)
    local r = ruin()
    local pool = pools.new { host = "127.0.0.1", port = r.port, user = "app", max_size = 10, wait = scheduler.wait }
    local failures, ends_at = {}, now() + seconds
    local left = 30
    local tasks = times(left, function(i)
      sleep(0.3) -- the outage is known by then
      while now() < ends_at do
        local patience = longest * i / 30
        local began = now()
        local conn, err = pool:checkout(patience)
        assert.is_nil(conn)
        failures[#failures + 1] = { err = err, patience = patience, waited = now() - began }
      end
      left = left - 1
    end)
    tasks[#tasks + 1] = function()
      assert.is_nil((pool:checkout(0.2)))
    end
    tasks[#tasks + 1] = function()
      r.serve(function()
        return left > 0
      end)
    end
    run(table.unpack(tasks))
    return r, failures, assert_settled(pool)
  end

  it("one connect is tried at a time, whoever waits, with pauses that grow and are never alike", function()
    local r, _, stats = besiege(4, 1)
    assert.equal(1, r.most)
    assert.equal(#r.attempts, stats.connect_failures + stats.opening)
    assert.equal(0, stats.opened)
    local pauses = pauses_of(r.attempts)
    assert.is_true(#pauses >= 8, #pauses) -- it goes on trying
    assert.is_true(#pauses <= 6 + (4 + 2) / 0.15, #pauses)
    local shortest, longest = math.huge, 0
    for i = 6, #pauses do
      shortest, longest = math.min(shortest, pauses[i]), math.max(longest, pauses[i])
    end
    assert.is_true(shortest >= 0.149, shortest)
    assert.is_true(longest - shortest > 0.01, longest - shortest)
    ledger.enter("outage: 30 coroutines", { faults = #r.attempts })
  end)

  it("every caller is told so within its own time, with the cause", function()
    local _, failures = besiege(2, 0.8)
    assert.is_true(#failures > 60, #failures)
    for _, failure in ipairs(failures) do
      assert_down(failure.err, "Lost connection to server at 'handshake")
      assert.is_true(failure.waited < failure.patience + 0.7, failure.waited)
      -- It may give up when the next attempt comes after its time.
      assert.is_true(failure.waited > failure.patience - 0.301, failure.waited)
    end
  end)

  it("a plain program is told so, too, and knocks no more often", function()
    local pool = pools.new(s:tcp_options { max_size = 10 })
    assert.is_true(pool:ping())
    s:stop()
    local began, calls = now(), 0
    while now() - began < 2 do
      local patience = 0.05 + calls % 5 * 0.1
      local started = now()
      local ok, err = pool:checkout(patience)
      calls = calls + 1
      assert.is_nil(ok)
      assert_down(err, "Connection refused")
      assert.is_true(now() - started < patience + 0.7, now() - started)
    end
    local seconds, stats = now() - began, assert_settled(pool)
    s:resume()
    assert.is_true(calls >= 4, calls)
    assert.is_true(stats.connect_failures <= 6 + seconds / 0.15, stats.connect_failures)
    assert.is_true(pool:ping())
    ledger.enter("outage: plain program", { faults = 1 })
  end)

  it("what is idle goes on being lent", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local r <close> = relay.start(s.host .. ":" .. s.port)
    local pool = pools.new(s:tcp_options { port = r.port, max_size = 3, wait = scheduler.wait })
    run(function()
      local first = assert(pool:checkout())
      r:refuse(true)
      assert_down(select(2, pool:checkout(0.1)), "Connection refused")
      first:release()
      for i = 1, 20 do
        assert.equal(i, assert(pool:value("SELECT ?", i)))
      end
    end)
    assert.equal(1, assert_settled(pool).opened)
  end)
end)

describe("#slow, when the server is back", function()
  -- 30 coroutines wait for a server that comes back; each keeps its connection for a while.
  local function come_back(max_size)
    local r <close> = relay.start(s.host .. ":" .. s.port)
    local pool = pools.new(s:tcp_options { port = r.port, max_size = max_size, wait = scheduler.wait })
    local seen = { served = 0, rush = 0, most = 0, pool = pool }
    local left = 30
    r:refuse(true)
    local tasks = times(left, function(i)
      local conn <close> = assert(pool:checkout(20))
      seen.first = seen.first or now()
      assert.equal(i, assert(conn:value("SELECT ?", i)))
      seen.served = seen.served + 1
      sleep(0.3)
      left = left - 1
    end)
    tasks[#tasks + 1] = function()
      sleep(1) -- the pauses are as long as they become
      seen.failures = pool:stats().connect_failures
      seen.opening = 0
      r:delay(20)
      r:refuse(false)
      seen.back = now()
      while left > 0 and now() - seen.back < 60 do -- a task that fails leaves its part undone
        local connections, opened = r:stats().connections, pool:stats().opened
        seen.rush = math.max(seen.rush, connections - opened - opened - 1)
        seen.most = math.max(seen.most, connections - opened)
        sleep(0.002)
      end
    end
    run(table.unpack(tasks))
    seen.connections = r:stats().connections
    ledger.enter("outage: return", { faults = 1, statements = 30, lost = 30 - seen.served })
    return seen
  end

  it("all who wait are served, by the attempt that was due", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local seen = come_back(10)
    assert.equal(30, seen.served)
    local stats = assert_settled(seen.pool)
    assert.same({ 10, 10, 10 }, { stats.opened, stats.idle, seen.connections })
    assert.is_true(stats.connect_failures <= seen.failures + 1, stats.connect_failures) -- one may be under way
    assert.is_true(seen.first - seen.back < 3, seen.first - seen.back)
  end)

  it("connections are opened step by step: with each that succeeds, one more at a time", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local seen = come_back(16)
    assert.is_true(seen.rush <= 0, seen.rush)
    assert.is_true(seen.most > 1 and seen.most <= 8, seen.most) -- 1, 2, 4, 8 together, not 15
    assert.equal(16, assert_settled(seen.pool).opened)
  end)
end)

describe("#slow, a restart that is shorter than checkout_timeout", function()
  local endings = { stop = "SIGTERM", kill = "SIGKILL" }

  -- Begins to stop or kill the server and to start it again. Returns a function that tells whether that is done.
  local function begin_restart(ending)
    local mark = s.folder .. "/restarted"
    local command = "(for c in %s resume; do bash spec/servers/server.sh $c '%s'; done; echo > '%s') >/dev/null 2>&1 &"
    os.remove(mark)
    os.execute(command:format(ending, s.folder, mark))
    return function()
      local file = io.open(mark)
      return file and file:close()
    end
  end

  -- Borrows, asks for a sign of life and gives back, until the restart and what follows it at once is over.
  local function borrow_on(pool, is_over, seen)
    while not is_over() or not seen.ends_at or now() < seen.ends_at do
      seen.ends_at = seen.ends_at or is_over() and now() + 0.3
      local began = now()
      local conn = assert(pool:checkout())
      seen.longest = math.max(seen.longest or 0, now() - began)
      assert.is_true(conn:ping())
      conn:release()
      seen.loans = seen.loans + 1
      if seen.rest then
        seen.rest()
      end
    end
  end

  local function check(pool, seen, ending)
    local stats = assert_settled(pool)
    assert.is_true(stats.connect_failures > 0, "nobody noticed")
    assert.is_true(stats.stale + stats.retries > 0)
    assert.equal(0, stats.timeouts)
    assert.is_true(seen.longest < 15, seen.longest)
    ledger.enter("outage: restart by " .. endings[ending], { faults = 1 })
    assert.is_true(seen.loans > 20, seen.loans)
  end

  for _, way in ipairs { "options", "tcp_options" } do
    for ending, name in pairs(endings) do
      it(("is unseen by 20 coroutines that borrow and ping: %s, %s"):format(name, way), function()
        local pool = pools.new(s[way](s, { max_size = 8, checkout_timeout = 15, wait = scheduler.wait }))
        local seen = {
          loans = 0,
          rest = function()
            sleep(0.005)
          end,
        }
        local is_over
        local tasks = times(20, function()
          assert.is_true(pool:ping())
          is_over = is_over or begin_restart(ending)
          borrow_on(pool, is_over, seen)
        end)
        run(table.unpack(tasks))
        check(pool, seen, ending)
      end)

      it(("is unseen by a plain program that borrows and pings: %s, %s"):format(name, way), function()
        local pool = pools.new(s[way](s, { max_size = 2, checkout_timeout = 15 }))
        local seen = { loans = 0 }
        assert.is_true(pool:ping())
        borrow_on(pool, begin_restart(ending), seen)
        check(pool, seen, ending)
      end)
    end
  end
end)
