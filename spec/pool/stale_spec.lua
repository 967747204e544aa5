-- A live connection, always: what died while it was idle is replaced unseen, and no statement runs twice.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local sleep = require "spec.support.sleep"

local s = fixture.server()
fixture.table(s, "runs", "n INT")

after_each(pools.close)

-- Fills the pool with idle connections whose resets have been answered.
local function fill(pool, count)
  pools.fill(pool, count)
  sleep(0.2)
  assert.same({ count, 0 }, { pool:stats().idle, pool:stats().stale })
end

local function kill_all()
  s:kill_sessions(s:sessions())
end

local function kill(id)
  s:sql("KILL " .. id)
  s:await_empty()
end

local deaths = {
  ["wait_timeout"] = function()
    sleep(2)
    s:await_empty()
  end,
  ["KILL"] = kill_all,
  ["SIGTERM and a restart"] = function()
    s:restart()
  end,
  ["SIGKILL and a restart"] = function()
    s:kill()
    s:resume()
  end,
}

for _, way in ipairs { "options", "tcp_options" } do
  describe(("ten idle connections over %s"):format(way == "options" and "a unix socket" or "TCP"), function()
    for name, death in pairs(deaths) do
      it(("that %s ended are replaced, and every query and ping succeeds"):format(name), function()
        if name == "wait_timeout" then
          s:sql "SET GLOBAL wait_timeout = 1"
        end
        local pool = pools.new(s[way](s, { max_size = 10 }))
        fill(pool, 10)
        death()
        s:sql "SET GLOBAL wait_timeout = 28800"
        for i = 1, 10 do
          assert.is_true(pool:ping())
          assert.equal(i, pool:value("SELECT ?", i))
        end
        local stats = pool:stats()
        assert.equal(10, stats.stale)
        local known = dialect.has "COM_RESET_CONNECTION" and 0 or stats.resets_failed
        assert.same({ 0, 0, known }, { stats.connect_failures, stats.timeouts, stats.resets_failed })
        assert.equal(stats.idle + stats.lent, stats.opened - stats.closed)
      end)
    end

    it("are all of use again at once after a KILL", function()
      local pool = pools.new(s[way](s, { max_size = 10 }))
      fill(pool, 10)
      kill_all()
      local conns = {}
      for i = 1, 10 do
        conns[i] = assert(pool:checkout())
        assert.equal(1, (conns[i]:value "SELECT 1"))
      end
      assert.equal(10, pool:stats().stale)
    end)

    it("with replies to resets that nobody read are replaced, too", function()
      local pool = pools.new(s[way](s, { max_size = 1 }))
      for _ = 1, 5 do
        assert.equal(1, pool:value "SELECT 1")
        kill_all()
        assert.is_true(pool:ping())
      end
      assert.equal(5, pool:stats().stale + pool:stats().resets_failed)
    end)

    -- The last loan ran nothing, so there is no reset whose replies are read first.
    it("of a pool with on_connect are replaced at the checkout, which shows it the new ones", function()
      local seen = 0
      local pool = pools.new(s[way](s, {
        max_size = 2,
        on_connect = function(conn)
          seen = seen + 1
          return conn:query "SET @base = 1"
        end,
      }))
      for _, call in ipairs {
        function()
          return pool:ping()
        end,
        function()
          return pool:value "SELECT @base = 1" == 1
        end,
      } do
        assert(pool:checkout()):release()
        kill_all()
        assert.is_true(call())
      end
      assert.same({ 3, 2 }, { seen, pool:stats().stale })
    end)

    it("and a transaction after them", function()
      local pool = pools.new(s[way](s, { max_size = 10 }))
      fill(pool, 10)
      kill_all()
      assert.equal("done", pool:transaction(function(tx)
        assert(tx:query "INSERT INTO runs VALUES (1)")
        return "done"
      end))
      assert.same({ "1" }, s:sql "SELECT n FROM app.runs")
    end)
  end)

  describe(("a lent connection that died, over %s,"):format(way == "options" and "a unix socket" or "TCP"), function()
    local pool, conn

    before_each(function()
      pool, conn = pools.lend(s[way](s, { max_size = 2 }))
    end)

    it("is replaced unseen before its first statement", function()
      local id = conn:id()
      kill(id)
      assert(conn:query "INSERT INTO runs VALUES (1)")
      assert.not_equal(id, conn:id())
      assert.equal(conn:id(), (conn:value "SELECT CONNECTION_ID()"))
      assert.same({ "1" }, s:sql "SELECT n FROM app.runs")
      assert.equal(1, pool:stats().retries)
      conn:release()
      assert.equal(1, pool:stats().idle)
    end)

    it("is replaced unseen by a ping, too", function()
      kill(conn:id())
      assert.is_true(conn:ping())
      assert.equal(1, (conn:value "SELECT 1"))
    end)

    it("is an error of the kind lost after that, for every further statement", function()
      assert(conn:query "SET @a = 1")
      kill(conn:id())
      for i = 1, 3 do
        local result, err = conn:query "INSERT INTO runs VALUES (1)"
        assert.is_nil(result)
        assert.same({ "lost", "no", true }, { err.kind, err.executed, err.fatal }, i)
      end
      local ok, err = conn:ping()
      assert.is_nil(ok)
      assert.equal("lost", err.kind)
      assert.is_nil(conn:id())
      assert.is_false(conn:in_transaction())
      conn:release()
      assert.same({ 0, 1 }, { pool:stats().size, pool:stats().discarded })
      assert.same({}, s:sql "SELECT n FROM app.runs")
      assert.is_true(pool:ping())
    end)

    it("is lost with an unknown outcome when it dies in the middle of a statement", function()
      local result, err = conn:query "KILL CONNECTION_ID()"
      assert.is_nil(result)
      local told = dialect.kills_itself_with_an_error and { "server", "unknown", false, false }
      assert.same(told or { "lost", "unknown", true, false }, { err.kind, err.executed, err.fatal, err.retryable })
      assert.equal("lost", select(2, conn:query "SELECT 1").kind)
      conn:release()
      assert.is_true(pool:ping())
    end)

    it("is not replaced with retries = 0", function()
      local strict = pools.new(s[way](s, { retries = 0 }))
      local held = assert(strict:checkout())
      kill_all()
      local result, err = held:query "SELECT 1"
      assert.is_nil(result)
      assert.same({ "lost", "no", true }, { err.kind, err.executed, err.retryable })
      held:release()
      assert.is_true(strict:ping())
    end)
  end)
end

describe("a statement whose reply is lost", function()
  local r, pool

  before_each(function()
    r = relay.start { host = s.host, port = s.port }
    pool = pools.new(s:tcp_options { host = r.host, port = r.port, max_size = 3 })
  end)

  after_each(function()
    pools.close()
    r:stop()
  end)

  for _, how in ipairs { "fin", "rst" } do
    it(("is not run again, but reported as unknown (%s)"):format(how), function()
      local conn <close> = assert(pool:checkout())
      r:cut_here("down", 1, how)
      local result, err = conn:query "INSERT INTO runs VALUES (1)"
      assert.is_nil(result)
      assert.same({ "lost", "unknown", true, false }, { err.kind, err.executed, err.fatal, err.retryable })
      assert.same({ "1" }, s:sql "SELECT n FROM app.runs")
    end)
  end

  it("is run again on another connection when the caller calls it idempotent", function()
    local conn <close> = assert(pool:checkout())
    r:cut_here("down", 1, "fin")
    assert.same({ { n = 5 } }, conn:query({ "SELECT ? AS n", idempotent = true }, 5))
    assert.equal(1, pool:stats().retries)
  end)

  it("is not run again when rows had arrived, idempotent or not", function()
    local conn <close> = assert(pool:checkout())
    r:cut_here("down", 100000, "fin")
    local result, err = conn:query { "SELECT REPEAT('x', 1000) FROM seq_1_to_1000", idempotent = true }
    assert.is_nil(result)
    assert.same({ "lost", true }, { err.kind, err.fatal })
  end)

  it("is not run again behind another statement of the same loan", function()
    local conn <close> = assert(pool:checkout())
    assert(conn:query "SET @a = 1")
    r:cut_here("down", 1, "fin")
    local result, err = conn:query { "SELECT @a", idempotent = true }
    assert.is_nil(result)
    assert.same({ "lost", "unknown" }, { err.kind, err.executed })
  end)

  it("does not lose a ping, which is tried elsewhere", function()
    local conn <close> = assert(pool:checkout())
    r:cut_here("down", 1, "fin")
    assert.is_true(conn:ping())
  end)

  it("leaves nothing for the next statement: an answer that comes too late is never read", function()
    local conn = assert(pool:checkout())
    r:hold()
    local result, err = conn:query { "SELECT 'late'", timeout = 0.1 }
    assert.is_nil(result)
    assert.same({ "timeout", "unknown", true }, { err.kind, err.executed, err.fatal })
    r:release()
    assert.equal("lost", select(2, conn:query "SELECT 1").kind)
    conn:release()
    assert.equal("fresh", pool:value "SELECT 'fresh'")
  end)

  it("is damaged by foreign bytes, which no statement takes for its answer", function()
    local conn = assert(pool:checkout())
    conn:query "SET @a = 1"
    conn:release()
    sleep(0.3)
    r:inject("down", "\7\0\0\1\0\0\0\2\0\0\0")
    for _ = 1, 3 do
      assert.equal("right", pool:value "SELECT 'right'")
    end
    local held = assert(pool:checkout())
    held:query "SET @a = 1"
    r:inject("down", "\7\0\0\1\0\0\0\2\0\0\0")
    sleep(0.3)
    local result, err = held:query "SELECT 'right'"
    assert.is_nil(result)
    assert.same({ "lost", "no" }, { err.kind, err.executed })
    held:release()
  end)
end)
