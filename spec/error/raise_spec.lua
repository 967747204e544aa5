-- The option errors: "return", what fails returns nil and an error; "raise", it raises the same error. Each method of
-- each class, in both.

local core = require "mypool.core"
local fixture = require "spec.support.fixture"
local must = require "spec.support.must"
local mypool = require "mypool"
local pools = require "spec.support.pools"

local missing = "SELECT * FROM missing"

-- A call that fails, for each method that can. `text` ones are there on a pool, a connection and a transaction.
local text = {
  query = { missing },
  one = { missing },
  value = { missing },
  rows = { missing },
  execute_many = { "INSERT INTO missing VALUES (?)", { { 1 } } },
}

local function nothing() end

-- Arguments for each method of a class: of those that can fail, and of those that cannot, but for mistakes.
local methods = {
  pool = {
    fail = { checkout = { 0.05 }, ping = {}, begin = {}, with = { nothing }, transaction = { nothing } },
    never = { avoid = { "127.0.0.1:1", 0 }, close = {}, describe = {}, evict = {}, reader = {}, stats = {} },
  },
  connection = {
    fail = { prepare = { missing }, begin = {}, transaction = { nothing }, ping = {}, reset = {}, warnings = {} },
    never = { host = {}, id = {}, is_held = {}, in_transaction = {}, release = {}, discard = {} },
  },
  transaction = {
    fail = { prepare = { missing }, begin = {}, transaction = { nothing }, commit = {} },
    never = { rollback = {} }, -- but behind a statement that committed: see "the end of a transaction"
  },
  statement = {
    fail = { execute = {}, one = {}, value = {}, rows = {} },
    never = { with = { {} }, close = {} },
  },
}
for _, class in ipairs { "pool", "connection", "transaction" } do
  for name, arguments in pairs(text) do
    methods[class].fail[name] = arguments
  end
end

for _, mode in ipairs { "return", "raise" } do
  describe(("errors = %q:"):format(mode), function()
    local s = fixture.shared_server()
    local pool, conn

    before_each(function()
      pool, conn = pools.lend(s:options { max_size = 3, errors = mode })
    end)

    after_each(function()
      conn:release()
      pools.close()
    end)

    -- Calls a method that fails; returns its error.
    local function failure_of(object, name, ...)
      local ok, first, second = pcall(object[name], object, ...)
      assert.equal(mode == "return", ok, name)
      local err = first
      if mode == "return" then
        assert.is_nil(first)
        err = second
      end
      assert.is_true(mypool.is_error(err), name)
      return err
    end

    local function kill(which)
      s:kill_sessions { which:id() }
    end

    it("a statement of a pool, a connection and a transaction", function()
      local tx <close> = assert(conn:begin())
      for name, arguments in pairs(text) do
        for _, object in ipairs { pool, conn, tx } do
          if not (name == "execute_many" and object == conn) then
            assert.equal(1146, failure_of(object, name, table.unpack(arguments)).errno)
          end
        end
      end
      assert.equal(1146, failure_of(conn, "prepare", missing).errno)
      assert.equal(1146, failure_of(tx, "prepare", missing).errno)
    end)

    it("a prepared statement, with options and without", function()
      local statement = assert(conn:prepare "SELECT (SELECT 1 UNION SELECT ?)")
      for _, name in ipairs { "execute", "one", "value" } do
        assert.equal(1242, failure_of(statement, name, 2).errno)
        assert.equal(1242, failure_of(statement:with { timeout = 5 }, name, 2).errno)
      end
      conn:query "DO 0"
      kill(conn)
      assert.equal("lost", failure_of(statement, "rows", 2).kind)
      assert.equal("lost", failure_of(statement, "execute", 2).kind)
    end)

    it("what needs no statement", function()
      conn:query "DO 0"
      kill(conn)
      for _, name in ipairs { "ping", "reset", "warnings", "begin" } do
        assert.equal("lost", failure_of(conn, name).kind)
      end
    end)

    it("the end of a transaction", function()
      for _, name in ipairs { "commit", "begin" } do
        local tx = assert(pool:begin())
        assert(tx:query "DO 0")
        s:kill_sessions { tx:value "SELECT CONNECTION_ID()" }
        failure_of(tx, name)
        if name == "begin" then
          tx:rollback()
        end
      end
      local tx = assert(pool:begin())
      assert(tx:query "CREATE TABLE IF NOT EXISTS raised (n INT)")
      assert.equal("unknown", failure_of(tx, "rollback").executed)
    end)

    it("a function in a transaction: what was raised, a failed COMMIT", function()
      for _, object in ipairs { pool, conn } do
        assert.equal(1146, failure_of(object, "transaction", function(tx)
          must(tx:query(missing))
        end).errno)
        failure_of(object, "transaction", function(tx)
          s:kill_sessions { tx:value "SELECT CONNECTION_ID()" }
        end)
      end
    end)

    it("a function in a transaction within another one", function()
      local err = failure_of(pool, "transaction", function(tx)
        assert.equal(1146, failure_of(tx, "transaction", function(nested)
          must(nested:query(missing))
        end).errno)
        assert.same({ nil, "mine" }, { tx:transaction(function()
          return nil, "mine"
        end) })
        must(tx:query(missing))
      end)
      assert.equal(1146, err.errno)
    end)

    it("a checkout that fails, for each that needs a connection", function()
      local down = pools.new { host = "127.0.0.1", port = 1, checkout_timeout = 0.05, errors = mode }
      for name, arguments in pairs(text) do
        assert.equal("connect", failure_of(down, name, table.unpack(arguments)).kind)
      end
      local others = { checkout = 0.05, ping = false, begin = {}, with = nothing, transaction = nothing }
      for name, argument in pairs(others) do
        assert.equal("connect", failure_of(down, name, argument or nil).kind)
      end
      down:close()
      assert.equal("closed", failure_of(down, "checkout").kind)
    end)

    it("what on_connect returns or raises", function()
      local refusing = pools.new(s:options {
        errors = mode,
        on_connect = function(fresh)
          return fresh:query(missing)
        end,
      })
      assert.equal(1146, failure_of(refusing, "checkout").errno)
      assert.equal(1146, failure_of(refusing, "value", "SELECT 1").errno)
      local own = pools.new(s:options {
        errors = mode,
        on_connect = function()
          return nil, "no tenant"
        end,
      })
      local ok, first, second = pcall(own.checkout, own)
      assert.equal(mode == "return", ok)
      assert.equal("no tenant", ok and second or first)
    end)

    it("but never the program's own answer, no row, and NULL", function()
      for _, object in ipairs { pool, conn } do
        assert.same({ nil, "no such order", 7, n = 3 }, table.pack(object:transaction(function()
          return nil, "no such order", 7
        end)))
        assert.same({ nil, n = 1 }, table.pack(object:value "SELECT NULL"))
        assert.same({ nil, n = 1 }, table.pack(object:one "SELECT 1 FROM DUAL WHERE FALSE"))
      end
      assert.same({ nil, "mine", n = 2 }, table.pack(pool:with(function()
        return nil, "mine"
      end)))
      local statement = conn:prepare "SELECT NULL"
      assert.same({ nil, n = 1 }, table.pack(statement:value()))
    end)

    it("a function that returns nothing has succeeded, one nil stays one nil", function()
      local function one_nil()
        return nil
      end
      local function within(fn)
        return pool:transaction(function(tx)
          return tx:transaction(fn)
        end)
      end
      for f, expected in pairs { [nothing] = { true, n = 1 }, [one_nil] = { nil, n = 1 } } do
        assert.same(expected, table.pack(pool:with(f)))
        assert.same(expected, table.pack(pool:transaction(f)))
        assert.same(expected, table.pack(conn:transaction(f)))
        assert.same(expected, table.pack(within(f)))
      end
    end)

    it("an error in the middle of rows is raised, whatever the option says", function()
      local sql = "SELECT seq, (SELECT 1 UNION SELECT IF(seq > 900, 2, 1)) FROM seq_1_to_1000"
      local ok, err = pcall(function()
        for row in assert(pool:rows(sql)) do
          assert(row.seq <= 900)
        end
      end)
      assert.is_false(ok)
      assert.equal(1242, err.errno)
    end)

    it("a transaction is run again all the same", function()
      local runs = 0
      local result = pool:transaction(function(tx)
        runs = runs + 1
        if runs < 3 then
          must(tx:query "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'deadlock'")
        end
        return runs
      end)
      assert.equal(3, result)
    end)

    it("the statement after a failure finds its connection at rest", function()
      for _ = 1, 3 do
        failure_of(conn, "query", missing)
        failure_of(pool, "query", missing)
      end
      assert.equal(1, conn:value "SELECT 1")
      assert.equal(1, pool:stats().lent)
    end)

    -- An object of each class whose connection is gone, and what ends it.
    local lost = {
      pool = function()
        return pools.new { host = "127.0.0.1", port = 1, checkout_timeout = 0.05, errors = mode }, nothing
      end,
      connection = function()
        local dead = assert(pool:checkout())
        assert(dead:query "DO 0")
        kill(dead)
        return dead, dead.release
      end,
      transaction = function()
        local tx = assert(pool:begin())
        s:kill_sessions { assert(tx:value "SELECT CONNECTION_ID()") }
        return tx, function()
          pcall(tx.rollback, tx) -- one whose COMMIT has failed is over
        end
      end,
      statement = function()
        local dead = assert(pool:checkout())
        local statement = assert(dead:prepare "SELECT 1")
        kill(dead)
        return statement, function()
          dead:release()
        end
      end,
    }

    local function keys(...)
      local set = {}
      for _, names in ipairs { ... } do
        for name in pairs(names) do
          set[name] = true
        end
      end
      return set
    end

    for class, of_class in pairs(methods) do
      it(("each method of a %s fails like that, or never"):format(class), function()
        assert.same(keys(core["mypool." .. class]), keys(of_class.fail, of_class.never))
        for name, arguments in pairs(of_class.fail) do
          local object, finish = lost[class]()
          local kind = class == "pool" and "connect" or "lost"
          assert.equal(kind, failure_of(object, name, table.unpack(arguments)).kind, name)
          finish(object)
        end
        for name, arguments in pairs(of_class.never) do
          local object, finish = lost[class]()
          assert.is_nil((select(2, object[name](object, table.unpack(arguments)))), name)
          finish(object)
        end
      end)
    end

    it("an object prints as one of its class", function()
      local tx <close> = assert(conn:begin())
      assert.equal("mypool.connection", tostring(conn):match "^%S+")
      assert.equal("mypool.transaction", tostring(tx):match "^%S+")
    end)

    it("a misspelt method raises", function()
      local _, message = pcall(function()
        return pool.execute
      end)
      assert.is_truthy(message:find("mypool.pool has no 'execute' (did you mean 'query'?)", 1, true))
    end)
  end)
end
