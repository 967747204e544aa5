-- mypool in specs that busted runs: each test in a transaction that is rolled back, and an error
-- for connections that were not given back.
--
--   local testing = require "mypool.busted"
--
--   describe("the shop", function()
--     local pool = mypool.new { … }              -- without the option wait
--     local db = testing.rolled_back(pool)
--     testing.all_released(pool)
--
--     it("sells", function()
--       shop.sell(db, "tea")                     -- db stands in for the pool
--       assert.equal(1, db:value "SELECT COUNT(*) FROM orders")
--     end)
--   end)

local busted = require "busted"
local core = require "mypool.core"
local Pool, Transaction = core["mypool.pool"], core["mypool.transaction"]
core.internal()

local testing = {}

-- A pool that a setup will make can be given as a function that returns it.
local function resolve(pool)
  return type(pool) == "function" and pool() or pool
end

-- ---- transactions that are rolled back ----

local function begin(pool)
  local ok, tx, err = pcall(Pool.begin, resolve(pool))
  if not ok then
    error(tx, 0)
  end
  return tx or error("mypool.busted: no transaction for this test: " .. err.message, 0)
end

-- A statement that commits by itself (CREATE TABLE, ALTER TABLE, …) leaves nothing to roll back.
local function was_ended(tx)
  return tx.conn:is_held() and tx.conn:id() ~= nil and not tx.conn:in_transaction()
end

local function roll_back(tx)
  local ended = was_ended(tx)
  local ok, err = tx:rollback()
  if ended or not ok then
    error(("mypool.busted: %s%s"):format(
      ended and "the test ended its transaction" or "the test's transaction could not be rolled back",
      ok and "" or ": " .. err.message
    ), 0)
  end
end

-- An object in the place of the pool. The transaction is not the test's to end, nor the connection.
local function stand_in(current, pool)
  local db = {}
  for name in pairs(Transaction) do
    if name ~= "commit" and name ~= "rollback" then
      db[name] = function(_, ...)
        local tx = current()
        return tx[name](tx, ...)
      end
    end
  end
  function db.begin()
    return current():begin()
  end
  function db.transaction(_, ...)
    local given, fn = ...
    return current():transaction(fn or given)
  end
  function db.checkout()
    current()
    return db
  end
  function db.with(_, fn)
    return fn(db)
  end
  for _, name in ipairs { "ping", "warnings", "id", "host", "in_transaction", "is_held" } do
    db[name] = function()
      local conn = current().conn
      return conn[name](conn)
    end
  end
  function db.stats()
    return resolve(pool):stats()
  end
  function db.describe()
    return resolve(pool):describe()
  end
  function db.close()
    return true
  end
  function db.release() end
  function db.reader()
    return db
  end
  db.discard, db.evict, db.avoid = db.release, db.release, db.release
  return setmetatable(db, { __close = db.release })
end

-- Runs each test of the block it is called in, and of the blocks in that, in a transaction of its own
-- that is rolled back afterwards. Returns an object that all these tests use in the place of the pool: it has what a
-- pool and a connection have, but for what would end the test's transaction. Its transactions are savepoints,
-- whatever options they are given, and what it checks out is itself. A test that commits all the same is
-- an error.
function testing.rolled_back(pool)
  local tx
  busted.before_each(function()
    tx = begin(pool)
  end)
  busted.after_each(function()
    if tx then
      local ended = tx
      tx = nil
      roll_back(ended)
    end
  end)
  return stand_in(function()
    return tx or core.raise "mypool.busted: used outside of a test"
  end, pool)
end

-- ---- connections that were not given back ----

-- Raises when connections of the pool are lent, naming the places where they were checked out, or
-- came back only because the garbage collector found them.
function testing.assert_released(pool)
  pool = resolve(pool)
  local places, forgotten = core.holders(pool), pool:stats().forgotten
  for i, place in ipairs(places) do
    places[i] = core.place_to_tell(place)
  end
  if #places > 0 then
    error(("mypool.busted: %d not released: checked out at %s"):format(#places, table.concat(places, ", ")), 0)
  elseif forgotten > 0 then
    error(("mypool.busted: %d not released, but collected as garbage (lua -W says where they were checked out)"):format(
      forgotten
    ), 0)
  end
end

-- Calls assert_released at the end of the block it is called in, which fails the suite.
function testing.all_released(pool)
  busted.teardown(function()
    testing.assert_released(pool)
  end)
end

return testing
