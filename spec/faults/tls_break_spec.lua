-- An encrypted connection that breaks takes no other with it: OpenSSL notes its failure where others would find it,
-- once in the middle of every wait of theirs.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local tls = require "spec.servers.tls"

if dialect.lacks "TLS" then
  return pending(dialect.lacks "TLS")
end

local s = fixture.server { tls = true }
local r = fixture.relay(s) -- to those that break
local slow = fixture.relay(s) -- to those that must not: no answer is there at once, and none in one piece
local fast_enough = 2000000 -- bytes a second

setup(function()
  slow:delay(1)
  slow:throttle(fast_enough)
end)

after_each(pools.close)

local wide = "SELECT seq, REPEAT('x', 10000) AS pad FROM seq_1_to_40"

-- Each is given a connection, and a function that breaks another one. All wait for the server after that.
-- Breaks the other connection behind the first of the rows.
local function read_all(break_other, ...)
  local seen = 0
  for _ in ... do
    seen = seen + 1
    if seen == 1 then
      break_other()
    end
  end
  assert.equal(40, seen)
end

local operations = {
  query = function(conn, break_other)
    break_other()
    assert.equal(7, (conn:value "SELECT 7 + SLEEP(0.01)"))
  end,
  ["the rows of a query"] = function(conn, break_other)
    read_all(break_other, conn:rows(wide))
  end,
  ["what comes after the rows of a CALL"] = function(conn, break_other)
    dialect.run(conn, ("CREATE OR REPLACE PROCEDURE two() BEGIN SELECT 1; %s; END"):format(wide))
    for _ in conn:rows "CALL two()" do
      break_other()
    end
    assert.equal(7, (conn:value "SELECT 7"))
  end,
  prepare = function(conn, break_other)
    break_other()
    assert(conn:prepare "SELECT ?")
  end,
  ["a prepared statement"] = function(conn, break_other)
    local statement = assert(conn:prepare "SELECT ? + SLEEP(0.01)")
    break_other()
    assert.equal(7, (statement:value(7)))
  end,
  ["the rows of a prepared statement"] = function(conn, break_other)
    local statement = assert(conn:prepare(wide))
    read_all(break_other, statement:rows())
  end,
  ping = function(conn, break_other)
    local id = conn:id()
    break_other()
    assert.is_true(conn:ping())
    assert.equal(id, conn:id())
  end,
  reset = function(conn, break_other)
    assert(conn:query "SET @a = 1")
    break_other()
    assert.is_true(conn:reset())
  end,
}

-- A function that breaks a connection, and one that tells how often it did.
local function breaker(options)
  local other, faults = pools.new(options), 0
  local function break_other()
    local conn = assert(other:checkout())
    assert(conn:query "SET @a = 1")
    r:cut_here("down", 1, "fin")
    assert.equal("lost", select(2, conn:query "SELECT 1").kind)
    conn:release()
    faults = faults + 1
  end
  return break_other, function()
    return faults
  end
end

for _, name in ipairs { "a plain program", "cqueues" } do
  describe(("in %s, the break of an encrypted connection in the middle of"):format(name), function()
    local scheduler = schedulers[name] and schedulers[name]()

    local run = scheduler and scheduler.run or function(f)
      f()
    end

    local function options(through)
      return s:tcp_options {
        port = through.port,
        max_size = 1,
        retries = 0,
        tls = { ca = tls.ca },
        wait = scheduler and scheduler.wait,
      }
    end

    for what, operation in pairs(operations) do
      it(what .. " of another one does not touch that", function()
        run(function()
          local pool = pools.new(options(slow))
          local break_other, faults = breaker(options(r))
          local conn = assert(pool:checkout())
          operation(conn, break_other)
          conn:release()
          break_other()
          assert.equal(7, (pool:value "SELECT 7"))
          assert.same({ 1, 0, 0 }, { pool:stats().opened, pool:stats().closed, pool:stats().resets_failed })
          assert.is_true(faults() > 0)
          ledger.enter("a broken neighbour over TLS", { faults = faults(), statements = 2 })
        end)
      end)
    end

    if scheduler then
      it("a wait of another one does not touch that", function()
        local pool = pools.new(options(slow))
        local waiting, text = true, nil
        local break_other, faults = breaker(options(r))
        scheduler.run(function()
          slow:throttle(50000) -- the reply is one record that takes a while to arrive
          text = pool:value "SELECT REPEAT('x', 15000)"
          waiting = false
          slow:throttle(fast_enough)
        end, function()
          while waiting do
            break_other()
            scheduler.sleep(0.02)
          end
        end)
        assert.equal(15000, #text)
        assert.is_true(faults() > 1)
        ledger.enter("a broken neighbour over TLS", { faults = faults(), statements = 1 })
      end)
    end
  end)
end
