-- What becomes of idle and of lent connections when a pool is to have no more of them.

local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"

describe("pool:evict", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("closes idle connections now and lent ones when they come back", function()
    local pool = pools.new(s:options())
    local idle, lent = pool:checkout(), pool:checkout()
    local idle_id, lent_id = idle:id(), lent:id()
    pools.release(idle)
    pool:evict()
    assert.same({ 0, 1 }, { pool:stats().idle, pool:stats().lent })
    assert.equal(lent_id, lent:value "SELECT CONNECTION_ID()")
    pools.release(lent)
    assert.equal(0, pool:stats().size)
    local fresh <close> = pool:checkout()
    assert.is_true(fresh:id() ~= idle_id and fresh:id() ~= lent_id)
    pools.stats(pool)
  end)

  it("leaves connections alone that are opened later", function()
    local pool = pools.new(s:options())
    pool:evict()
    local conn = pool:checkout()
    local id = conn:id()
    pools.release(conn)
    assert.equal(id, pool:checkout():id())
  end)
end)

describe("pool:close", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  it("makes every call that needs a connection fail with the kind closed", function()
    local pool = pools.new(s:options())
    assert.is_true(pool:ping())
    assert.is_true(pool:close())
    local calls = {
      checkout = {},
      query = { "SELECT 1" },
      one = { "SELECT 1" },
      value = { "SELECT 1" },
      with = { error },
      ping = {},
      begin = {},
      transaction = { error },
    }
    for name, arguments in pairs(calls) do
      local result, err = pool[name](pool, table.unpack(arguments))
      assert.is_nil(result, name)
      assert.equal("closed", err.kind, name)
      assert.equal("no", err.executed)
      assert.equal("the pool is closed", err.message)
      assert.is_false(err.retryable)
    end
    assert.equal("mypool.pool (0 idle, 0 lent, closed)", tostring(pool))
    assert.equal(0, pools.stats(pool).size)
    pool:evict()
  end)

  it("may be called again", function()
    local pool = pools.new(s:options())
    assert.is_true(pool:close())
    assert.is_true(pool:close())
    assert.is_true(pool:close(1))
  end)

  it("closes the idle connections on the server", function()
    local pool = pools.new(s:options { max_size = 2 })
    local a, b = pool:checkout(), pool:checkout()
    local ids = { a:id(), b:id() }
    pools.release(a, b)
    pool:close()
    s:await_end(ids)
  end)

  it("cuts the connections that are lent: their statements fail with the kind closed", function()
    local pool, conn = pools.lend(s:options())
    assert.is_true(pool:close(30)) -- in a plain program nobody could give it back meanwhile
    for _ = 1, 2 do
      local result, err = conn:query "SELECT 1"
      assert.is_nil(result)
      assert.same({ "closed", "no", true }, { err.kind, err.executed, err.fatal })
    end
    assert.equal("closed", select(2, conn:ping()).kind)
    conn:release()
    assert.equal(0, pools.stats(pool).size)
  end)

  it("takes a grace that is a number of seconds", function()
    local pool = pools.new(s:options())
    for _, grace in ipairs { "1", true, {}, -1, 0 / 0 } do
      mistake("bad argument 'grace' to 'close'", function()
        pool:close(grace)
      end)
    end
    assert.is_true(pool:ping())
  end)
end)
