-- A primary that has become read-only while the pool holds connections to it; its name leads to the new one, or not
-- yet. The name is a link to a socket.

local dialect = require "spec.servers.dialect"
local pools = require "spec.support.pools"
local server = require "spec.servers.server"

local variable = dialect.read_only_variable
local old, new, link

setup(function()
  old, new = server.start(), server.start()
  link = old.folder .. "/primary"
  for _, s in ipairs { old, new } do
    s:sql "CREATE TABLE app.t (a INT) ENGINE=InnoDB"
  end
end)

local function points_to(s)
  assert(os.execute(("ln -sfn '%s' '%s'"):format(s.socket, link)))
end

before_each(function()
  points_to(old)
  for _, s in ipairs { old, new } do
    s:sql(("SET GLOBAL read_only = 0, GLOBAL %s = 0, SESSION %s = 0; TRUNCATE app.t"):format(variable, variable))
  end
end)

after_each(pools.close)

teardown(function()
  old:remove()
  new:remove()
end)

local function new_pool(options)
  return pools.new(old:options { socket = link, user = "limited", retries = options and options.retries })
end

-- So many sessions of the pool lie idle.
local function warm(pool, count)
  pools.fill(pool, count, "SELECT 1")
end

local function insert(owner)
  return owner:query "INSERT INTO t VALUES (1)"
end

-- How often a transaction runs that fails because the server may not write.
local function runs_in_vain(pool)
  local runs = 0
  local _, _, errno = pool:transaction(function(tx)
    runs = runs + 1
    return insert(tx)
  end)
  assert.equal(1290, errno)
  return runs
end

-- How many of so many calls fail, each because the server may not write.
local function failures(count, write)
  local failed = 0
  for _ = 1, count do
    local ok, err, errno = write()
    if not ok then
      assert.same({ 1290, 1290, "server", "no", true }, { errno, err.errno, err.kind, err.executed, err.retryable })
      failed = failed + 1
    end
  end
  return failed
end

local function rows_of(s)
  return s:sql("SELECT COUNT(*) FROM app.t")[1]
end

describe("after a failover", function()
  it("no transaction fails, however many connections to the old primary are idle", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool()
    warm(pool, 10)
    old:sql "SET GLOBAL read_only = 1"
    points_to(new)
    local runs = 0
    assert.equal(
      0,
      failures(20, function()
        return pool:transaction(function(tx)
          runs = runs + 1
          return insert(tx)
        end)
      end)
    )
    assert.same({ 21, "20" }, { runs, rows_of(new) })
    assert.equal(1, pool:stats().size)
  end)

  it("one write by itself fails", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool()
    warm(pool, 10)
    old:sql "SET GLOBAL read_only = 1"
    points_to(new)
    assert.equal(
      1,
      failures(20, function()
        return insert(pool)
      end)
    )
    assert.equal("19", rows_of(new))
  end)

  it("a transaction whose COMMIT was refused is run again on the new primary", function()
    local pool = new_pool()
    local runs = 0
    assert.equal(
      "done",
      pool:transaction(function(tx)
        runs = runs + 1
        assert(insert(tx))
        if runs == 1 then
          old:sql "SET GLOBAL read_only = 1"
          points_to(new)
        end
        return "done"
      end)
    )
    assert.same({ 2, "0", "1" }, { runs, rows_of(old), rows_of(new) })
  end)

  it("what a CALL may have done in part is run again only in a transaction", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    for _, s in ipairs { old, new } do
      s:sql "CREATE OR REPLACE PROCEDURE app.put() SQL SECURITY INVOKER INSERT INTO t VALUES (1)"
    end
    local pool = new_pool()
    warm(pool, 3)
    old:sql "SET GLOBAL read_only = 1"
    points_to(new)
    local err = select(2, pool:query "CALL put()")
    assert.same({ 1290, "unknown", false }, { err.errno, err.executed, err.retryable })
    points_to(old)
    warm(pool, 3)
    points_to(new)
    assert(pool:transaction(function(tx)
      return tx:query "CALL put()"
    end))
    assert.equal("1", rows_of(new))
  end)

  it("a transaction on one's own connection, or without retries, fails, and so does no second one", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool { retries = 0 }
    warm(pool, 3)
    old:sql "SET GLOBAL read_only = 1"
    points_to(new)
    local conn <close> = assert(pool:checkout())
    for _ = 1, 2 do
      assert.equal(1290, select(3, conn:transaction(insert)))
    end
    conn:release()
    assert(pool:transaction(insert))
    warm(pool, 3)
    new:sql "SET GLOBAL read_only = 1"
    assert.equal(1, runs_in_vain(pool))
  end)
end)

describe("while the name leads to a server that is read-only", function()
  it("each write that fails opens one connection at most, and readers keep theirs", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool()
    warm(pool, 5)
    old:sql "SET GLOBAL read_only = 1"
    assert.equal(
      1,
      failures(1, function()
        return insert(pool)
      end)
    )
    warm(pool, 5)
    local opened = pool:stats().opened
    assert.equal(
      20,
      failures(20, function()
        return insert(pool)
      end)
    )
    assert.is_true(pool:stats().opened - opened <= 20)
    assert.is_true(pool:stats().idle >= 4)
    opened = pool:stats().opened
    assert.equal(3, runs_in_vain(pool))
    assert.is_true(pool:stats().opened - opened <= 3)
  end)

  it("one more write fails when it leads to the new one at last, and no transaction", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool()
    warm(pool, 5)
    old:sql "SET GLOBAL read_only = 1"
    insert(pool)
    warm(pool, 5) -- by those who only read
    points_to(new)
    assert.equal(
      0,
      failures(10, function()
        return pool:transaction(insert)
      end)
    )
    assert.equal("10", rows_of(new))
    assert.equal(1, pool:stats().size)
  end)
end)

describe("a server whose transactions may only read", function()
  it("is noticed at the reset, also when it lets them write again", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = pools.new(old:options { user = "limited", max_size = 1 })
    warm(pool, 1)
    for value = 1, 0, -1 do
      local before = pool:stats()
      old:sql(("SET GLOBAL %s = %d"):format(variable, value))
      assert(pool:query "SELECT 1") -- its reset compares
      assert(pool:query "SELECT 1")
      assert.equal(before.opened + 1, pool:stats().opened)
      assert(pool:query "SELECT 1")
      assert.equal(before.opened + 1, pool:stats().opened)
      assert.equal(value, pool:value("SELECT @@" .. variable))
    end
  end)

  it("is refused as one that is read-only", function()
    old:sql(("SET GLOBAL %s = 1"):format(variable))
    local pool = new_pool()
    warm(pool, 3)
    local err = select(2, insert(pool))
    assert.same({ 1792, "no", true }, { err.errno, err.executed, err.retryable })
    assert.equal(0, pool:stats().size)
    warm(pool, 3)
    points_to(new)
    assert(pool:transaction(insert))
    assert.equal("1", rows_of(new))
  end)

  it("is none where the program wanted that: its mistake costs no connection", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = new_pool()
    local runs = 0
    local result, err = pool:transaction({ read_only = true }, function(tx)
      runs = runs + 1
      return insert(tx)
    end)
    assert.is_nil(result)
    assert.same({ 1792, "no", false, 1 }, { err.errno, err.executed, err.retryable, runs })
    assert.same({ 1, 1 }, { pool:stats().size, pool:stats().opened })
    local reader = pools.new(old:options {
      user = "limited",
      max_size = 1,
      init_sql = "SET SESSION TRANSACTION READ ONLY",
    })
    for _ = 1, 3 do
      assert(reader:query "SELECT 1")
    end
    assert.equal(1, reader:stats().opened)
  end)
end)
