-- The end of a transaction, with which the reset of its connection is sent.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local plain = require "spec.plain"
local pools = require "spec.support.pools"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local s = fixture.server()
local observer

local function run(...)
  for _, statement in ipairs { ... } do
    assert(observer:query(statement))
  end
end

setup(function()
  observer = assert(plain.connect { socket = s.socket, user = "root", database = "app" })
  run(
    "CREATE TABLE kept (a INT) ENGINE = InnoDB",
    [[CREATE PROCEDURE prepares() BEGIN
      COMMIT; XA START 'x'; INSERT INTO kept VALUES (1); XA END 'x'; XA PREPARE 'x';
    END]]
  )
end)

teardown(function()
  observer:close()
end)

after_each(pools.close)

local function new(more)
  local options = s:tcp_options(more)
  options.max_size = 1
  return pools.new(options)
end

describe("with the reset behind it,", function()
  local function rows()
    return tonumber(s:sql("SELECT COUNT(*) FROM kept")[1])
  end

  before_each(function()
    run "DELETE FROM kept"
  end)

  it("a transaction is committed, or undone", function()
    local pool = new()
    assert(pool:transaction(function(tx)
      return tx:query "INSERT INTO kept VALUES (1)"
    end))
    assert.equal(1, rows())
    pool:transaction(function(tx)
      assert(tx:query "INSERT INTO kept VALUES (2)")
      return nil, "no"
    end)
    assert.equal(1, rows())
    assert.same({ 2, 1 }, { pool:stats().resets_together, pool:stats().opened })
  end)

  -- Its error has no status: nobody knows whether the transaction is still there.
  it("a COMMIT that fails undoes all, and costs the session", function()
    local events = {}
    local pool = new {
      on_event = function(event)
        events[#events + 1] = event.type or event.name or true
      end,
    }
    local id = pool:value "SELECT CONNECTION_ID()"
    run "FLUSH TABLES WITH READ LOCK"
    local ok, err = pool:transaction({ retries = 0 }, function(tx)
      run "UNLOCK TABLES"
      assert(tx:query "SET SESSION lock_wait_timeout = 0")
      assert(tx:query "INSERT INTO kept VALUES (3)")
      run "FLUSH TABLES WITH READ LOCK"
      return true
    end)
    run "UNLOCK TABLES"
    assert.same({ false, 1205, "no", "server" }, { ok ~= nil, err.errno, err.executed, err.kind })
    assert.equal(0, rows())
    assert.not_equal(id, pool:value "SELECT CONNECTION_ID()")
    assert.same({}, events)
    assert.same({ 0, 0 }, { pool:stats().left_open, pool:stats().resets_failed })
  end)

  -- A reset breaks it, as long as its session is there.
  for _, ending in ipairs { "commit", "rollback" } do
    it("an XA transaction that a procedure has prepared outlasts the " .. ending, function()
      if dialect.is_mysql then -- which tells of no transaction then
        pending "the server tells of no transaction that is prepared"
        return
      end
      local pool = new()
      local id = pool:value "SELECT CONNECTION_ID()"
      local tx = assert(pool:begin())
      assert(tx:query "CALL prepares()")
      local ok, err = tx[ending](tx)
      assert.same({ false, 1399, "server" }, { ok ~= nil, err.errno, err.kind })
      s:await_end { id }
      assert.equal("1\t1\t0\tx", s:sql("XA RECOVER")[1])
      s:sql "XA COMMIT 'x'"
      assert.equal(1, rows())
      assert.not_equal(id, pool:value "SELECT CONNECTION_ID()")
      assert.equal(0, pool:stats().resets_failed)
    end)
  end

  it("a COMMIT that fails is run again on another session", function()
    local pool = new()
    local runs = 0
    assert.equal(
      2,
      pool:transaction(function(tx)
        runs = runs + 1
        run "UNLOCK TABLES"
        assert(tx:query "SET SESSION lock_wait_timeout = 0")
        assert(tx:query("INSERT INTO kept VALUES (?)", runs))
        if runs == 1 then
          run "FLUSH TABLES WITH READ LOCK"
          return 1
        end
        return 2
      end)
    )
  end)
end)
