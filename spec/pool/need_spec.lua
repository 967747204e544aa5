-- A pool's need, on servers of which some are read-only. The rules stand in spec/c/need_spec.c.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"

describe("a pool's need", function()
  local a, b = fixture.server(), fixture.server()

  -- By an account that a read-only server refuses nothing, unless `user` says otherwise.
  local function new(servers, options)
    dialect.needs("trust without proof", pending) -- each of two servers has a key of its own
    local given = a:hosts_options(servers, options)
    given.max_size = 2
    return pools.new(given)
  end

  local function set_read_only(s, value)
    s:sql("SET GLOBAL read_only = " .. value)
  end

  before_each(function()
    for _, s in ipairs { a, b } do
      set_read_only(s, 0)
      s:sql "DROP TABLE IF EXISTS app.t; CREATE TABLE app.t (n INT)"
    end
  end)

  after_each(pools.close)

  it("is to write with several hosts: a read-only one is passed by, whoever connects", function()
    set_read_only(a, 1)
    local pool = new { a, b }
    assert.equal(b.port, pool:value "SELECT @@port")
    assert.is_false(pools.about(pool, a).writable)
    assert.is_true(pools.about(pool, b).writable)
    assert.equal("barred", pools.about(pool, a).standing)
    assert.is_truthy(pools.about(pool, a).last_error:find("read-only", 1, true))
  end)

  it("is none with one host, unless it is given", function()
    set_read_only(a, 1)
    local pool = pools.new(a:options {})
    assert.equal(1, pool:value "SELECT @@read_only")
    assert.is_nil(pool:stats().hosts[1].writable)
    pool = pools.new(a:options { need = "write", checkout_timeout = 1 })
    local _, err = pool:value "SELECT 1"
    assert.equal("connect", err.kind)
    assert.is_true(err.retryable)
    assert.is_truthy(err.message:find('the server is read-only (need = "write")', 1, true), err.message)
    assert.is_false(pool:stats().hosts[1].writable)
  end)

  it("has sessions leave a server that has become read-only, before an account writes there that may", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new { a, b }
    assert(pool:query "INSERT INTO t VALUES (1)")
    set_read_only(a, 1)
    for i = 2, 10 do
      assert(pool:query("INSERT INTO t VALUES (?)", i))
    end
    local written = tonumber(a:sql("SELECT COUNT(*) FROM app.t")[1])
    assert.is_true(written <= 2, written) -- one more than before, when the session had been cleaned before
    assert.same({ tostring(10 - written) }, b:sql "SELECT COUNT(*) FROM app.t")
    assert.equal(0, pool:stats().resets_failed)
  end)

  it("waits for a server that may write within checkout_timeout, then names each", function()
    set_read_only(a, 1)
    set_read_only(b, 1)
    local pool = new({ a, b }, { checkout_timeout = 1 })
    local _, err = pool:query "INSERT INTO t VALUES (1)"
    assert.equal("connect", err.kind)
    assert.is_true(err.retryable)
    assert.equal("no", err.executed)
    for _, s in ipairs { a, b } do
      assert.is_truthy(err.message:find(s:address() .. ": the server is read-only", 1, true), err.message)
    end
    set_read_only(b, 0)
    eventually(function()
      return pool:query "INSERT INTO t VALUES (2)" ~= nil
    end)
    assert.same({ "1" }, b:sql "SELECT COUNT(*) FROM app.t")
  end)

  it("to read is served by the read-only server, and by another when that is down", function()
    set_read_only(b, 1)
    local pool = new({ a, b }, { need = "read" })
    eventually(function()
      return pool:value "SELECT @@port" == b.port
    end)
    assert.is_true(pools.about(pool, a).writable)
    assert.is_false(pools.about(pool, b).writable)
    b:stop()
    assert.equal(a.port, pool:value "SELECT @@port")
    b:resume()
    set_read_only(b, 1)
    eventually(function()
      return pool:value "SELECT @@port" == b.port
    end)
  end)

  it("to read follows when the servers change their roles", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    set_read_only(b, 1)
    local pool = new({ a, b }, { need = "read" })
    eventually(function()
      return pool:value "SELECT @@port" == b.port
    end)
    set_read_only(a, 1)
    set_read_only(b, 0)
    eventually(function()
      return pool:value "SELECT @@port" == a.port
    end)
    assert.equal(0, pool:stats().resets_failed)
  end)

  it("is asked of a server with each reset, so reset = 'never' excludes it", function()
    mistake('\'need\' and reset = "never" exclude each other', function()
      mypool.new { hosts = { "a", "b" }, need = "write", reset = "never" }
    end)
    local pool = new({ a, b }, { reset = "never" })
    assert.equal(a.port, pool:value "SELECT @@port")
    assert.is_nil(pools.about(pool, a).writable)
  end)
end)
