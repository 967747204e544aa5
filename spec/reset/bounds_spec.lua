-- Cleaning has bounds: what a loan leaves behind costs its own session, nobody's time.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local scheduler = require "spec.support.scheduler"

local s = fixture.server()

setup(function()
  s:sql "CREATE TABLE app.heap (n INT PRIMARY KEY, filler CHAR(100)) ENGINE=InnoDB"
end)

after_each(pools.close)

-- What `f` returned, and behind it how long it took.
local function timed(f)
  local began = cqueues.monotime()
  local result = f()
  return result, cqueues.monotime() - began
end

local function assert_quick(limit, f)
  local result, took = timed(f)
  assert.is_true(took < limit, ("took %.3f s"):format(took))
  return result
end

local function assert_stats(expected, pool)
  local stats, found = pool:stats(), {}
  for name in pairs(expected) do
    found[name] = stats[name]
  end
  assert.same(expected, found)
end

-- Of this many rows the undoing takes a good part of a second.
local function fill_heap(conn)
  assert(conn:query "START TRANSACTION")
  assert(conn:query "INSERT INTO heap SELECT seq, 'x' FROM seq_1_to_200000")
end

local function release(conn)
  return function()
    conn:release()
  end
end

local function checkout(pool)
  return function()
    return assert(pool:checkout())
  end
end

-- ================================================================================================

describe("a huge result that nobody reads", function()
  local quick = 1 -- all of its 5 GB take several seconds

  local function leave_rows(pool)
    local conn = assert(pool:checkout())
    local id = conn:id()
    local rows = assert(conn:rows "SELECT REPEAT('x', 1000) AS t FROM seq_1_to_5000000")
    assert.equal(1000, #rows().t)
    return conn, id, rows
  end

  it("does not hold up its release, and costs its session", function()
    local pool = pools.new(s:options { max_size = 1 })
    local conn, id = leave_rows(pool)
    assert_quick(quick, release(conn))
    assert_stats({ discarded = 1, closed = 1, resets_sent = 0, lent = 0, idle = 0 }, pool)
    conn = assert_quick(quick, checkout(pool))
    assert.not_equal(id, conn:id())
    assert.equal(1, conn:value "SELECT 1")
    conn:release()
  end)

  it("does not hold up others", function()
    local pool, other = pools.lend(s:options { max_size = 2 })
    local other_id = other:id()
    local conn = leave_rows(pool)
    other:release()
    assert_quick(quick, release(conn))
    conn = assert_quick(quick, checkout(pool))
    assert.equal(other_id, conn:id())
    conn:release()
  end)

  it("does not hold up the loop that is left early: past 64 KiB the session is given up", function()
    local pool = pools.new(s:options { max_size = 1 })
    local conn, _, rows = leave_rows(pool)
    assert_quick(quick, function()
      rows:close()
    end)
    assert.is_nil(conn:id())
    conn:release()
    assert_stats({ discarded = 1, resets_sent = 0 }, pool)
    assert_quick(quick, checkout(pool)):release()
  end)

  it("of which little is left is read, and the session kept", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool, conn = pools.lend(s:options { max_size = 1 })
    local id = conn:id()
    for row in conn:rows "SELECT seq FROM seq_1_to_1000" do
      if row.seq == 3 then
        break
      end
    end
    assert.equal(id, conn:id())
    conn:release()
    assert.equal(id, (pool:value "SELECT CONNECTION_ID()"))
    assert_stats({ discarded = 0, opened = 1 }, pool)
  end)

  it("is not waited for when its handle is forgotten", function()
    local pool = pools.new(s:options { max_size = 1 })
    warn "@off"
    local function forget()
      leave_rows(pool)
    end
    forget()
    assert_quick(quick, function()
      collectgarbage()
      collectgarbage()
    end)
    warn "@on"
    assert_stats({ lent = 0, discarded = 1 }, pool)
  end)
end)

-- ================================================================================================

describe("a reset that rolls back for long", function()
  -- A checkout waits for a reset half of its time: on a busy machine the rollback takes longer than that, as a rule.
  local function patient(options)
    options.connect_timeout, options.checkout_timeout = 60, 120
    return s:options(options)
  end

  it("does not hold up its release", function()
    local pool, conn = pools.lend(patient { max_size = 1 })
    fill_heap(conn)
    local _, released = timed(release(conn))
    assert_stats({ resets_sent = 1, resets_waited = 0, resets_failed = 0, discarded = 0 }, pool)
    local rows, waited = timed(function()
      return pool:value "SELECT COUNT(*) FROM heap"
    end)
    assert.equal(0, rows)
    assert.is_true(released < math.max(waited, 0.3), ("took %.3f s, the rollback %.3f s"):format(released, waited))
  end)

  it("does not hold up others: they take another session", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = pools.new(patient { max_size = 2 })
    local conn, other = assert(pool:checkout()), assert(pool:checkout())
    local id, other_id = conn:id(), other:id()
    fill_heap(conn)
    conn:release()
    other:release()
    for _ = 1, 5 do
      other = assert(pool:checkout())
      assert.equal(other_id, other:id())
      other:release()
    end
    assert_stats({ opened = 2, resets_failed = 0 }, pool)
    other = assert(pool:checkout())
    conn = assert(pool:checkout()) -- both: this one may have to wait for the end
    assert.equal(id, conn:id())
    assert.equal(0, conn:value "SELECT COUNT(*) FROM heap")
    assert_stats({ opened = 2, resets_failed = 0 }, pool)
    conn:release()
    other:release()
  end)

  it("does not hold up others: they open another session", function()
    local pool, conn = pools.lend(patient { max_size = 2 })
    local id = conn:id()
    fill_heap(conn)
    conn:release()
    local other = assert_quick(10, checkout(pool))
    if other:id() ~= id then -- else the server undid it all in no time
      assert_stats({ opened = 2 }, pool)
    end
    other:release()
  end)
end)

describe("a reset whose answer does not come", function()
  local r

  before_each(function()
    r = relay.start(s)
  end)

  after_each(function()
    pools.close()
    r:stop()
  end)

  local function options(more)
    local o = s:tcp_options(more)
    o.host, o.port = r.host, r.port
    return o
  end

  -- The connection open now becomes a black hole; those that come later work.
  local function hold_session(conn)
    assert(conn:query "SET @mine = 1")
    r:cut_here("down", 0, "hold")
  end

  it("costs the session past connect_timeout, and stats() says so", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool, conn = pools.lend(options { max_size = 1, connect_timeout = 1 })
    local id = conn:id()
    assert(conn:query "SET @mine = 0")
    conn:release()
    assert(pool:ping()) -- this server does answer
    conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    hold_session(conn)
    assert_quick(0.9, release(conn))
    local took
    conn, took = timed(checkout(pool))
    assert.is_true(took > 0.9 and took < 4, ("took %.3f s"):format(took))
    assert.not_equal(id, conn:id())
    assert.is_nil((conn:value "SELECT @mine"))
    conn:release()
    local stats = pool:stats()
    assert.equal(1, stats.resets_failed)
    assert.equal(1, stats.closed)
    assert.is_true(stats.resets_waited >= 1)
    assert.is_true(stats.reset_wait > 0.9 and stats.reset_wait < 4, stats.reset_wait)
    assert.equal(stats.opened, 2)
  end)

  it("does not keep others from the session beside it", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool, conn = pools.lend(options { max_size = 2, connect_timeout = 3 })
    hold_session(conn)
    local other = assert(pool:checkout())
    local other_id = other:id()
    other:release()
    conn:release()
    for _ = 1, 5 do
      other = assert_quick(2, checkout(pool)) -- both owe the answer to a reset
      assert.equal(other_id, other:id())
      assert(other:query "SET @mine = 2")
      other:release()
    end
  end)

  it("is not waited for when another session may be opened", function()
    local pool, conn = pools.lend(options { max_size = 2, connect_timeout = 3 })
    local id = conn:id()
    hold_session(conn)
    conn:release()
    conn = assert_quick(2, checkout(pool))
    assert.not_equal(id, conn:id())
    conn:release()
    assert_stats({ size = 2, opened = 2 }, pool)
  end)

  it("is not waited for when another connection comes back meanwhile", function()
    local pool = pools.new(options { max_size = 2, connect_timeout = 3, wait = scheduler.wait })
    local first = cqueues.monotime()
    scheduler.run(function()
      local conn = assert(pool:checkout())
      hold_session(conn)
      local other = assert(pool:checkout())
      local other_id = other:id()
      scheduler.spawn(coroutine.create(function()
        scheduler.sleep(0.05)
        other:release()
      end))
      conn:release()
      conn = assert(pool:checkout())
      assert.equal(other_id, conn:id())
      conn:release()
      first = cqueues.monotime() - first
    end)
    assert.is_true(first < 2.5, ("took %.3f s"):format(first))
  end)

  it("costs the session also where nobody waits", function()
    local pool, conn = pools.lend(options { max_size = 2, connect_timeout = 0.5 })
    hold_session(conn)
    conn:release()
    os.execute "sleep 0.7"
    assert(pool:checkout()):release()
    assert_stats({ resets_failed = 1, resets_waited = 0, reset_wait = 0, closed = 1, opened = 2 }, pool)
  end)

  it("ends conn:reset() with the session, not the slot", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool, conn = pools.lend(options { max_size = 1, connect_timeout = 1 })
    assert.is_true(conn:reset()) -- this server does answer
    hold_session(conn)
    local ok, err
    local _, took = timed(function()
      ok, err = conn:reset()
    end)
    assert.is_true(took > 0.9 and took < 4, took)
    assert.is_nil(ok)
    assert.same({ "timeout", "no", true }, { err.kind, err.executed, err.fatal })
    assert.is_nil(conn:id())
    assert_stats({ resets_sent = 2, resets_failed = 1, lent = 1 }, pool)
    conn:release()
    conn = assert(pool:checkout())
    assert.equal(1, conn:value "SELECT 1")
    conn:release()
    assert_stats({ size = 1, lent = 0 }, pool)
  end)
end)

describe("a server that stands still", function()
  it("holds up a checkout no longer than checkout_timeout", function()
    local pool, conn = pools.lend(s:options { max_size = 2, connect_timeout = 1, checkout_timeout = 2 })
    assert(conn:query "SET @mine = 1")
    s:pause()
    local ok, message = pcall(function()
      assert_quick(0.9, release(conn))
      local again, err
      assert_quick(6, function()
        again, err = pool:checkout()
      end)
      assert.is_nil(again)
      assert.is_truthy(err.kind == "exhausted" or err.kind == "connect" or err.kind == "timeout", err.kind)
    end)
    s:continue()
    assert(ok, message)
    assert.equal(1, assert(pool:value "SELECT 1"))
  end)
end)

-- ================================================================================================

describe("release { reset = false }", function()
  it("leaves the session as it is, and sends nothing", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool, conn = pools.lend(s:options { max_size = 1 })
    local id = conn:id()
    assert(conn:query "SET @mine = 1, time_zone = '+09:00'")
    conn:release { reset = false }
    assert_stats({ resets_sent = 0, discarded = 0, idle = 1 }, pool)
    conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert.equal(1, conn:value "SELECT @mine")
    assert.equal("+09:00", conn:value "SELECT @@time_zone")
    conn:release()
    assert_stats({ resets_sent = 1 }, pool)
    conn = assert(pool:checkout())
    assert.equal(id, conn:id())
    assert.is_nil((conn:value "SELECT @mine"))
    conn:release()
  end)

  it("is followed by a reset as soon as a loan ends without it", function()
    local pool, conn = pools.lend(s:options { max_size = 1 })
    assert(conn:query "SET @mine = 1")
    conn:release { reset = false }
    conn = assert(pool:checkout())
    assert.equal(1, conn:value "SELECT @mine")
    conn:release { reset = true }
    assert.is_nil((pool:value "SELECT @mine"))
  end)

  it("says which options there are", function()
    local conn = assert(pools.new(s:options { max_size = 1 }):checkout())
    mistake("unknown option", function()
      conn:release { rset = false }
    end)
    mistake("boolean expected", function()
      conn:release { reset = 0 }
    end)
    mistake("table expected", function()
      conn:release(false)
    end)
    assert.is_true(conn:is_held())
    conn:release()
  end)
end)

describe("conn:reset()", function()
  local pool, conn, id

  before_each(function()
    pool, conn = pools.lend(s:options { max_size = 1, init_sql = "SET @base = 5" })
    id = conn:id()
  end)

  after_each(function()
    conn:release()
  end)

  it("leads the session back to its baseline in the middle of a loan", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    assert(conn:query "SET @mine = 1, @base = 6, time_zone = '+09:00'")
    assert(conn:query "CREATE TEMPORARY TABLE basket (n INT)")
    assert(conn:query "USE mysql")
    assert.is_true(conn:reset())
    assert.equal(id, conn:id())
    assert.equal(id, (conn:value "SELECT CONNECTION_ID()"))
    assert.is_nil((conn:value "SELECT @mine"))
    assert.equal(5, conn:value "SELECT @base")
    assert.equal("SYSTEM", conn:value "SELECT @@time_zone")
    assert.equal("app", conn:value "SELECT DATABASE()")
    local ok, _, errno = conn:query "SELECT * FROM basket"
    assert.same({ nil, 1146 }, { ok, errno })
  end)

  it("rolls a transaction back", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    assert(conn:query "START TRANSACTION")
    assert(conn:query "INSERT INTO heap VALUES (-1, 'x')")
    assert.is_true(conn:in_transaction())
    assert.is_true(conn:reset())
    assert.is_false(conn:in_transaction())
    assert.equal(0, conn:value "SELECT COUNT(*) FROM heap WHERE n = -1")
  end)

  it("ends prepared statements, which say so", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local statement = assert(conn:prepare "SELECT ?")
    assert.equal(1, statement:value(1))
    assert.is_true(conn:reset())
    local ok, err = statement:value(1)
    assert.is_nil(ok)
    assert.truthy(err.message:find "prepared", err.message)
    assert.equal("no", err.executed)
    assert.equal(1, conn:value "SELECT 1")
    statement:close()
    statement = assert(conn:prepare "SELECT ? + 1")
    assert.equal(2, tonumber(statement:value(1)))
  end)

  it("is refused while rows are being read, which goes on", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local n = 0
    for row in conn:rows "SELECT seq FROM seq_1_to_2000" do
      n = n + 1
      assert.equal(n, row.seq)
      if n == 1000 then
        local ok, err, errno = conn:reset()
        assert.is_nil(ok)
        assert.same({ "protocol", 2014, "no", false }, { err.kind, errno, err.executed, err.fatal })
        assert.truthy(err.message:find "read")
      end
    end
    assert.equal(2000, n)
    assert.is_true(conn:reset())
    assert.equal(id, conn:id())
    assert_stats({ resets_sent = 1, resets_failed = 0 }, pool)
  end)

  it("leaves nothing to be done at the release", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    assert(conn:query "SET @mine = 1")
    assert.is_true(conn:reset())
    conn:release()
    assert_stats({ resets_sent = 1, idle = 1 }, pool)
    assert.equal(id, (pool:value "SELECT CONNECTION_ID()"))
  end)

  it("costs the session when it fails, not the slot", function()
    assert(conn:query "SET @mine = 1")
    s:sql(("KILL CONNECTION %d"):format(id))
    local ok, err = conn:reset()
    assert.is_nil(ok)
    assert.same({ "lost", "no", true }, { err.kind, err.executed, err.fatal })
    assert.is_nil(conn:id())
    ok, err = conn:query "SELECT 1"
    assert.is_nil(ok)
    assert.equal("lost", err.kind)
    conn:release()
    assert_stats({ size = 0, lent = 0, resets_failed = 1, discarded = 1 }, pool)
    conn = assert(pool:checkout())
    assert.not_equal(id, conn:id())
    assert.is_nil((conn:value "SELECT @mine"))
  end)

  it("of a released connection is a mistake", function()
    conn:release()
    mistake("was released", function()
      local ok = conn:reset()
      return ok
    end)
  end)
end)

-- ================================================================================================

describe("stats():", function()
  it("a loan that ran nothing sends no reset", function()
    local pool = pools.new(s:options { max_size = 1 })
    for _ = 1, 3 do
      assert(pool:checkout()):release()
      assert(pool:ping())
    end
    assert_stats({ resets_sent = 0, resets_hidden = 0, resets_waited = 0, resets_failed = 0, checkouts = 6 }, pool)
  end)

  it("a reset is hidden when its reply was there at the checkout", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local stats
    for _ = 1, 100 do -- a loaded machine may need more than one pause until the replies are there in time
      local pool = pools.new(s:options { max_size = 1 })
      for _ = 1, 3 do
        assert(pool:query "DO 1")
        os.execute "sleep 0.05"
      end
      stats = pool:stats()
      assert.same({ 3, 2 }, { stats.resets_sent, stats.resets_hidden + stats.resets_waited })
      if stats.resets_waited == 0 then
        break
      end
    end
    assert.same({ 2, 0, 0 }, { stats.resets_hidden, stats.resets_waited, stats.reset_wait })
  end)

  it("a reset was waited for when it was not, and reset_wait is the time", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local r = relay.start(s)
    r:delay(50)
    local options = s:tcp_options { max_size = 1 }
    options.host, options.port = r.host, r.port
    local pool = pools.new(options)
    for _ = 1, 3 do
      assert(pool:query "DO 1")
    end
    assert_stats({ resets_sent = 3, resets_hidden = 0, resets_waited = 2, resets_failed = 0 }, pool)
    local waited = pool:stats().reset_wait
    assert.is_true(waited > 0.15 and waited < 4, waited)
    pool:close()
    r:stop()
  end)

  it("a reset failed when its session could not be lent again", function()
    local pool = pools.new(s:options { max_size = 1, init_sql = "SET @a = (SELECT n FROM app.switch)" })
    s:sql "CREATE TABLE app.switch (n INT)"
    local conn = assert(pool:checkout())
    assert(conn:query "DO 1")
    s:sql "DROP TABLE app.switch"
    conn:release()
    local ok, _, errno = pool:query "DO 1"
    assert.same({ nil, 1146 }, { ok, errno })
    assert_stats({ resets_sent = 1, resets_failed = 1, closed = 1, size = 0 }, pool)
  end)

  it("reset = 'never' sends none", function()
    local pool = pools.new(s:options { max_size = 1, reset = "never" })
    assert(pool:query "SET @mine = 1")
    assert.equal(1, (pool:value "SELECT @mine"))
    assert_stats({ resets_sent = 0 }, pool)
  end)
end)
