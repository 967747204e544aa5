-- Time limits of statements: what they say, what they stop on the server, and whom they must not hit.

local cqueues = require "cqueues"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"

local s = fixture.server()
local now = cqueues.monotime

setup(function()
  s:sql "CREATE TABLE app.done (n INT)"
end)

after_each(pools.close)

local function seconds_of(f, ...)
  local started = now()
  local results = table.pack(f(...))
  return now() - started, table.unpack(results, 1, results.n)
end

local function timed_out(err)
  assert.equal("timeout", err.kind, err.message)
  assert.equal("unknown", err.executed)
  assert.is_false(err.retryable)
  assert.is_true(err.fatal)
end

-- How many statements with this text run on the server.
local function running(text)
  local count = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND INFO LIKE '%%%s%%'"
  return tonumber(s:sql(count:format(text))[1])
end

-- The ways a program may wait: run(f) calls f where the pool of `options` may be used.
local modes = { schedulers.plain(), schedulers.cqueues(), schedulers.luv() }

for _, mode in ipairs(modes) do
  local function new(options)
    options.wait = mode.wait
    return pools.new(s:options(options))
  end

  local function new_over(r, options)
    options.port, options.wait = r.port, mode.wait
    return pools.new(s:tcp_options(options))
  end

  local function await(condition)
    eventually(condition, mode.sleep)
  end

  describe("a time limit " .. mode.where, function()
    it("of one statement ends it here and on the server, and keeps the session", function()
      local pool = new { max_size = 1 }
      mode.run(function()
        local id = assert(pool:value "SELECT CONNECTION_ID()")
        local seconds, result, err = seconds_of(pool.query, pool, { "SELECT SLEEP(30) /* one */", timeout = 0.1 })
        assert.is_nil(result)
        timed_out(err)
        assert.is_true(seconds >= 0.099 and seconds < 10, seconds)
        pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
        assert.equal(0, running "one")
        assert.same({ 0, 1 }, { pool:stats().recovering, pool:stats().timeouts })
        pools.has_opened(1, pool)
      end)
    end)

    it("of the pool holds for statements that name none", function()
      local pool = new { max_size = 1, query_timeout = 0.1 }
      mode.run(function()
        timed_out(select(2, pool:query "SELECT SLEEP(30)"))
        assert.equal(0, assert(pool:value { "SELECT SLEEP(0.2)", timeout = 5 }))
      end)
    end)

    it("leaves the loan without a session, and only the loan", function()
      local pool = new { max_size = 1 }
      mode.run(function()
        local conn = assert(pool:checkout())
        timed_out(select(2, conn:query { "SELECT SLEEP(30)", timeout = 0.05 }))
        local result, err = conn:query "SELECT 1"
        assert.is_nil(result)
        assert.same({ "lost", "no", true }, { err.kind, err.executed, err.fatal })
        assert.is_nil(conn:id())
        conn:release()
        assert.equal(1, assert(pool:value "SELECT 1"))
      end)
    end)

    it("undoes what the transaction did so far", function()
      local pool = new { max_size = 1 }
      mode.run(function()
        assert(pool:query "TRUNCATE done")
        local result, err = pool:transaction(function(tx)
          assert(tx:query "INSERT INTO done VALUES (1)")
          return tx:query { "SELECT SLEEP(30)", timeout = 0.1 }
        end)
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        assert.equal(0, assert(pool:value "SELECT COUNT(*) FROM done"))
      end)
    end)

    it("also ends a result that never ends", function()
      local pool = new { max_size = 1 }
      mode.run(function()
        local id = assert(pool:value "SELECT CONNECTION_ID()")
        local endless = "SELECT seq, SLEEP(IF(seq > 1000, 30, 0)) FROM seq_1_to_100000"
        timed_out(select(2, pool:query { endless, timeout = 0.2 }))
        pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
        assert.equal(0, running "seq_1_to")
      end)
    end)

    it("closes a session in the middle of sending, for the rest of the statement is the caller's", function()
      local pool = new { max_size = 1 }
      mode.run(function()
        local conn = assert(pool:checkout())
        local id = assert(conn:value "SELECT CONNECTION_ID()")
        s:pause()
        local text = ("x"):rep(12 * 1024 * 1024)
        local result, err = conn:query({ "SELECT LENGTH(?)", timeout = 0.1 }, text)
        conn:release()
        text = nil -- luacheck: ignore
        collectgarbage()
        s:continue()
        assert.is_nil(result)
        timed_out(err)
        assert.not_equal(id, assert(pool:value "SELECT CONNECTION_ID()"))
      end)
    end)

    it("closes the session of a server that is stopped, and does not wait for it", function()
      local pool = new { max_size = 2, connect_timeout = 0.5, retries = 1 }
      mode.run(function()
        local conn = assert(pool:checkout())
        s:pause()
        local seconds, result, err = seconds_of(conn.query, conn, { "SELECT 1", timeout = 0.2 })
        local later, _, refused = seconds_of(pool.checkout, pool, 0.3)
        s:continue()
        assert.is_nil(result)
        timed_out(err)
        assert.is_true(seconds < 4, seconds)
        assert.is_true(later < 4, later)
        assert.truthy(refused)
        conn:release()
        await(function()
          return (pool:value "SELECT 1") == 1
        end)
        assert.equal(0, pool:stats().lent)
      end)
    end)

    it("holds when the network swallows everything", function()
      local r <close> = relay.start(s.host .. ":" .. s.port)
      local pool = new_over(r, { max_size = 2, connect_timeout = 0.5 })
      mode.run(function()
        local conn = assert(pool:checkout())
        r:hold()
        local seconds, result, err = seconds_of(conn.query, conn, { "SELECT 1", timeout = 0.1 })
        assert.is_nil(result)
        timed_out(err)
        conn:release()
        assert.is_true(seconds >= 0.099 and seconds < 4, seconds)
        local _, _, refused = seconds_of(pool.checkout, pool, 0.3)
        assert.truthy(refused)
        r:release()
        await(function()
          return (pool:value "SELECT 1") == 1
        end)
      end)
    end)
  end)
end

describe("a time limit", function()
  local scheduler = schedulers.cqueues()

  local function new(options)
    options.wait = scheduler.wait
    return pools.new(s:options(options))
  end

  it("is kept to the scheduler's own precision, down to a millisecond", function()
    local pool = new { max_size = 4, query_timeout = 5 }
    local late = {}
    scheduler.run(function()
      for ms = 1, 20 do
        local seconds, _, err = seconds_of(pool.query, pool, { "SELECT SLEEP(5)", timeout = ms / 1000 })
        assert.equal("timeout", err.kind)
        assert.is_true(seconds >= ms / 1000 - 0.0005, seconds)
        late[#late + 1] = seconds - ms / 1000
      end
    end)
    table.sort(late)
    assert.is_true(late[#late // 2] < 1, late[#late // 2]) -- the checkout may have waited for a recovery
  end)

  it("needs no place in the pool: it holds when all is lent and others wait", function()
    local pool = new { max_size = 2 }
    local waited, tasks = {}, {}
    for i = 1, 6 do
      tasks[i] = function()
        timed_out(select(2, pool:query { "SELECT SLEEP(30) /* busy */", timeout = 0.15 }))
        waited[i] = now()
      end
    end
    local started = now()
    scheduler.run(table.unpack(tasks))
    for i = 1, 6 do
      -- MariaDB may take two seconds over a KILL that finds its statement at a lock, and three follow each other
      assert.is_true(waited[i] - started < 25, waited[i] - started)
    end
    scheduler.run(function() -- nobody has waited for the end of the last two
      local one, other = assert(pool:checkout()), assert(pool:checkout())
      one:release()
      other:release()
    end)
    assert.equal(0, running "busy")
    pools.has_opened(2, pool)
  end)

  it("holds when the server takes no more connections: the session is then closed", function()
    local pool = new { max_size = 2, connect_timeout = 5 }
    local before = s:sql("SELECT @@max_connections")[1]
    scheduler.run(function()
      local conns = { assert(pool:checkout()), assert(pool:checkout()) }
      s:sql "SET GLOBAL max_connections = 10"
      local others = new { max_size = 20, retries = 0 }
      repeat
        local other = others:checkout(1)
        conns[#conns + 1] = other
      until not other
      local seconds, _, err = seconds_of(conns[1].query, conns[1], { "SELECT SLEEP(30)", timeout = 0.1 })
      timed_out(err)
      assert.is_true(seconds < 4, seconds)
      for _, conn in ipairs(conns) do
        conn:release()
      end
      others:close()
      s:sql("SET GLOBAL max_connections = " .. before)
      assert.equal(1, assert(pool:value "SELECT 1"))
      assert.is_true(pool:stats().size <= 2)
    end)
  end)

  it("never hits the next borrower, however close the race", function()
    local pool = new { max_size = 4 }
    local races, timeouts, wrong = 3000, 0, {}
    local left, tasks = races, {}
    for i = 1, 8 do
      tasks[i] = function()
        while left > 0 do
          left = left - 1
          local _, err = pool:query { "SELECT SLEEP(0.002)", timeout = 0.0015 + math.random() * 0.0015 }
          if err then
            timeouts = timeouts + 1
            timed_out(err)
          end
          local value, later = pool:value("SELECT SLEEP(0.0005) + ?", i)
          if value ~= i and tonumber(value) ~= i then
            wrong[#wrong + 1] = later and later.message or tostring(value)
          end
        end
      end
    end
    scheduler.run(table.unpack(tasks))
    assert.same({}, wrong)
    assert.is_true(timeouts > races / 20 and timeouts < races, timeouts)
    assert.equal(0, pool:stats().lent)
  end)

  it("lets a statement that was about to end anyway end, and gives its session back", function()
    local pool = new { max_size = 1 }
    scheduler.run(function()
      local id = assert(pool:value "SELECT CONNECTION_ID()")
      for _ = 1, 20 do
        pool:query { "SELECT SLEEP(0.01)", timeout = 0.01 }
        pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
      end
      pools.has_opened(1, pool)
    end)
  end)
end)
