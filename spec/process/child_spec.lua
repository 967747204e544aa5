-- A child of the program, forked or another program, has none of its parent's connections.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local scheduler = require "spec.support.scheduler"

local s = fixture.server()

after_each(pools.close)

local function without_warnings(printed)
  return (printed:gsub("Lua warning: [^\n]*\n", ""))
end

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
    dialect.needs("COM_RESET_CONNECTION", pending)
    local printed, ok = program(([[
local process = require "spec.process"
local pool = require("mypool").new { socket = %q, user = "app", password = "secret", max_size = 4 }
local lent, idle, fresh = assert(pool:checkout()), assert(pool:checkout()), assert(pool:checkout())
assert(lent:query "DROP TABLE IF EXISTS app.forked")
assert(lent:query "CREATE TABLE app.forked (n INT) ENGINE=InnoDB")
assert(lent:query "START TRANSACTION")
assert(lent:query "INSERT INTO app.forked VALUES (1)")
assert(idle:query "SET @a = 1")
local id, idle_id, fresh_id = lent:id(), idle:id(), fresh:id()
idle:release()
os.execute "sleep 0.05"
local pid = process.fork()
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
print("parent", process.wait(pid))
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
print(pool:stats().stale, pool:stats().opened)]]):format(s.socket))
    assert.is_true(ok, printed)
    local expected = {
      "child\tnil\tlost\tno",
      "true\ttrue",
      "true\ttrue",
      "parent\texit\t0",
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
    -- The child would wait for ever for a lock of the allocator that a thread of its parent held.
    if os.getenv "MYPOOL_PRELOAD" then
      return pending "a fork while threads run, under a sanitizer"
    end
    local printed, ok = program(([[
local process = require "spec.process"
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
local pid = process.fork()
if pid == 0 then
  os.exit(true, true)
end
print("status", process.wait(pid))
repeat
  os.execute "sleep 0.05"
  coroutine.resume(thread)
until coroutine.status(thread) == "dead"
print(result)]]):format(s.socket))
    assert.is_true(ok, printed)
    assert.equal("status\texit\t0\n0\n", without_warnings(printed))
  end)
end)
