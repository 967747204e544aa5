-- mypool in a process: signals, other programs that it runs, several Lua states and threads, its end, and long use.

local dialect = require "spec.servers.dialect"
local embedded = require "spec.support.embedded"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local program = require "spec.support.program"
local resolver = require "spec.servers.resolver"
local tls = require "spec.servers.tls"

local sanitized = os.getenv "MYPOOL_PRELOAD" ~= nil

local s = fixture.server { tls = true }

local function prelude()
  return ([[
local core = require "mypool.core"
local mypool = require "mypool"
local process = require "spec.process"
local cqueues = require "cqueues"
local function options(more)
  local all = { host = "127.0.0.1", port = %d, user = "app", password = "secret", database = "app", max_size = 3,
    server_public_key = not (more and more.tls) and %q or nil }
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  return all
end
local ca = %q
]]):format(s.port, s.public_key, tls.ca)
end

local function run(text)
  local printed, ok = program(prelude() .. text, nil, nil, 1800)
  assert.is_true(ok, printed)
  return (printed:gsub("Lua warning: [^\n]*\n", ""))
end

-- ---- signals ----

-- Each is run many times; what it returns says `expected`.
local work = [[
local function work(pool, n)
  assert(pool:value("SELECT ? + SLEEP(0.005)", n) == n)
  assert(#assert(pool:query "SELECT seq, REPEAT('x', 100) FROM seq_1_to_2000") == 2000)
  local sum = 0
  for row in assert(pool:rows "SELECT seq, REPEAT('x', 100) FROM seq_1_to_2000") do sum = sum + row.seq end
  assert(sum == 2001000)
  pool:with(function(conn)
    local statement = assert(conn:prepare "SELECT ? + SLEEP(0.005)")
    assert(math.tointeger(statement:value(n)) == n)
    assert(conn:reset())
    assert(conn:ping())
  end)
  assert(pool:transaction(function(tx) return tx:value("SELECT ? + SLEEP(0.002)", n) end) == n)
  local late, err = pool:query { "SELECT SLEEP(5)", timeout = 0.02 }
  assert(not late and err.kind == "timeout", tostring(err))
  assert(pool:checkout()):discard() -- the next connects
end
]]

-- A signal every 200 microseconds; a connect takes longer, a statement also. A TLS handshake of libmariadb's may fail
-- when it is interrupted, on the thread of the program: then the pool tries again, and nobody notices.
local interrupted = {
  ["in a plain program"] = [[
    local pool = mypool.new(options(more))
    for n = 1, rounds do work(pool, n) end]],
  ["under cqueues"] = [[
    more.wait = require "mypool.wait.cqueues"
    local pool = mypool.new(options(more))
    local cq = cqueues.new()
    for task = 1, 4 do
      cq:wrap(function()
        for n = 1, rounds // 4 do work(pool, n) end
      end)
    end
    assert(cq:loop(60))
    assert(cq:empty(), "it hangs")]],
}

describe("a storm of signals", function()
  for how, text in pairs(interrupted) do
    for _, wire in ipairs { "", " over TLS" } do
      it(how .. wire .. " interrupts nothing", function()
        dialect.needs("COM_RESET_CONNECTION", pending)
        local printed = run(work .. ([[
          local rounds, more = %d, { tls = %s }
          process.handle(process.SIGALRM, "count")
          process.storm(200)
          %s
          process.storm(0)
          local stats = pool:stats()
          local failed = (more.wait or not more.tls) and stats.connect_failures or 0
          print(process.caught() > 100, stats.lent, failed, stats.resets_failed, stats.stale)]]):format(
          sanitized and 8 or 20,
          wire == "" and "nil" or "{ ca = ca }",
          text
        ))
        assert.equal("true\t0\t0\t0\t0\n", printed)
        ledger.enter("signals", { faults = 100, statements = 7 * (sanitized and 8 or 20) })
      end)
    end
  end
end)

describe("an error that a signal raises, like Ctrl-C's,", function()
  for how, flags in pairs { ["interrupts calls"] = "0", ["restarts them"] = "process.SA_RESTART" } do
    for _, wire in ipairs { "", " over TLS" } do
      it("ends a statement of a plain program, when the signal " .. how .. wire, function()
        dialect.needs(wire ~= "" and "TLS", pending)
        local printed = run(([[
          local pool = mypool.new(options { tls = %s })
          assert(pool:ping())
          process.handle(process.SIGINT, "interrupt", %s)
          local self = io.open("/proc/self/stat"):read "n"
          os.execute(("(sleep 0.3; kill -INT %%d) >/dev/null 2>&1 &"):format(self))
          local began = os.time()
          print(pcall(pool.query, pool, "SELECT SLEEP(60)"))
          print(os.time() - began < 50, pool:value "SELECT 1", pool:stats().lent)]]):format(
          wire == "" and "nil" or "{ ca = ca }",
          flags
        ))
        assert.match("^false\t[^\n]*interrupted!\ntrue\t1\t0\n$", printed)
        ledger.enter("signals", { faults = 1, statements = 3 })
      end)
    end
  end
end)

describe("SIGPIPE", function()
  -- libmariadb has it ignored as soon as the first pool is made, and under TLS needs that: OpenSSL writes without
  -- MSG_NOSIGNAL. A program that sets the default afterwards can be ended by it.
  for before, after in pairs { default = "ignore", ignore = "ignore", count = "count" } do
    it(("is %s after the first pool when it was %s before"):format(after, before), function()
      assert.equal(
        after .. "\n" .. after .. "\n",
        run(([[
          process.handle(process.SIGPIPE, %q)
          local pool = mypool.new(options())
          assert(pool:ping())
          print(process.disposition(process.SIGPIPE))
          mypool.new(options()):ping()
          print(process.disposition(process.SIGPIPE))]]):format(before))
      )
    end)
  end

  for name, wire in pairs { ["over TCP"] = "nil", ["over TLS"] = "{ ca = ca }" } do
    it("does not end a program whose sessions are cut " .. name, function()
      dialect.needs(name:match "TLS", pending)
      local printed = run(([[
        local relay = require "spec.servers.relay"
        local r <close> = relay.start { host = "127.0.0.1", port = options().port }
        local pool = mypool.new(options { port = r.port, tls = %s, retries = 0 })
        local conns = {}
        for i = 1, 3 do
          conns[i] = assert(pool:checkout())
          assert(conns[i]:query "SET @a = 1")
        end
        r:drop "rst"
        conns[1]:release()
        local answer, err, errno, sqlstate = conns[2]:query "SELECT 1"
        print(answer, err.message, errno, sqlstate)
        conns[3]:discard()
        pool:close()
        print(pool:stats().resets_failed)]]):format(wire))
      assert.equal("nil\tthe server has closed the connection\t2006\tHY000\n1\n", printed)
      ledger.enter("signals", { faults = 3, statements = 4 })
    end)
  end
end)

-- ---- other programs ----

describe("a program that is run", function()
  -- Sockets, epoll sets and eventfds of the parent would be seen here.
  local listing = [[
local function inherited()
  local pipe <close> = io.popen "ls -l /proc/self/fd"
  local found = {}
  for line in pipe:lines() do
    found[#found + 1] = line:match "socket:" or line:match "eventpoll" or line:match "eventfd"
  end
  return #found
end
]]

  it("inherits nothing of loans that are out, in the middle of anything", function()
    assert.equal(
      "0\t3\n",
      run(listing .. [[
        local function wait(fd, seconds)
          if coroutine.isyieldable() then coroutine.yield() else core.poll(fd, seconds) end
        end
        local pool = mypool.new(options { max_size = 4, wait = wait })
        local at_rest, streaming = assert(pool:checkout()), assert(pool:checkout())
        local stream = assert(streaming:rows "SELECT seq FROM seq_1_to_10000")
        assert(stream().seq == 1)
        local running = coroutine.create(function() pool:query "SELECT SLEEP(5)" end)
        assert(coroutine.resume(running))
        while pool:stats().opening > 0 do
          core.poll(-1, 0.005)
          assert(coroutine.resume(running))
        end
        print(inherited(), pool:stats().lent)]])
    )
    ledger.enter("exec", { faults = 1, statements = 2 })
  end)

  local connects = { ["over TCP"] = "", ["over TLS"] = ", tls = { ca = ca }" }
  if resolver.knows "localhost" then
    connects["to a name, which may have several addresses,"] = ', host = "localhost"'
  end
  for name, options in pairs(connects) do
    for _, byte in ipairs { 0, 50, 200 } do
      it(("inherits nothing of a connect %s that has come to byte %d"):format(name, byte), function()
        dialect.needs(name:match "TLS", pending)
        assert.equal(
          "0\t1\n",
          run(listing .. ([[
            local relay = require "spec.servers.relay"
            local r <close> = relay.start { host = "127.0.0.1", port = options().port }
            r:cut("down", %d, "hold")
            local wait = function(fd, seconds) core.poll(fd, seconds) end
            local pool = mypool.new(options { port = r.port, wait = wait%s })
            assert(not pool:checkout(0.1))
            print(inherited(), pool:stats().opening)
            pool:close()]]):format(byte, options))
        )
        ledger.enter("exec", { faults = 1 })
      end)
    end
  end
end)

-- ---- states and threads ----

it("threads with Lua states of their own do not disturb each other", function()
  local printed, ok = embedded("states", "spec/programs/states.lua", 8, sanitized and 2 or 4, s.socket)
  assert.is_true(ok, printed)
  assert.equal("", printed)
  ledger.enter("threads with Lua states", { statements = 8 * (sanitized and 2 or 4) * 63 })
end)

-- ---- the end of a state ----

-- Finalizers run in the reverse order of their making. What a state has not closed when its finalizers begin to
-- run gets none any more, so a connection that one of them checks out outlives its pool.
for _, ending in ipairs { "os.exit(true, true)", "collectgarbage()" } do
  it("a connection may be used after its pool was finalized: " .. ending, function()
    assert.equal(
      "first\nlast\t7\n",
      run([[
        local function scope()
          local held
          local last = setmetatable({}, { __gc = function()
            print("last", held:value { "SELECT 7 + SLEEP(0.01)", timeout = 5 })
            held:release()
          end })
          local pool = mypool.new(options { wait = function(fd, seconds) return core.poll(fd, seconds) end })
          local first = setmetatable({}, { __gc = function()
            held = assert(pool:checkout())
            print "first"
          end })
          return last and first
        end
        scope()
        ]] .. ending)
    )
    ledger.enter("finalizers", { faults = 1, statements = 1 })
  end)
end

-- The first finalizer to be made runs last.
it("what a finalizer checks out at the end of a state, and does not give back, is closed all the same", function()
  local printed = program(([[
    local held, made
    local last = setmetatable({}, { __gc = function()
      print("last", held:is_held(), select(2, pcall(tostring, made)):match "mypool.pool expected")
    end })
    local core, mypool = require "mypool.core", require "mypool"
    local options = { host = "127.0.0.1", port = %d, user = "app", password = "secret", database = "app",
      server_public_key = %q, wait = function(fd, seconds) return core.poll(fd, seconds) end }
    local pool = mypool.new(options)
    local first = setmetatable({}, { __gc = function()
      held, made = assert(pool:checkout()), mypool.new(options)
      local rows = assert(made:rows "SELECT seq FROM seq_1_to_1000")
      print("first", held:value "SELECT 7", rows ~= nil)
    end })
    os.exit(true, true)]]):format(s.port, s.public_key))
  assert.equal("first\t7\ttrue\nlast\tfalse\tmypool.pool expected\n", printed)
  ledger.enter("finalizers", { faults = 1, statements = 2 })
end)

-- ---- long use ----

-- MYPOOL_CYCLES asks for more of them.
it("opening and closing pools again and again takes no descriptors and no memory", function()
  local cycles = math.tointeger(os.getenv "MYPOOL_CYCLES" or (sanitized and 1000 or 10000))
  local printed = run(([[
    local function count(what)
      local pipe <close> = io.popen(what)
      return pipe:read "n"
    end
    local function resident_kib()
      collectgarbage()
      collectgarbage()
      return count "awk '/^VmRSS/ { print $2 }' /proc/$PPID/status"
    end
    local descriptors = require "spec.support.descriptors"
    local wait = function(fd, seconds) return core.poll(fd, seconds) end
    local function cycle(i)
      local pool = mypool.new(options { max_size = 1, wait = i %% 2 == 0 and wait or nil })
      assert(pool:value("SELECT ?", i) == i)
      if i %% 3 > 0 then
        pool:close() -- else it is left to the collector
      end
    end
    local function cycles(count)
      for i = 1, count do
        cycle(i)
        if i %% 50 == 0 then
          collectgarbage()
        end
      end
    end
    cycles(500)
    local before_fds, before_kib = descriptors(), resident_kib()
    cycles(%d)
    local fds, kib = descriptors(), resident_kib()
    local limit_kib = %s -- a sanitizer keeps what is freed
    print(fds == before_fds or fds - before_fds, kib - before_kib < limit_kib or kib - before_kib)]]):format(
    cycles,
    sanitized and "math.huge" or 1024
  ))
  assert.equal("true\ttrue\n", printed)
  ledger.enter("pools opened and closed", { statements = cycles })
end)
