-- mypool under LuaJIT, in plain mode and with a wait function that yields. luajit_spec.lua runs it:
--
--   make LUA=luajit
--   MYPOOL_DSN=… LUA_PATH='./lua/?.lua;./lua/?/init.lua' LUA_CPATH='./build/luajit/?.so' \
--     luajit spec/programs/luajit_smoke.lua

local mypool = require "mypool"
local core = require "mypool.core"

local dsn = assert(os.getenv "MYPOOL_DSN", "MYPOOL_DSN should name a server")

-- ---- tasks: while one waits the others run ----

local waiting = {} -- by coroutine: the fd

local function wait(fd)
  waiting[coroutine.running()] = fd
  return coroutine.yield()
end

local function resume(task)
  waiting[task] = nil
  assert(coroutine.resume(task, true))
end

local function run(count, fn)
  for i = 1, count do
    local task = coroutine.create(fn)
    assert(coroutine.resume(task, i))
  end
  while next(waiting) do
    local ready = {}
    for task, fd in pairs(waiting) do
      if core.poll(fd, 0.001) then
        ready[#ready + 1] = task
      end
    end
    for _, task in ipairs(ready) do
      resume(task)
    end
  end
end

-- ---- what is to be true ----

local function equal(expected, found, what)
  if expected ~= found then
    error(("%s: %s expected, got %s"):format(what, tostring(expected), tostring(found)), 2)
  end
end

local function try_values(pool)
  local row = assert(pool:one(
    "SELECT ? AS text, ? AS int_, ? AS float_, ? AS null_, ? AS exact, ? AS binary_ WHERE 1 IN (?)",
    "it's \\ here",
    42,
    0.5,
    mypool.null,
    9007199254740991,
    mypool.binary "\0\255",
    mypool.list { 1, 2 }
  ))
  equal("it's \\ here", row.text, "a string")
  equal(42, row.int_, "an integer")
  equal(0.5, row.float_, "a float")
  equal(nil, row.null_, "NULL")
  equal(9007199254740991, row.exact, "the largest exact integer")
  equal("\0\255", row.binary_, "bytes")
  local big = assert(pool:one "SELECT 9007199254740993 AS a, -9007199254740993 AS b, 18446744073709551615 AS c")
  equal("9007199254740993", big.a, "an integer that no double holds")
  equal("-9007199254740993", big.b, "a negative one")
  equal("18446744073709551615", big.c, "the largest unsigned integer")
end

local function try_clean_sessions(pool)
  local db = assert(pool:checkout())
  local id = db:id()
  assert(db:query "SET @tenant = 'acme'")
  db:release()
  db = assert(pool:checkout())
  equal(id, db:id(), "the same connection")
  equal(nil, db:value "SELECT @tenant", "what another borrower left")
  db:release()
  local ok, message = pcall(db.query, db, "SELECT 1")
  equal(false, ok, "a released connection")
  local mistake = "^spec/programs/luajit_smoke%.lua:%d+: bad call of 'query' %(this connection was released"
  assert(message:find(mistake), message)
end

local function try_transactions(pool)
  assert(pool:query "CREATE TABLE luajit_smoke (id INT PRIMARY KEY)")
  equal(
    "kept",
    pool:transaction(function(tx)
      assert(tx:query "INSERT INTO luajit_smoke VALUES (1)")
      return "kept"
    end),
    "a transaction"
  )
  local ok, err = pool:transaction(function(tx)
    assert(tx:query "INSERT INTO luajit_smoke VALUES (2)")
    assert(tx:query "INSERT INTO luajit_smoke VALUES (1)")
  end)
  equal(nil, ok, "a transaction that failed")
  equal(1062, err.errno, "its error")
  equal(1, pool:value "SELECT COUNT(*) FROM luajit_smoke", "rows")
  assert(pool:query "DROP TABLE luajit_smoke")
end

local function try_errors(pool)
  local rows, err = pool:query "SELECT * FROM no_such_table"
  equal(nil, rows, "a refused statement")
  equal("server", err.kind, "kind")
  equal(1146, err.errno, "errno")
  equal("42S02", err.sqlstate, "sqlstate")
  local _, raised = pcall(function()
    assert(pool:query "SELECT * FROM no_such_table")
  end)
  equal(true, mypool.is_error(raised), "assert raises the error itself:")
  equal("no", err.executed, "executed")
  equal(tostring(err) .. "!", err .. "!", "an error joined with text")
  local ok, message = pcall(mypool.new, { max_szie = 1 })
  equal(false, ok, "an unknown option")
  assert(message:find "did you mean 'max_size'", message)
end

local function try_forgotten(pool)
  assert(pool:checkout())
  collectgarbage()
  collectgarbage()
  equal(0, pool:stats().lent, "connections lent when the forgotten one was collected")
end

local function try_reader(pool)
  local reader = pool:reader { max_size = 2 }
  equal(1, reader:value "SELECT 1", "a read")
  local _, err = reader:query "CREATE TABLE luajit_smoke_reader (id INT)"
  equal(1792, err.errno, "a write of a reader's")
  reader = nil -- luacheck: ignore
  collectgarbage()
end

local function try_all(pool)
  try_values(pool)
  try_clean_sessions(pool)
  try_transactions(pool)
  try_reader(pool)
  try_errors(pool)
end

-- ---- plain ----

local pool = mypool.new(dsn)
try_all(pool)
try_forgotten(pool)
assert(pool:close())

-- ---- with a wait function that yields ----

local options = require("mypool.dsn")(dsn)
options.max_size, options.wait = 3, wait
local shared = mypool.new(options)

run(1, function()
  try_all(shared)
end)

local done, most = 0, 0
run(20, function(i)
  for _ = 1, 5 do
    local db = assert(shared:checkout())
    most = math.max(most, shared:stats().lent)
    equal(i, db:value("SELECT ? FROM (SELECT SLEEP(0.001)) s", i), "an answer")
    db:release()
  end
  done = done + 1
end)
equal(20, done, "tasks that came to their end")
equal(3, most, "connections lent at most")
equal(0, shared:stats().lent, "connections lent in the end")
run(1, function()
  assert(shared:close(1))
end)

-- ---- how many values each function returns ----

dofile("spec/support/value_counts.lua").check(mypool, core, function(extra)
  local given = require("mypool.dsn")(dsn)
  for name, value in pairs(extra) do
    given[name] = value
  end
  return given
end)

print(("%s: ok"):format(jit and jit.version or _VERSION)) -- luacheck: ignore
