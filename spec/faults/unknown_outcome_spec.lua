-- What doc/why/reliability.md advises about an outcome that is unknown: both ways of finding out end with one row,
-- whether or not the COMMIT took effect. And what that page says cannot be promised is so.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local pools = require "spec.support.pools"
local tls = require "spec.servers.tls"

local s = fixture.server { tls = true }
local r = fixture.relay(s)
local direct
local commit_bytes = 4 + 1 + #"COMMIT" -- header, command, text

setup(function()
  s:sql "CREATE TABLE app.orders (request VARCHAR(36) PRIMARY KEY, item VARCHAR(40)) ENGINE=InnoDB"
end)

before_each(function()
  s:sql "TRUNCATE app.orders"
  direct = pools.new(s:options())
end)

after_each(function()
  r:drop "rst"
  r:reset()
  pools.close()
end)

local insert = "INSERT INTO orders (request, item) VALUES ('7f3c', 'tea')"

local function count(sql)
  return assert(direct:value("SELECT COUNT(*) FROM " .. sql))
end

-- A transaction whose COMMIT, or the answer to it, is lost; returns the number of its connection.
local function lose_commit(way, after, how)
  local pool = pools.new(s:tcp_options { port = r.port, query_timeout = 0.3, connect_timeout = 0.5 })
  local tx = assert(pool:begin())
  local id = tx:value "SELECT CONNECTION_ID()"
  assert(tx:query(insert))
  r:cut_here(way, after, how)
  local done, err = tx:commit()
  assert.is_nil(done)
  assert.equal("commit_unknown", err.kind)
  return id
end

local function await_end(id)
  direct:query("KILL CONNECTION ?", id)
  while count("information_schema.PROCESSLIST WHERE ID = " .. id) > 0 do
    os.execute "sleep 0.02"
  end
end

local losses = {
  { "a COMMIT that never arrived", "up", 5, rows = 0 },
  { "a COMMIT whose answer was lost", "up", commit_bytes, rows = 1 },
  { "a COMMIT whose answer was cut", "down", 1, rows = 1 },
}

for _, loss in ipairs(losses) do
  for _, how in ipairs { "fin", "rst", "hold" } do
    it(("the outcome of %s is final when its session has ended (%s)"):format(loss[1], how), function()
      await_end(lose_commit(loss[2], loss[3], how))
      assert.equal(loss.rows, count "orders")
      r:release() -- what the silence has held arrives now, and cannot change it
      os.execute "sleep 0.05"
      assert.equal(loss.rows, count "orders")
      ledger.enter("unknown: the end of the session", { faults = 1, statements = 1 })
    end)

    it(("%s may be done again under its key (%s)"):format(loss[1], how), function()
      local id = lose_commit(loss[2], loss[3], how)
      if how == "hold" and loss.rows == 0 then -- its transaction may be open for long: the key is waited for
        local result, err = direct:transaction(function(tx)
          return tx:query { insert, timeout = 0.3 }
        end)
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        await_end(id)
      end
      local done, err = direct:transaction(function(tx)
        return tx:query(insert)
      end)
      assert.equal(loss.rows == 1 and 1062 or nil, err and err.errno)
      assert.equal(loss.rows == 0, done ~= nil)
      assert.equal(1, count "orders")
      ledger.enter("unknown: a key of the request", { faults = 1, statements = 1 })
    end)
  end
end

describe("what is not promised:", function()
  for engine, kept in pairs { InnoDB = 0, MyISAM = 2, Aria = 2 } do
    it(("a statement that fails in %s has left %d rows"):format(engine, kept), function()
      dialect.needs(engine, pending)
      s:sql("CREATE OR REPLACE TABLE app.some (n INT PRIMARY KEY) ENGINE=" .. engine)
      local result, err = direct:query "INSERT INTO some VALUES (1), (2), (1), (3)"
      assert.is_nil(result)
      assert.same({ 1062, "no" }, { err.errno, err.executed })
      assert.equal(kept, count "some")
    end)
  end

  -- The fifth byte of the reply says how many rows were affected.
  it("a byte that was changed on plain TCP is noticed, as it is over TLS", function()
    dialect.needs("TLS", pending)
    for _, options in ipairs { {}, { tls = { ca = tls.ca } } } do
      options.port = r.port
      local conn = assert(pools.new(s:tcp_options(options)):checkout())
      r:corrupt_here("down", 5, 7)
      local result, err = conn:query "DO 1"
      if options.tls then
        assert.same({ "lost", "unknown", true }, { err.kind, err.executed, err.fatal })
      else
        assert.equal(7, result.affected_rows)
      end
      conn:release()
      r:reset()
    end
  end)

  it("a loop whose connection was released ends at once: it has taken up to 64 rows along", function()
    local conn, seen = assert(direct:checkout()), 0
    assert.is_false(pcall(function()
      for _ in assert(conn:rows "SELECT seq FROM seq_1_to_1000") do
        conn:release()
        seen = seen + 1
      end
    end))
    assert.is_true(seen >= 1 and seen <= 64, seen)
  end)
end)
