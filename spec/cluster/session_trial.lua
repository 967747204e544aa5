-- Sessions on the nodes of a Galera cluster: which of them are lent again, and what their reset leads back to.

local fixture = require "spec.support.fixture"
local galera = require "spec.servers.galera"
local haproxy = require "spec.servers.haproxy"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local server = require "spec.servers.server"

local reason = galera.reason_against()
if reason then
  pending("skipped, as there is no Galera: " .. reason)
  return
end

local cluster = fixture.started(galera.start)

after_each(pools.close)

setup(function()
  cluster[1]:sql "CREATE TABLE app.runs (n INT PRIMARY KEY)"
end)

before_each(function()
  cluster:await_whole()
  cluster[1]:sql "DELETE FROM app.runs"
end)

describe("on a node that refuses to serve", function()
  after_each(function()
    cluster:accept(cluster[2])
  end)

  it("a statement has not been executed, may be tried again, and its session is never lent again", function()
    local pool = pools.new(cluster[2]:tcp_options { max_size = 1 })
    local conn = assert(pool:checkout())
    assert(conn:query "INSERT INTO runs VALUES (1)")
    cluster:reject(cluster[2])
    local done, err = conn:query "INSERT INTO runs VALUES (2)"
    assert.is_nil(done)
    assert.same({ 1047, "no", true }, { err.errno, err.executed, err.retryable })
    local id = conn:id()
    conn:release()
    cluster:accept(cluster[2])
    assert.not_equal(id, assert(pool:value "SELECT CONNECTION_ID()"))
    assert.same({ "1" }, cluster[1]:sql "SELECT n FROM app.runs")
  end)

  it("a reset fails, and costs one session: when the node serves again, sessions are lent again", function()
    local told = {}
    local options = cluster[2]:tcp_options { max_size = 1 }
    function options.on_event(event)
      told[#told + 1] = event
    end
    local pool = pools.new(options)
    local id = pools.dirty(pool, "SET @left_behind = 1")
    local conn = assert(pool:checkout())
    assert(conn:query "SET @left_behind = 2")
    cluster:reject(cluster[2])
    conn:release()
    cluster:accept(cluster[2])
    local seen = {}
    for i = 1, 4 do
      assert.is_nil((pool:value "SELECT @left_behind"))
      seen[i] = pools.dirty(pool, "SET @left_behind = 3")
    end
    assert.not_equal(id, seen[1])
    assert.same({ seen[1], seen[1], seen[1] }, { seen[2], seen[3], seen[4] })
    assert.same({}, told)
  end)
end)

-- Reads on one node what was just written on another; returns how often that was not there yet.
local function stale_reads(options)
  local writer = pools.new(cluster[1]:tcp_options { max_size = 1 })
  local reader = pools.new(cluster[2]:tcp_options(options))
  local stale = 0
  for n = 1, 100 do
    assert(writer:query("INSERT INTO runs VALUES (?)", n))
    if math.tointeger(tonumber((assert(reader:value "SELECT COUNT(*) FROM runs")))) < n then
      stale = stale + 1
    end
  end
  return stale
end

describe("wsrep_sync_wait holds for each borrower", function()
  local told

  local function on_event(event)
    told[#told + 1] = event
  end

  before_each(function()
    told = {}
  end)

  after_each(function()
    cluster[2]:sql "SET GLOBAL wsrep_sync_wait = 0"
  end)

  it("when init_sql sets it, and the event reset_refused tells of the price", function()
    assert.equal(0, stale_reads { max_size = 1, init_sql = "SET wsrep_sync_wait = 1", on_event = on_event })
    assert.same({ "reset_refused" }, told)
  end)

  it("when on_connect sets it", function()
    local function on_connect(conn)
      assert(conn:query "SET SESSION WSREP_SYNC_WAIT = 1")
    end
    assert.equal(0, stale_reads { max_size = 1, on_connect = on_connect, on_event = on_event })
    assert.same({ "reset_refused" }, told)
  end)

  it("when it is the server's default", function()
    cluster[2]:sql "SET GLOBAL wsrep_sync_wait = 1"
    assert.equal(0, stale_reads { max_size = 1, on_event = on_event })
    assert.same({ "reset_refused" }, told)
  end)

  it("with reset = never at no price", function()
    local options = { max_size = 1, init_sql = "SET wsrep_sync_wait = 1", reset = "never", on_event = on_event }
    assert.equal(0, stale_reads(options))
    assert.same({}, told)
  end)
end)

it("a cluster without wsrep_sync_wait has its sessions reset together with their last statement", function()
  local pool = pools.new(cluster[2]:tcp_options { max_size = 1 })
  for _ = 1, 10 do
    assert.equal("0", tostring(pool:value "SELECT COUNT(*) FROM runs"))
    assert(pool:query "SET @left_behind = 1")
    assert.is_nil((pool:value "SELECT @left_behind"))
  end
  local stats = pool:stats()
  assert.same({ 1, 30 }, { stats.opened, stats.resets_sent })
  assert.is_true(stats.resets_together >= 20, "together: " .. stats.resets_together)
end)

describe("behind a balancer that leads to a node by turns", function()
  local scheduler = schedulers.cqueues()
  local balancer = fixture.started(function()
    return haproxy.start(server.addresses(cluster))
  end)

  -- So many on each node that the numbers of the sessions that the balancer opens elsewhere are among theirs.
  it("a time limit stops its own statement, and none of others on any node", function()
    local limited = pools.new(cluster[1]:tcp_options { port = balancer.port, max_size = 6, wait = scheduler.wait })
    local tasks, ended = {}, 0
    for _, node in ipairs(cluster) do
      local strangers = pools.new(node:tcp_options { max_size = 25, wait = scheduler.wait })
      for _ = 1, 25 do
        tasks[#tasks + 1] = function()
          assert.equal("0", tostring(assert(strangers:value "SELECT SLEEP(4)")))
          ended = ended + 1
        end
      end
    end
    for _ = 1, 6 do
      tasks[#tasks + 1] = function()
        scheduler.sleep(1)
        for _ = 1, 3 do
          local slept, err = limited:value { "SELECT SLEEP(60)", timeout = 0.2 }
          assert.is_nil(slept)
          assert.same({ "timeout", "unknown" }, { err.kind, err.executed })
        end
      end
    end
    scheduler.run(table.unpack(tasks))
    assert.equal(75, ended)
  end)
end)
