-- Names with several addresses, the first of which are of no use.

local dialect = require "spec.servers.dialect"
local monotime = require("cqueues").monotime

local fixture = require "spec.support.fixture"
local names = require "spec.servers.names"
local program = require "spec.support.program"
local relay = require "spec.servers.relay"
local tls = require "spec.servers.tls"

local DEAD, ALIVE = "127.0.0.8", "127.0.0.9"

local s = fixture.server { tls = true, options = { "--bind-address=" .. ALIVE } }

-- Runs the text with `pool`, `check`, and, under a scheduler, `cqueues` at hand. Returns what it prints.
local plain = [[
  local mypool = require "mypool"
  local options = { host = %q, port = %d, user = "app", password = %q, connect_timeout = %g, checkout_timeout = %g,
    retries = %d, tls = %s, server_public_key = %s, wait = %s }
  local pool = mypool.new(options)
  %s]]

local scheduled = [[
  local cqueues = require "cqueues"
  local cq = cqueues.new()
  cq:wrap(function()
    %s
  end)
  assert(cq:loop())]]

local function run(case)
  local text = case.scheduler and scheduled:format(case.text) or case.text
  local wait = case.scheduler and "require 'mypool.wait.cqueues'" or "nil"
  local host = case.host or "db.test"
  return program(
    plain:format(
      host,
      s.port,
      case.password or "secret",
      case.limit or 2,
      case.limit or 20,
      case.retries or 2,
      case.tls or "nil",
      s.public_key and not case.tls and ("%q"):format(s.public_key) or "nil",
      wait,
      text
    ),
    names { [host] = case.addresses or { DEAD, ALIVE }, seconds = case.seconds },
    nil,
    60
  )
end

local function assert_runs(case)
  local started = monotime()
  local printed, ok = run(case)
  assert.is_true(ok, printed)
  return printed, monotime() - started
end

-- What the first address does, until the function that is returned is called.
local first = {}

first["takes no connection"] = function()
  return function() end
end

first["swallows all packets"] = function()
  local uv = require "luv"
  local handles = { uv.new_tcp() }
  assert(handles[1]:bind(DEAD, s.port))
  assert(handles[1]:listen(0, function() end))
  for i = 2, 5 do
    handles[i] = uv.new_tcp()
    handles[i]:connect(DEAD, s.port, function() end)
  end
  uv.run "nowait"
  return function()
    for _, handle in ipairs(handles) do
      handle:close()
    end
    uv.run "nowait"
  end
end

local function relayed(spoil)
  return function()
    local r = relay.start(s, { host = DEAD, port = s.port })
    spoil(r)
    return function()
      r:stop()
    end
  end
end

first["never greets"] = relayed(function(r)
  r:hold()
end)
first["hangs up before it greets"] = relayed(function(r)
  r:cut("down", 0, "rst")
end)
local in_the_handshake = relayed(function(r)
  r:cut("down", 200, "hold")
end)

local use = [[
  local began = require("cqueues").monotime()
  print(pool:value "SELECT 7")
  print(require("cqueues").monotime() - began)]]

describe("the second address serves when the first", function()
  local finish

  after_each(function()
    finish()
  end)

  for _, mode in ipairs { "a plain program", "a scheduler" } do
    local function assert_serves(begin, case)
      finish = begin()
      case.text, case.scheduler = use, mode == "a scheduler"
      local printed = assert_runs(case)
      assert.equal("7", printed:match "^%d+", printed)
    end

    for name, begin in pairs(first) do
      it(name .. ", in " .. mode, function()
        assert_serves(begin, {})
      end)
    end

    it("stops in the middle of a TLS handshake, and is verified by the name, in " .. mode, function()
      dialect.needs("TLS", pending)
      assert_serves(in_the_handshake, { host = "localhost", tls = ("{ ca = %q }"):format(tls.ca), limit = 4 })
    end)
  end

  it("refuses, but not if its certificate is for another name", function()
    dialect.needs("TLS", pending)
    finish = first["takes no connection"]()
    local printed = assert_runs {
      text = "print(pool:query 'SELECT 7')", scheduler = true, tls = ("{ ca = %q }"):format(tls.ca),
    }
    assert.truthy(printed:find "certificate is not for 'db.test'", printed)
  end)
end)

describe("addresses that are tried side by side", function()
  local finish

  after_each(function()
    if finish then
      finish()
      finish = nil
    end
  end)

  it("do not wait for a dead one to use up its time", function()
    finish = first["never greets"]()
    local printed = assert_runs { text = use, scheduler = true }
    assert.is_true(tonumber(printed:match "\n(.-)\n") < 1.9, printed)
  end)

  it("are all used while the first is slow, and the slower session is ended", function()
    local r = relay.start(s, { host = DEAD, port = s.port })
    finish = function()
      r:stop()
    end
    r:delay(400)
    assert_runs {
      scheduler = true,
      text = [[
        local conn = assert(pool:checkout())
        local threads, sessions = 0
        for _ = 1, 100 do
          local tasks = io.popen "ls /proc/$PPID/task | wc -l"
          threads = tasks:read "n"
          tasks:close()
          sessions = conn:value "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'"
          if threads == 1 and sessions == 1 then return end
          cqueues.sleep(0.05)
        end
        error(("%d threads, %d sessions"):format(threads, sessions))]],
    }
  end)

  it("are few at a time, and given up at the deadline", function()
    finish = first["never greets"]()
    local addresses = {}
    for i = 1, 20 do
      addresses[i] = DEAD
    end
    local printed, seconds = assert_runs {
      scheduler = true,
      retries = 0,
      addresses = addresses,
      text = [[
        local most = 0
        cq:wrap(function()
          while not done do
            local tasks = io.popen "ls /proc/$PPID/task | wc -l"
            most = math.max(most, tasks:read "n")
            tasks:close()
            cqueues.sleep(0.1)
          end
        end)
        print(pool:query "SELECT 7")
        done = true
        print(most)]],
    }
    assert.truthy(printed:find "^nil\t", printed)
    assert.is_true(tonumber(printed:match "\n(%d+)\n$") <= 8, printed)
    assert.is_true(seconds < 15, seconds)
  end)

  it("do not hold up a program that ends", function()
    finish = first["never greets"]()
    local _, seconds = assert_runs {
      scheduler = true,
      addresses = { DEAD, DEAD, DEAD },
      limit = 20,
      text = [[
        cq:wrap(function() pool:query "SELECT 7" end)
        cqueues.sleep(0.8)
        os.exit(0)]],
    }
    assert.is_true(seconds < 12, seconds)
  end)
end)

describe("a login that is refused", function()
  for _, scheduler in ipairs { false, true } do
    it("is refused once, " .. (scheduler and "under a scheduler" or "in a plain program"), function()
      local function refused()
        return tonumber(s:sql("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")[1]:match "%d+$")
      end
      local before = refused()
      local printed = assert_runs {
        text = "print(select(3, pool:query 'SELECT 7'))", scheduler = scheduler, password = "wrong",
        addresses = { ALIVE, ALIVE, ALIVE },
      }
      assert.equal("1045", printed:match "%d+", printed)
      assert.equal(before + 1, refused())
    end)
  end
end)

describe("a name", function()
  it("that nobody knows is a failed connect", function()
    for _, scheduler in ipairs { false, true } do
      local printed = assert_runs {
        text = "print(pool:query 'SELECT 7')", scheduler = scheduler, limit = 0.5, addresses = { "none" },
      }
      assert.truthy(printed:find "Unknown server host 'db.test'.*2005", printed)
    end
  end)

  it("that is looked up slowly holds up neither other coroutines nor the end of the program", function()
    local printed, seconds = assert_runs {
      scheduler = true,
      seconds = 30,
      text = [[
        local turns = 0
        cq:wrap(function()
          while true do turns = turns + 1 cqueues.sleep(0.01) end
        end)
        print(pool:checkout(0.3), turns > 5)
        io.stdout:flush()
        os.exit(0)]],
    }
    assert.equal("nil\ttrue\n", printed)
    assert.is_true(seconds < 15, seconds)
  end)

  for _, ending in ipairs { "pool:close() os.exit(0)", "pool = nil collectgarbage() os.exit(0)", "os.exit(0, true)" } do
    it("that is looked up slowly does not hold up " .. ending, function()
      local _, seconds = assert_runs {
        scheduler = true,
        seconds = 30,
        text = "assert(not pool:checkout(0.2)) " .. ending,
      }
      assert.is_true(seconds < 15, seconds)
    end)
  end

  it("that is looked up for a closed pool leaves no thread, and others are not disturbed", function()
    local printed = assert_runs {
      scheduler = true,
      seconds = 1,
      text = [[
        assert(not pool:checkout(0.2))
        pool:close()
        local other = mypool.new(options)
        print(other:value "SELECT 7")
        other:close()
        local threads
        repeat
          cqueues.sleep(0.02)
          local pipe = io.popen "ls /proc/$PPID/task | wc -l"
          threads = pipe:read "n"
          pipe:close()
        until threads == 1
        print(threads)]],
    }
    assert.equal("7\n1\n", printed)
  end)

  it("gets the session of a helper that was given up meanwhile to whoever comes next", function()
    local printed = assert_runs {
      scheduler = true,
      seconds = 1,
      text = [[
        assert(not pool:checkout(0.2))
        print(pool:value "SELECT 7", pool:stats().opened)]],
    }
    assert.equal("7\t1\n", printed)
  end)
end)
