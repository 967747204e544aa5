-- Ends and interruptions: whatever happens to pools, handles, coroutines and processes, nothing crashes,
-- nothing hangs, and no slot is lost.

local cqueues = require "cqueues"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local scheduler = require "spec.support.scheduler"
local sleep = require "spec.support.sleep"
local times = require "spec.support.times"

local s = fixture.server()

after_each(pools.close)

local function sessions()
  return #s:sessions()
end

local function collect()
  collectgarbage()
  collectgarbage()
end

local function without_warnings(printed)
  return (printed:gsub("Lua warning: [^\n]*\n", ""))
end

-- All slots are there: as many connections as max_size can be lent at once, and each works.
local function assert_all_slots(pool, count)
  collect()
  local conns = {}
  for i = 1, count do
    conns[i] = assert(pool:checkout())
    assert.equal(i, (conns[i]:value("SELECT ?", i)))
  end
  for i = 1, count do
    conns[i]:release()
  end
  assert.equal(0, pool:stats().lent)
end

describe("a pool that is dropped", function()
  it("lives on as long as a handle of it", function()
    local conn
    do
      local pool = mypool.new(s:options { max_size = 1 })
      conn = assert(pool:checkout())
    end
    collect()
    assert.equal(1, (conn:value "SELECT 1"))
    assert(conn:query "SET @a = 1")
    conn:release()
    conn = nil -- luacheck: ignore
    collect()
    eventually(function()
      return sessions() == 0
    end)
  end)

  it("closes its connections", function()
    do
      local pool = mypool.new(s:options { max_size = 2 })
      local a, b = pool:checkout(), pool:checkout()
      a:release()
      assert.is_truthy(b)
      assert.equal(2, sessions())
    end
    collect()
    eventually(function()
      return sessions() == 0
    end)
  end)

  -- How many descriptors are open before and after `run`, within which nothing is collected.
  local function descriptors_around(run)
    local count = require "spec.support.descriptors"
    collect()
    collectgarbage "stop"
    local before = count()
    run()
    local after = count()
    collectgarbage "restart"
    return before, after
  end

  describe("leaves no file descriptor open when it is closed, whatever the garbage collector does:", function()
    local pool, told

    -- A pool whose scheduler is told of each descriptor that is closed.
    local function new_pool(options)
      told = 0
      local function forget()
        told = told + 1
      end
      options.wait = { wait = scheduler.wait, forget = forget }
      pool = mypool.new(s:options(options))
    end

    it("idle ones, and one that is still lent", function()
      local before, after = descriptors_around(function()
        new_pool { max_size = 4 }
        scheduler.run(function()
          local conns = {}
          for i = 1, 4 do
            conns[i] = assert(pool:checkout())
            assert(conns[i]:query "SELECT 1")
          end
          for i = 1, 3 do
            conns[i]:release()
          end
          pool:close()
          conns[4]:release()
        end)
      end)
      assert.equal(before, after)
      assert.is_true(told >= 4)
      assert.equal(0, pool:stats().size)
    end)

    it("with a checkout that waited in vain", function()
      local failure
      local before, after = descriptors_around(function()
        new_pool { max_size = 1 }
        scheduler.run(function()
          local conn = assert(pool:checkout())
          failure = select(2, pool:checkout(0.01))
          conn:release()
          pool:close()
        end)
      end)
      assert.equal("exhausted", failure.kind)
      assert.equal(before, after)
    end)
  end)

  local ways = { ["under a scheduler that cannot be told of it"] = scheduler.wait, ["in a plain program"] = false }
  for way, wait in pairs(ways) do
    it("keeps no socket when it is closed, also while a handle is out, " .. way, function()
      local sockets = require "spec.support.descriptors"
      local before = sockets "socket"
      local pool, conns = nil, {}
      local function run()
        pool = mypool.new(s:options { max_size = 4, wait = wait or nil })
        for i = 1, 4 do
          conns[i] = assert(pool:checkout())
          assert(conns[i]:query "SELECT 1")
        end
        for i = 1, 3 do
          conns[i]:release()
        end
        pool:close()
      end
      if wait then
        scheduler.run(run)
      else
        run()
      end
      assert.equal(before + 1, sockets "socket")
      conns[4]:release()
      assert.equal(before, sockets "socket")
    end)
  end

  it("keeps descriptors that a scheduler may still know, when it is closed and cannot tell it of them", function()
    local remembering = require("spec.support.schedulers").cqueues()
    local pool
    local before, after = descriptors_around(function()
      pool = mypool.new(s:options { max_size = 1, wait = remembering.wait.wait })
      remembering.run(function()
        assert(pool:query "SELECT 1")
        pool:close()
        remembering.sleep(0.01) -- cqueues brings its books up to date, and fails for a descriptor that is gone
      end)
    end)
    assert.is_true(after > before)
    pool = nil -- luacheck: ignore
    collect()
    assert.equal(before, require "spec.support.descriptors"())
  end)

  it("leaves no file descriptor open", function()
    local count = require "spec.support.descriptors"
    collect()
    local before = count()
    for _ = 1, 5 do
      local pool = mypool.new(s:options { max_size = 4, wait = scheduler.wait })
      scheduler.run(function()
        local conns = {}
        for i = 1, 4 do
          conns[i] = assert(pool:checkout())
        end
        assert(conns[1]:query "SELECT 1")
        for i = 1, 3 do
          conns[i]:release()
        end
      end)
    end
    collect()
    eventually(function()
      return count() <= before
    end)
  end)
end)

describe("a program that loads mypool again, as busted does for each file,", function()
  local function load_again()
    for name in pairs(package.loaded) do
      if name:find "^mypool%f[.%z]" then
        package.loaded[name] = nil
      end
    end
    return require "mypool"
  end

  it("goes on with what the first one made, and leaves none of it open", function()
    do
      local pool = mypool.new(s:options { max_size = 2 })
      local conn = assert(pool:checkout())
      local again = load_again()
      assert.are_not.equal(mypool, again)
      assert.equal("a", (conn:value("SELECT ?", again.binary "a")))
      assert.equal(1, (pool:value("SELECT 1 WHERE 1 IN (?)", mypool.list { 1, 2 })))
      local other = pools.new(s:options { max_size = 1 })
      local _, err = other:query "no SQL"
      assert.is_true(mypool.is_error(err) and again.is_error(err))
      conn:release()
      pools.close()
    end
    collect()
    eventually(function()
      return sessions() == 0
    end)
  end)
end)

describe("a process that ends with loans out", function()
  local ways = {
    ["by os.exit()"] = { "os.exit(true)", 0 },
    ["by os.exit(true, true)"] = { "os.exit(true, true)", 0 },
    ["by os.exit(3, true)"] = { "os.exit(3, true)", 3 },
    ["by coming to its end"] = { "", 0 },
    ["by an error"] = { "error 'the end'", 1 },
  }

  local function ends_well(text, status, expected)
    local printed, _, code = program(([[
local mypool = require "mypool"
local options = { socket = %q, user = "app", password = "secret", max_size = 4 }
%s
io.stdout:write("said\n")
io.stdout:flush()
%s]]):format(s.socket, text, expected))
    assert.equal(status, code, printed)
    assert.matches("^said\n", printed)
    eventually(function()
      return sessions() == 0
    end)
    return printed
  end

  for name, way in pairs(ways) do
    it("ends well " .. name, function()
      ends_well([[
pool = mypool.new(options)
a = assert(pool:checkout())
b = assert(pool:checkout())
assert(a:query "START TRANSACTION")
c = assert(pool:checkout())
c:query "SET @a = 1"
c:release()]], way[2], way[1])
    end)

    it("ends well in the middle of an operation " .. name, function()
      ends_well([[
options.wait = function(fd, seconds)
  if busy then coroutine.yield() else require("mypool.core").poll(fd, seconds) end
end
pool = mypool.new(options)
a = assert(pool:checkout())
busy = true
thread = coroutine.create(function() a:query "SELECT SLEEP(0.3)" end)
assert(coroutine.resume(thread))
opening = coroutine.create(function() pool:checkout() end)
assert(coroutine.resume(opening))
third = coroutine.wrap(function() pool:with(coroutine.yield) end)
third()]], way[2], way[1])
    end)

    it("ends well in the middle of a block that releases " .. name, function()
      ends_well([[
pool = mypool.new(options)
local a <close> = assert(pool:checkout())
local tx <close> = assert(pool:begin())
tx:query "SET @a = 1"]], way[2], way[1])
    end)
  end

  it("may use a connection in a finalizer that runs at the end", function()
    local printed = ends_well([[
pool = mypool.new(options)
a = assert(pool:checkout())
last = setmetatable({}, { __gc = function() print(pcall(a.query, a, "SELECT 1")) print(pcall(pool.ping, pool)) end })]],
      0, "os.exit(true, true)")
    assert.is_truthy(printed)
  end)

  it("ends well in the other order of finalizers", function()
    ends_well([[
last = setmetatable({}, { __gc = function() pcall(a.query, a, "SELECT 1") pcall(pool.ping, pool) pcall(pool.close, pool)
  print(pcall(tostring, pool), pcall(tostring, a)) end })
pool = mypool.new(options)
a = assert(pool:checkout())]], 0, "os.exit(true, true)")
  end)
end)

describe("a child process", function()
  it("that runs another program inherits no descriptor of the pool", function()
    local pool = pools.new(s:options { max_size = 3, wait = scheduler.wait })
    local conn <close> = assert(pool:checkout())
    assert.is_true(conn:ping())
    local pipe = io.popen "ls -l /proc/self/fd"
    local listing = pipe:read "a"
    pipe:close()
    for _, kind in ipairs { "socket:", "eventpoll", "eventfd" } do
      assert.is_nil(listing:find(kind, 1, true), listing)
    end
  end)

  it("that was forked leaves the connections of its parent alone, and has its own", function()
    local library = require "spec.support.fork"
    if not library then
      return pending "no C compiler"
    end
    local printed, ok = program(([[
local fork = package.loadlib(%q, "luaopen_fork")()
local pool = require("mypool").new { socket = %q, user = "app", password = "secret", max_size = 4 }
local lent, idle, fresh = assert(pool:checkout()), assert(pool:checkout()), assert(pool:checkout())
assert(lent:query "CREATE OR REPLACE TABLE app.forked (n INT) ENGINE=InnoDB")
assert(lent:query "START TRANSACTION")
assert(lent:query "INSERT INTO app.forked VALUES (1)")
assert(idle:query "SET @a = 1")
local id, idle_id, fresh_id = lent:id(), idle:id(), fresh:id()
idle:release()
os.execute "sleep 0.05"
local pid = fork.fork()
if pid == 0 then
  local ok, err = lent:query "COMMIT"
  print("child", ok, err and err.kind, err and err.executed)
  print(fresh:value "SELECT CONNECTION_ID()" ~= fresh_id, fresh:ping())
  local own = pool:value "SELECT CONNECTION_ID()"
  print(own ~= id and own ~= idle_id and own ~= fresh_id, pool:ping())
  lent:release()
  fresh:release()
  lent, idle, fresh = nil, nil, nil
  collectgarbage()
  pool:close()
  pool = nil
  collectgarbage()
  os.exit(true, true)
end
print("parent", fork.wait(pid))
print(lent:value "SELECT CONNECTION_ID()" == id, fresh:value "SELECT CONNECTION_ID()" == fresh_id)
assert(lent:query "ROLLBACK")
print(lent:value "SELECT COUNT(*) FROM app.forked")
fresh:release()
lent:release()
for i = 1, 3 do
  local conn = assert(pool:checkout())
  print(conn:id() == id or conn:id() == idle_id or conn:id() == fresh_id)
  conn:discard()
end
print(pool:stats().stale, pool:stats().opened)]]):format(library, s.socket))
    assert.is_true(ok, printed)
    local expected = {
      "child\tnil\tlost\tno",
      "true\ttrue",
      "true\ttrue",
      "parent\t0",
      "true\ttrue",
      "0",
      "true",
      "true",
      "true",
      "0\t3",
    }
    assert.equal(table.concat(expected, "\n") .. "\n", without_warnings(printed))
  end)

  it("that was forked in the middle of an operation ends well", function()
    local library = require "spec.support.fork"
    if not library then
      return pending "no C compiler"
    end
    -- The child would wait for ever for a lock of the allocator that a thread of its parent held.
    if os.getenv "MYPOOL_PRELOAD" then
      return pending "a fork while threads run, under a sanitizer"
    end
    local printed, ok = program(([[
local fork = package.loadlib(%q, "luaopen_fork")()
local busy
local pool = require("mypool").new { socket = %q, user = "app", password = "secret", max_size = 4,
  wait = function(fd, seconds)
    if busy then coroutine.yield() else require("mypool.core").poll(fd, seconds) end
  end }
local a = assert(pool:checkout())
busy = true
local result
local thread = coroutine.create(function() result = a:value "SELECT SLEEP(0.2)" end)
assert(coroutine.resume(thread))
local opening = coroutine.create(function() pool:checkout() end)
assert(coroutine.resume(opening))
local pid = fork.fork()
if pid == 0 then
  os.exit(true, true)
end
print("status", fork.wait(pid))
repeat
  os.execute "sleep 0.05"
  coroutine.resume(thread)
until coroutine.status(thread) == "dead"
print(result)]]):format(library, s.socket))
    assert.is_true(ok, printed)
    assert.equal("status\t0\n0\n", without_warnings(printed))
  end)
end)

describe("under a scheduler", function()
  local pool

  before_each(function()
    pool = pools.new(s:options { max_size = 3, wait = scheduler.wait, checkout_timeout = 10 })
  end)

  it("queries of several coroutines run at the same time", function()
    local started = cqueues.monotime()
    scheduler.run(table.unpack(times(3, function()
      assert.equal(0, pool:value "SELECT SLEEP(0.5)")
    end)))
    assert.is_true(cqueues.monotime() - started < 1.3)
    assert.equal(3, pool:stats().opened)
  end)

  it("a full pool serves the waiting in the order of their coming", function()
    local small = pools.new(s:options { max_size = 1, wait = scheduler.wait, checkout_timeout = 10 })
    local order = {}
    scheduler.run(function()
      local conn = assert(small:checkout())
      for i = 1, 7 do
        scheduler.spawn(coroutine.create(function()
          local own <close> = assert(small:checkout())
          order[#order + 1] = i
          assert.equal(i, (own:value("SELECT ?", i)))
        end))
        scheduler.await(function()
          return small:stats().waiting == i
        end)
      end
      conn:release()
      local late <close> = assert(small:checkout()) -- who comes later waits behind them
      order[#order + 1] = "late"
      assert.is_true(late:ping())
    end)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, "late" }, order)
    assert.same({ 1, 0 }, { small:stats().opened, small:stats().waiting })
  end)

  it("many more coroutines than connections all get their own answers", function()
    local answers = 0
    scheduler.run(table.unpack(times(60, function(i)
      for j = 1, 5 do
        assert.equal(i * 1000 + j, (pool:value("SELECT ?", i * 1000 + j)))
        answers = answers + 1
      end
    end)))
    assert.equal(300, answers)
    assert.same({ 3, 0, 0 }, { pool:stats().opened, pool:stats().lent, pool:stats().waiting })
  end)

  it("a checkout that waited in vain says who holds the connections", function()
    scheduler.run(function()
      local a, b, c = pool:checkout(), pool:checkout(), pool:checkout()
      local conn, err = pool:checkout(0.1)
      assert.is_nil(conn)
      assert.equal("exhausted", err.kind)
      local lent = "3 of 3 connections are lent: spec/wait/interrupted_spec.lua:"
      assert.is_truthy(err.message:find(lent, 1, true), err.message)
      assert.is_truthy(a and b and c)
    end)
    assert.equal(0, pool:stats().waiting)
    assert_all_slots(pool, 3)
  end)

  it("a connection that two coroutines use at once raises in the second", function()
    scheduler.run(function()
      local conn = assert(pool:checkout())
      local first
      scheduler.spawn(coroutine.create(function()
        first = conn:value "SELECT 1 + SLEEP(0.2)"
      end))
      scheduler.sleep(0.05)
      for name, arguments in pairs { query = { "SELECT 2" }, value = { "SELECT 2" }, ping = {}, begin = {}, id = {} } do
        mistake(("bad call of '%s' (another coroutine is using this connection)"):format(name), function()
          conn[name](conn, table.unpack(arguments))
        end)
      end
      scheduler.await(function()
        return first
      end)
      assert.equal(1, first)
      assert.equal(2, (conn:value "SELECT 2"))
      conn:release()
    end)
    assert_all_slots(pool, 3)
    assert.equal(0, pool:stats().discarded)
  end)

  for how, finish in pairs {
    ["released"] = function(conn)
      conn:release()
    end,
    ["at the end of its block"] = function(conn)
      local block <close> = conn -- luacheck: ignore
    end,
  } do
    it("a connection that another coroutine waits on is lost to it, and costs no slot, when it is " .. how, function()
      scheduler.run(function()
        local conn = assert(pool:checkout())
        local outcome
        scheduler.spawn(coroutine.create(function()
          outcome = { conn:value "SELECT SLEEP(20)" }
        end))
        scheduler.sleep(0.05)
        finish(conn)
        scheduler.await(function()
          return outcome
        end)
        assert.is_nil(outcome[1])
        assert.equal("lost", outcome[2].kind)
        mistake("released", function()
          conn:ping()
        end)
      end)
      assert_all_slots(pool, 3)
    end)
  end

  -- Runs f as far as the middle of its statement, where its scheduler forgets it. Returns its coroutine.
  local function leave_in_the_middle(f)
    local thread = coroutine.create(f)
    scheduler.spawn(thread)
    scheduler.run(function()
      scheduler.await(function()
        return pool:stats().lent == 1
      end)
      scheduler.sleep(0.02)
      scheduler.forget(thread)
    end)
    return thread
  end

  it("a coroutine that is abandoned in the middle of a query costs no slot", function()
    for _ = 1, 4 do
      leave_in_the_middle(function()
        pool:query "SELECT SLEEP(20)"
      end)
      collect()
    end
    assert.equal(0, pool:stats().lent)
    assert_all_slots(pool, 3)
  end)

  it("a statement that nobody waits for any more is stopped on the server", function()
    local thread = coroutine.create(function()
      pool:query "SELECT 'forgotten', SLEEP(60)"
    end)
    scheduler.spawn(thread)
    local function is_running()
      return 0 < pool:value "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT ''forgotten%'"
    end
    scheduler.run(function()
      scheduler.await(is_running)
      scheduler.forget(thread)
      thread = nil -- luacheck: ignore
      collect()
      scheduler.await(function()
        return not is_running()
      end)
    end)
    assert_all_slots(pool, 3)
    assert.equal(0, pool:stats().discarded)
  end)

  it("a coroutine that is closed in the middle of a block gives its connection back", function()
    local thread = leave_in_the_middle(function()
      local conn <close> = assert(pool:checkout())
      conn:query "SELECT SLEEP(20)"
    end)
    assert.is_true(coroutine.close(thread))
    assert.equal(0, pool:stats().lent)
    assert_all_slots(pool, 3)
  end)

  it("a coroutine that is abandoned while it waits for a connection is not served", function()
    local thread = coroutine.create(function()
      pool:query "SELECT 1"
    end)
    scheduler.run(function()
      local a, b, c = pool:checkout(), pool:checkout(), pool:checkout()
      scheduler.spawn(thread)
      scheduler.await(function()
        return pool:stats().waiting == 1
      end)
      scheduler.forget(thread)
      thread = nil -- luacheck: ignore
      collect()
      assert.equal(0, pool:stats().waiting)
      local served
      scheduler.spawn(coroutine.create(function()
        served = pool:value "SELECT 1"
      end))
      scheduler.await(function()
        return pool:stats().waiting == 1
      end)
      a:release()
      scheduler.await(function()
        return served
      end)
      b:release()
      c:release()
    end)
    assert_all_slots(pool, 3)
  end)

  it("a coroutine that is abandoned while it connects leaves the connection to the next", function()
    for _ = 1, 3 do
      local thread = coroutine.create(function()
        pool:query "SELECT 1"
      end)
      assert(coroutine.resume(thread)) -- not a task of the scheduler, so its wait blocks
      assert.equal("dead", coroutine.status(thread))
    end
    local blocked = pools.new(s:options { max_size = 2, wait = coroutine.yield })
    for _ = 1, 4 do
      local thread = coroutine.create(function()
        blocked:checkout()
      end)
      assert(coroutine.resume(thread))
      thread = nil -- luacheck: ignore
      collect()
    end
    assert.equal(0, blocked:stats().lent)
    assert.is_true(blocked:stats().size <= 2)
    local thread = coroutine.create(function()
      return blocked:value "SELECT 7"
    end)
    local ok, fd
    repeat
      ok, fd = coroutine.resume(thread)
      assert.is_true(ok, fd)
      sleep(0.005)
    until coroutine.status(thread) == "dead"
    assert.equal(7, fd)
    assert.equal(0, blocked:stats().lent)
  end)

  it("a wait that comes back early does no harm", function()
    local hasty = pools.new(s:options { max_size = 1, wait = function() end })
    for i = 1, 5 do
      assert.equal(i, hasty:value("SELECT ? + SLEEP(0.02)", i))
    end
    assert.equal(1, hasty:stats().opened)
  end)

  it("the wait function is told an fd and the seconds that are left", function()
    local calls = {}
    local spied = pools.new(s:options {
      query_timeout = 5,
      wait = function(...)
        calls[#calls + 1] = table.pack(...)
        return require("mypool.core").poll(...)
      end,
    })
    assert.equal(0, spied:value "SELECT SLEEP(0.05)")
    assert.is_true(#calls > 0)
    for _, call in ipairs(calls) do
      assert.equal(2, call.n)
      assert.equal("integer", math.type(call[1]))
      assert.is_true(call[2] > 0 and call[2] <= 10)
    end
  end)

  describe("a wait function that raises", function()
    local failing, armed

    before_each(function()
      armed = false
      failing = pools.new(s:options {
        max_size = 2,
        wait = function(fd, seconds)
          if armed then
            error("the loop has ended", 0)
          end
          return require("mypool.core").poll(fd, seconds)
        end,
      })
    end)

    it("in a checkout raises there and loses no slot", function()
      for _ = 1, 5 do
        failing:evict()
        armed = true
        assert.same({ false, "the loop has ended" }, { pcall(failing.checkout, failing) })
        armed = false
        collect()
        assert.equal(0, failing:stats().lent)
        assert.is_true(failing:ping())
      end
      assert_all_slots(failing, 2)
    end)

    it("in a query raises there; the connection is lost, its slot is not", function()
      for _ = 1, 5 do
        local conn = assert(failing:checkout())
        armed = true
        assert.same({ false, "the loop has ended" }, { pcall(conn.query, conn, "SELECT SLEEP(0.01)") })
        armed = false
        local result, err = conn:query "SELECT 1"
        assert.is_nil(result)
        assert.equal("lost", err.kind)
        conn:release()
      end
      assert_all_slots(failing, 2)
    end)

    it("in a call of the pool's raises there and loses no slot", function()
      for name, arguments in pairs {
        query = { "SELECT SLEEP(0.01)" },
        one = { "SELECT SLEEP(0.01)" },
        value = { "SELECT SLEEP(0.01)" },
        begin = {},
        transaction = { function() end },
        ping = {},
      } do
        assert.is_true(failing:ping())
        armed = true
        pcall(failing[name], failing, table.unpack(arguments))
        armed = false
        collect()
        assert.equal(0, failing:stats().lent, name)
      end
      assert_all_slots(failing, 2)
    end)

    it("in a transaction's function raises there and loses no slot", function()
      s:sql "CREATE OR REPLACE TABLE app.things (n INT) ENGINE=InnoDB"
      local ok, message = pcall(failing.transaction, failing, function(tx)
        assert(tx:query "INSERT INTO things VALUES (1)")
        armed = true
        tx:query "SELECT SLEEP(0.01)"
      end)
      armed = false
      assert.same({ false, "the loop has ended" }, { ok, message })
      assert_all_slots(failing, 2)
      assert.equal(0, failing:value "SELECT COUNT(*) FROM things")
    end)
  end)

  describe("pool:close", function()
    it("with a grace waits until all is given back", function()
      local result
      scheduler.run(function()
        local conn = assert(pool:checkout())
        result = conn:value "SELECT 1 + SLEEP(0.2)"
        conn:release()
      end, function()
        scheduler.await(function()
          return pool:stats().lent == 1
        end)
        assert.is_true(pool:close(10))
        assert.equal(1, result)
        assert.equal(0, pool:stats().size)
      end)
    end)

    it("cuts what is still lent when the grace is over", function()
      local failure
      scheduler.run(function()
        local conn = assert(pool:checkout())
        failure = select(2, conn:value "SELECT SLEEP(20)")
        conn:release()
      end, function()
        scheduler.await(function()
          return #s:sql "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(20)'" == 1
        end)
        assert.is_true(pool:close(0.1))
      end)
      assert.same({ "closed", "unknown", true }, { failure.kind, failure.executed, failure.fatal })
      assert.equal(0, pool:stats().size)
    end)

    it("fails the waiting with the kind closed", function()
      local kinds = {}
      scheduler.run(function()
        local conns = { pool:checkout(), pool:checkout(), pool:checkout() }
        scheduler.await(function()
          return pool:stats().waiting == 2
        end)
        pool:close()
        for i = 1, 3 do
          conns[i]:release()
        end
      end, table.unpack(times(2, function()
        scheduler.await(function()
          return pool:stats().lent == 3
        end)
        local _, err = pool:checkout()
        kinds[#kinds + 1] = err.kind
      end)))
      assert.same({ "closed", "closed" }, kinds)
    end)
  end)
end)

describe("an error in the middle of a loan", function()
  it("loses no slot, whether or not the handle is released", function()
    local pool = pools.new(s:options { max_size = 2 })
    for _ = 1, 5 do
      assert.is_false(pcall(function()
        local conn = assert(pool:checkout())
        conn:query "START TRANSACTION"
        error "x"
      end))
      assert.is_false(pcall(function()
        local conn <close> = assert(pool:checkout())
        conn:query "START TRANSACTION"
        error "x"
      end))
      collect()
    end
    assert_all_slots(pool, 2)
  end)
end)
