-- How many values each public function returns, in every Lua: a success exactly those that are documented. Written
-- for Lua 5.1, too.
--
--     value_counts.check(mypool, core, options)   -- options(extra): those of a pool to a server, on which the
--                                                    account may create tables; raises for the first that is wrong

local value_counts = {}

local counted -- by class and name: the functions that were called

local function method_of(self, name)
  return self[name]
end

-- Calls self:name(...), which returns `wanted` values and succeeds.
local function expect(class, wanted, self, name, ...)
  counted[class .. "." .. name] = true
  local function check(...)
    local count = select("#", ...)
    local first, second = ...
    if count > 1 and first == nil and second ~= nil then
      error(("%s.%s failed: %s"):format(class, name, tostring(second)), 0)
    elseif count ~= wanted then
      error(("%s.%s returned %d values, not %d"):format(class, name, count, wanted), 0)
    end
    return ...
  end
  return check(method_of(self, name)(self, ...))
end

-- The same for each of these calls: { values, name, arguments... }.
local function expect_all(class, self, calls)
  for i = 1, #calls do
    local call = calls[i]
    expect(class, call[1], self, call[2], (table.unpack or unpack)(call, 3, call.n)) -- luacheck: ignore
  end
end

local function statements(more)
  local calls = {
    { 1, "query", "SELECT 7" },
    { 1, "query", "SELECT 7 FROM dual WHERE FALSE" },
    { 1, "query", "DO 1" },
    { 3, "query", "CALL value_counts()" },
    { 1, "one", "SELECT 7" },
    { 1, "one", "SELECT 7 FROM dual WHERE FALSE" },
    { 1, "value", "SELECT 7" },
    { 1, "value", "SELECT NULL" },
    { 1, "value", "SELECT 7 FROM dual WHERE FALSE" },
    { 1, "execute_many", "INSERT INTO value_counts VALUES (?)", { { 1 }, { 2 } } },
  }
  for i = 1, #more do
    calls[#calls + 1] = more[i]
  end
  return calls
end

local function nothing() end

local function two()
  return nil, nil
end

local function three()
  return 1, nil, nil
end

local function check_stream(class, self, sql)
  local stream = expect(class, 4, self, "rows", sql)
  assert(select("#", stream()) == 1)
  assert(select("#", stream()) == 1)
  expect("rows", 0, stream, "close")
  expect("rows", 0, stream, "close")
end

local function check_statement(conn)
  local statement = expect("connection", 1, conn, "prepare", "SELECT 7 AS a")
  expect_all("statement", statement, {
    { 1, "execute" },
    { 1, "one" },
    { 1, "value" },
    { 1, "with", { rows = "array" } },
  })
  local stream = expect("statement", 4, statement, "rows")
  assert(stream())
  stream:close()
  expect("statement", 0, statement, "close")
  expect("statement", 0, statement, "close")
end

local function check_transaction(begin)
  local tx = begin()
  expect_all(
    "transaction",
    tx,
    statements {
      { 1, "prepare", "SELECT 7" },
      { 1, "transaction", nothing },
      { 2, "transaction", two },
      { 3, "transaction", three },
    }
  )
  check_stream("transaction", tx, "SELECT 7 UNION SELECT 8")
  expect("transaction", 1, expect("transaction", 1, tx, "begin"), "rollback")
  expect("transaction", 1, expect("transaction", 1, tx, "begin"), "commit")
  expect("transaction", 1, tx, "commit")
  expect("transaction", 1, begin(), "rollback")
end

local function check_connection(conn)
  expect_all(
    "connection",
    conn,
    statements {
      { 1, "ping" },
      { 1, "reset" },
      { 1, "warnings" },
      { 1, "id" },
      { 1, "host" },
      { 1, "is_held" },
      { 1, "in_transaction" },
      { 1, "transaction", nothing },
      { 2, "transaction", two },
      { 3, "transaction", three },
    }
  )
  check_stream("connection", conn, "SELECT 7 UNION SELECT 8")
  check_statement(conn)
  check_transaction(function()
    return expect("connection", 1, conn, "begin")
  end)
end

local function check_ends(pool)
  local conn = expect("pool", 1, pool, "checkout")
  pool:query("KILL ?", conn:id())
  expect("connection", 1, conn, "id")
  pcall(conn.query, conn, "DO 1")
  expect("connection", 1, conn, "id")
  expect("connection", 0, conn, "release")
  expect("connection", 0, conn, "release")
  conn = expect("pool", 1, pool, "checkout", 2)
  expect("connection", 0, conn, "discard")
  expect("connection", 0, conn, "discard")
end

local function check_pool(pool)
  expect_all(
    "pool",
    pool,
    statements {
      { 1, "ping" },
      { 1, "stats" },
      { 1, "describe" },
      { 1, "with", nothing },
      { 2, "with", two },
      { 3, "with", three },
      { 1, "transaction", nothing },
      { 2, "transaction", two },
      { 3, "transaction", three },
      { 0, "evict" },
      { 0, "evict", pool:stats().hosts[1].host },
      { 0, "avoid", pool:stats().hosts[1].host, 0 },
      { 1, "reader" },
    }
  )
  check_stream("pool", pool, "SELECT 7 UNION SELECT 8")
  check_transaction(function()
    return expect("pool", 1, pool, "begin")
  end)
  local conn = expect("pool", 1, pool, "checkout")
  check_connection(conn)
  conn:release()
  check_ends(pool)
end

-- A checkout that first finds a connection that was forgotten.
local function check_forgotten(pool)
  do
    local conn = pool:checkout()
    assert(conn)
  end
  local conn = expect("pool", 1, pool, "checkout")
  conn:release()
end

local function ignore() end

-- Calls that fail, and how many values they then return.
local function check_failures(pool, wanted)
  local function count(...)
    assert((...) == nil and select(2, ...) ~= nil)
    local found = select("#", ...)
    if found ~= wanted then
      error(("a failure has %d values, not %d"):format(found, wanted), 0)
    end
  end
  count(pool:query "SELECT nothing")
  count(pool:one "SELECT nothing")
  count(pool:value "SELECT nothing")
  count(pool:rows "SELECT nothing")
  count(pool:execute_many("SELECT nothing", {}))
  local conn = pool:checkout()
  count(conn:prepare "SELECT nothing")
  count(conn:transaction(function(tx)
    return tx:query "SELECT nothing"
  end))
  conn:release()
end

-- Every method there is was called.
local function check_all(core)
  for _, class in ipairs { "pool", "connection", "transaction", "statement" } do
    for name, value in pairs(core["mypool." .. class]) do
      if type(value) == "function" and not counted[class .. "." .. name] and class .. "." .. name ~= "pool.close" then
        error(("%s.%s was not called"):format(class, name), 0)
      end
    end
  end
end

function value_counts.check(mypool, core, options)
  counted = {}
  for _, extra in ipairs {
    {},
    { on_connect = ignore },
    { audit = true, on_event = ignore },
    { rows = "array", null = mypool.null },
    { leak_after = 1000, on_event = ignore },
  } do
    extra.max_size = 2
    local pool = mypool.new(options(extra))
    pool:query "CREATE TABLE IF NOT EXISTS value_counts (id INT)"
    pool:query "DROP PROCEDURE IF EXISTS value_counts"
    pool:query "CREATE PROCEDURE value_counts() BEGIN SELECT 1; SELECT 2; END"
    check_pool(pool)
    check_failures(pool, jit and 2 or 4) -- luacheck: ignore
    expect("pool", 1, pool, "close")
    extra.max_size = 1
    pool = mypool.new(options(extra))
    check_forgotten(pool)
    expect("pool", 1, pool, "close", 1)
  end
  check_all(core)
  for _, name in ipairs { "list", "ident", "binary", "is_error" } do
    assert(select("#", mypool[name](name == "list" and {} or "x")) == 1, name)
  end
end

return value_counts
