-- fork(2): a child has copies of its parent's handles, but the sockets, epoll sets and eventfds behind them are
-- shared. Whatever it does with them, its parent notices nothing; and it can open sessions of its own.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local program = require "spec.support.program"

local s = fixture.server()

setup(function()
  s:sql "CREATE TABLE app.t (n INT) ENGINE=InnoDB"
end)

-- The wait function gives up when no wake-up came: one that got lost would go unnoticed else.
local prelude = [[
local core = require "mypool.core"
local mypool = require "mypool"
local process = require "spec.process"

local function wait(fd, seconds)
  if coroutine.isyieldable() then
    return coroutine.yield(fd, seconds)
  end
  return core.poll(fd, seconds)
end

local options = { socket = %q, user = "app", password = "secret", database = "app", max_size = %d,
  checkout_timeout = 20, wait = wait }
local pool = mypool.new(options)

local function begin(f)
  local thread = coroutine.create(f)
  local ok, fd, seconds = coroutine.resume(thread)
  assert(ok, fd)
  return thread, fd, seconds
end

local function lend()
  conn = assert(pool:checkout())
  id = conn:id()
end

local waits = 0
local function finish(thread, fd, seconds)
  while coroutine.status(thread) ~= "dead" do
    local patience = math.min(seconds or 10, 10)
    local awake = core.poll(fd, patience)
    assert(awake or patience < 10, "no wake-up")
    waits = waits + 1
    local ok
    ok, fd, seconds = coroutine.resume(thread)
    assert(ok, fd)
  end
end

-- Runs f in a child; prints how that ended unless it ended well.
local function in_child(f)
  io.stdout:flush()
  local pid = process.fork()
  if pid > 0 then
    local how, number = process.wait(pid)
    if how ~= "exit" or number ~= 0 then
      print("the child:", how, number)
    end
    return
  end
  local ok, message = pcall(f)
  if not ok then
    print(message)
  end
  os.exit(ok, true)
end
]]

local function run(text, max_size)
  local printed, ok = program(prelude:format(s.socket, max_size or 2) .. text)
  assert.is_true(ok, printed)
  return (printed:gsub("Lua warning: [^\n]*\n", ""))
end

local read_the_rest = [[
      local count, sum = 1, 1
      for row in stream do count, sum = count + 1, sum + row.seq end
      return count, sum]]

-- What the parent is in the middle of at the fork: `before` leaves a handle in `conn`, or a coroutine and what
-- it waits for in `thread` and `fd`; `after` ends it, and returns what `expected` says.
local situations = {
  {
    name = "a statement that has been answered",
    before = [[
      lend()
      thread, fd, seconds = begin(function() result = conn:value "SELECT 7 + SLEEP(0.02)" end)
      assert(core.poll(fd, 20))]],
    after = [[finish(thread, fd, seconds) return result, conn:value "SELECT 8"]],
    expected = "7\t8",
  },
  {
    name = "a statement of a prepared one that has been answered",
    before = [[
      lend()
      statement = assert(conn:prepare "SELECT ? + SLEEP(0.02)")
      thread, fd, seconds = begin(function() result = statement:value(7) end)
      assert(core.poll(fd, 20))]],
    after = [[finish(thread, fd, seconds) return result, statement:value(8)]],
    expected = "7\t8",
  },
  {
    name = "rows that are read one by one",
    before = [[
      lend()
      stream = assert(conn:rows "SELECT seq, REPEAT('x', 200) FROM seq_1_to_20000")
      assert(stream().seq == 1)]],
    after = read_the_rest,
    expected = "20000\t200010000",
  },
  {
    name = "rows of a prepared statement that are read one by one",
    before = [[
      lend()
      statement = assert(conn:prepare "SELECT seq, REPEAT('x', 200) FROM seq_1_to_20000")
      stream = assert(statement:rows())
      assert(stream().seq == 1)]],
    after = read_the_rest,
    expected = "20000\t200010000",
  },
  {
    name = "a transaction",
    before = [[
      lend()
      assert(conn:query "DELETE FROM t")
      assert(conn:query "START TRANSACTION")
      assert(conn:query "INSERT INTO t VALUES (1)")]],
    after = [[
      local open = conn:in_transaction()
      assert(conn:query "COMMIT")
      return open, conn:value "SELECT COUNT(*) FROM t"]],
    expected = "true\t1",
  },
  {
    name = "a reset that has been sent",
    before = [[
      lend()
      assert(conn:query "SET @a = 1")
      conn:release()]],
    after = [[
      lend()
      return pool:stats().resets_failed, conn:value "SELECT @a"]],
    expected = "0\tnil",
  },
  {
    name = "a reset whose answer a checkout waits for",
    max_size = 1,
    before = [[
      lend()
      assert(conn:query "CREATE TEMPORARY TABLE big AS SELECT seq, REPEAT('x', 1000) AS x FROM seq_1_to_30000")
      conn:release()
      conn = nil
      thread, fd, seconds = begin(function() conn = assert(pool:checkout()) end)
      assert(coroutine.status(thread) == "dead" or core.poll(fd, 20))]],
    after = [[
      finish(thread, fd, seconds)
      return pool:stats().resets_failed, (select(3, conn:query "SELECT * FROM big"))]],
    expected = "0\t1146",
  },
  {
    name = "a checkout that has been served by a release",
    max_size = 1,
    before = [[
      local lent = assert(pool:checkout())
      thread, fd, seconds = begin(function() conn = assert(pool:checkout()) end)
      lent:release()]],
    after = [[finish(thread, fd, seconds) return conn:value "SELECT 7", pool:stats().opened]],
    expected = "7\t1",
  },
  {
    name = "a connect that a thread has finished",
    max_size = 1,
    before = [[
      thread, fd, seconds = begin(function() conn = assert(pool:checkout()) end)
      assert(core.poll(fd, 20))]],
    after = [[finish(thread, fd, seconds) return conn:value "SELECT 7", pool:stats().opened]],
    expected = "7\t1",
  },
  {
    name = "a connect that a thread is busy with",
    max_size = 1,
    before = [[thread, fd, seconds = begin(function() conn = assert(pool:checkout()) end)]],
    after = [[finish(thread, fd, seconds) return conn:value "SELECT 7", pool:stats().opened]],
    expected = "7\t1",
  },
}

-- Afterwards the child has the use of its pool, unless it closed that.
local own_session = [[
      local own = assert(pool:value "SELECT CONNECTION_ID()")
      assert(own ~= id, "the child used the session of its parent")]]

local forget = "thread, conn, statement, stream, result = nil collectgarbage() collectgarbage() "

local ways = {
  {
    name = "goes on with it",
    text = [[
      if thread then finish(thread, fd, seconds) end
      if stream then
        local ok, row
        repeat -- those that were read already are there
          ok, row = pcall(stream)
        until not ok or not row
        assert(not ok and row.kind == "lost", "it went on reading")
      end
      if conn and conn:is_held() then
        assert(result == nil, "the child read what was meant for its parent")
        conn:query "COMMIT"
        conn:release()
      end]] .. own_session,
  },
  {
    name = "leaves it and releases",
    text = [[
      if stream then stream:close() end
      if statement then statement:close() end
      if conn and conn:is_held() then conn:release() end
      thread = nil
      ]] .. forget .. own_session,
  },
  { name = "discards", text = "if conn then conn:discard() end " .. forget .. own_session },
  { name = "forgets it", text = forget .. own_session },
  { name = "evicts", text = "pool:evict() " .. forget .. own_session },
  { name = "closes the pool", text = "pool:close()" },
  { name = "drops the pool", text = "pool = nil " .. forget },
  { name = "ends by os.exit(true)", text = "os.exit(true)" },
  { name = "ends by os.exit(true, true)", text = "os.exit(true, true)" },
}

for _, situation in ipairs(situations) do
  describe("#slow in the middle of " .. situation.name .. " a child that", function()
    for _, way in ipairs(ways) do
      it(way.name .. " leaves it to its parent", function()
        dialect.needs(situation.name:find "^a reset" and "COM_RESET_CONNECTION", pending)
        local printed = run(
          ([[
%s
in_child(function()
  %s
end)
local function after()
  %s
end
print(after())
local stats = pool:stats()
print("lost:", stats.stale + stats.discarded + stats.closed)]]):format(situation.before, way.text, situation.after),
          situation.max_size
        )
        assert.equal(situation.expected .. "\nlost:\t0\n", printed)
        ledger.enter("fork", { faults = 1, statements = 1 })
      end)
    end
  end)
end

it("a child whose statement's time is up does not stop the statement of its parent", function()
  local printed = run [[
local conn = assert(pool:checkout())
local result
local thread, fd = begin(function() result = conn:value { "SELECT 7 + SLEEP(0.6)", timeout = 0.2 } end)
in_child(function()
  os.execute "sleep 0.3"
  local ok = coroutine.resume(thread)
  assert(ok and coroutine.status(thread) == "dead" and result == nil)
  assert(pool:stats().recovering == 0, "the child stops the statement")
  conn:release()
  assert(pool:ping())
end)
finish(thread, fd) -- its time is up as well, but it is asked only when the answer has come
print(result, conn:value "SELECT 8")]]
  assert.equal("7\t8\n", printed)
  ledger.enter("fork", { faults = 1, statements = 2 })
end)

it("what comes to a child does not wake its parent", function()
  -- The place of the first session is used again by both.
  local printed = run [[
assert(pool:checkout()):discard()
local pid = process.fork()
if pid == 0 then
  local conn = assert(pool:checkout())
  for _ in conn:rows "SELECT IF(seq = 1, SLEEP(0.02), REPEAT('x', 1000)) FROM seq_1_to_5000" do
    process.kill(0, process.SIGSTOP) -- the rest stays unread
  end
  os.exit(true, true)
end
print(process.wait(pid) == "stop")
local thread, fd, seconds = begin(function()
  local conn = assert(pool:checkout())
  print(conn:value "SELECT 7 + SLEEP(0.3)")
end)
finish(thread, fd, seconds)
process.kill(pid, process.SIGKILL)
process.wait(pid)
print(waits < 20 or waits)]]
  assert.equal("true\n7\ntrue\n", printed)
  ledger.enter("fork", { faults = 1, statements = 2 })
end)

it("a child that has no descriptor left does not end the session of its parent", function()
  local printed, ok = program(prelude:format(s.socket, 1) .. [[
local conn = assert(pool:checkout())
local id = conn:id()
in_child(function()
  local files, file = {}, nil
  repeat
    file = io.open "/dev/null"
    files[#files + 1] = file
  until not file
  conn:discard()
end)
print(conn:value "SELECT CONNECTION_ID()" == id)
conn:release()]], nil, "ulimit -n 100")
  assert.is_true(ok, printed)
  assert.equal("true\n", printed)
  ledger.enter("fork", { faults = 1, statements = 1 })
end)

it("children can fork, and each generation has its own sessions", function()
  dialect.needs("COM_RESET_CONNECTION", pending)
  local printed = run [[
local ids = {}
local function generation(n)
  local id = assert(pool:value "SELECT CONNECTION_ID()")
  assert(not ids[id], "a session of an ancestor")
  ids[id] = true
  if n > 0 then
    in_child(function() generation(n - 1) end)
  end
  assert(pool:value "SELECT CONNECTION_ID()" == id)
end
generation(4)
print(pool:stats().opened)]]
  assert.equal("1\n", printed)
  ledger.enter("fork", { faults = 4, statements = 10 })
end)

it("a child that was forked at any moment of a connect can connect, and end", function()
  if os.getenv "MYPOOL_PRELOAD" then
    return pending "threads that begin and end at a fork, under a sanitizer"
  end
  local forks = 40
  local printed = run(([[
for i = 1, %d do
  local pool = mypool.new(options)
  local threads, fds, conns = {}, {}, {}
  for k = 1, 4 do
    threads[k], fds[k] = begin(function() conns[k] = assert(pool:checkout()) end)
  end
  core.poll(-1, (i %% 4) * 0.001)
  in_child(function()
    if i %% 2 == 0 then
      threads = nil
      collectgarbage()
      assert(pool:ping())
    end
  end)
  for k = 1, 4 do
    finish(threads[k], fds[k])
    assert(conns[k]:ping())
  end
  pool:close()
end]]):format(forks), 4)
  assert.equal("", printed)
  ledger.enter("fork", { faults = forks, statements = 5 * forks })
end)
