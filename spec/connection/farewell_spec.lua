-- How used connections end as the server sees it: it counts each that goes without a farewell among its
-- Aborted_clients, and writes a warning into its log.

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local relay = require "spec.servers.relay"
local server = require "spec.servers.server"
local sleep = require "spec.support.sleep"
local tls = require "spec.servers.tls"

local connections = 10 -- at a time
local rounds = os.getenv "MYPOOL_THOROUGH" and 100 or 1

local s = fixture.server { tls = true }

after_each(pools.close)

local counted = 0

local function aborted_clients()
  s:await_empty()
  return tonumber(s:sql("SHOW GLOBAL STATUS LIKE 'Aborted_clients'")[1]:match "%d+$")
end

local function assert_aborts(expected, f)
  f()
  local before = counted
  counted = aborted_clients()
  assert.equal(expected, counted - before)
end

-- Uses all connections of a pool; they are idle then, and the replies to their resets may be on their way.
local function use(pool)
  pools.fill(pool, connections)
end

local places = {
  ["a unix socket"] = function(extra)
    return s:options(extra)
  end,
  ["TCP"] = function(extra)
    return s:tcp_options(extra)
  end,
  ["TLS"] = function(extra)
    extra.tls = { ca = tls.ca }
    return s:tcp_options(extra)
  end,
}

local ends = {
  close = function(pool)
    pool:close()
  end,
  ["close after a while"] = function(pool)
    sleep(0.02)
    pool:close()
  end,
  evict = function(pool)
    pool:evict()
  end,
  ["the collector"] = function() end, -- nobody has the pool any more
}

local loan_ends = {
  discard = function(loan)
    loan:discard()
  end,
  ["release to a closed pool"] = function(loan, pool)
    pool:close(1)
    loan:release()
  end,
  ["a close that cuts its loan"] = function(_, pool)
    pool:close()
  end,
  ["the collector, in a transaction"] = function(loan)
    assert(loan:query "START TRANSACTION")
  end,
}

local limits = {
  idle_timeout = { idle_timeout = 0.02 },
  max_lifetime = { max_lifetime = 0.02 },
}

for place, options in pairs(places) do
  describe("over " .. place .. " a used connection is no aborted client when it ends by", function()
    for name, finish in pairs(ends) do
      it(name, function()
        dialect.needs(place, pending)
        assert_aborts(0, function()
          for _ = 1, rounds do
            local pool = mypool.new(options { max_size = connections })
            use(pool)
            finish(pool)
            pool = nil -- luacheck: ignore
            collectgarbage()
          end
        end)
      end)
    end

    for name, finish in pairs(loan_ends) do
      it(name, function()
        dialect.needs(place, pending)
        assert_aborts(0, function()
          for _ = 1, rounds do
            local pool = mypool.new(options { max_size = connections })
            local loan = assert(pool:checkout())
            assert(loan:query "SELECT 1")
            finish(loan, pool)
            pool, loan = nil, nil -- luacheck: ignore
            collectgarbage()
          end
        end)
      end)
    end

    for name, limit in pairs(limits) do
      it(name, function()
        dialect.needs(place, pending)
        limit.max_size = connections
        local pool = pools.new(options(limit))
        assert_aborts(0, function()
          for _ = 1, rounds do
            use(pool)
            sleep(0.03)
            assert(pool:query "DO 0")
          end
          sleep(0.03)
          pool:close()
        end)
      end)
    end
  end)
end

-- ---- the end of the program ----

local endings = {
  ["os.exit(0)"] = "os.exit(0)",
  ["os.exit(0, true)"] = "os.exit(0, true)",
  ["its last line"] = "",
  ["an error"] = "error 'on purpose'",
  ["os.exit in a coroutine"] = "coroutine.wrap(function() os.exit(0) end)()",
  ["os.exit in a forked child, and then itself"] = [[
    package.cpath = "./build/spec/?.so;" .. package.cpath
    local process = package.loadlib("./build/spec/process.so", "luaopen_spec_process")()
    local child = process.fork()
    if child == 0 then
      assert(pools[1]:query "SELECT 1")
      os.exit(0)
    end
    process.wait(child)
    assert(pools[1]:query "SELECT 1")
    os.exit(0)]],
}

-- Two pools with connections that are idle, just released, and lent.
local text = [[
  local mypool = require "mypool"
  local pools = {}
  for i = 1, 2 do
    pools[i] = mypool.new { %s, user = "app", password = "secret", database = "app", max_size = 4 }
    local loans = {}
    for j = 1, 4 do
      loans[j] = assert(pools[i]:checkout())
      assert(loans[j]:query "START TRANSACTION")
    end
    loans[1]:release()
    loans[2]:release { reset = false }
    kept = loans[3]
    left = loans[4]
    loans[3]:query "ROLLBACK"
  end
  %s]]

local program_places = {
  ["a unix socket"] = function()
    return ("socket = %q"):format(s.socket)
  end,
  ["TLS"] = function()
    return ("port = %d, host = %q, tls = { ca = %q }"):format(s.port, s.host, tls.ca)
  end,
}

for place, where in pairs(program_places) do
  describe("over " .. place .. " a connection is no aborted client when the program ends by", function()
    for name, ending in pairs(endings) do
      it(name, function()
        dialect.needs(place, pending)
        assert_aborts(0, function()
          for _ = 1, rounds do
            local printed, ok = program(text:format(where(), ending))
            assert.equal(not name:find "error", ok, printed)
          end
        end)
      end)
    end
  end)
end

-- ---- what is left to the server ----

describe("an unfinished statement", function()
  it("ends as an aborted client", function()
    assert_aborts(1, function()
      local pool, loan = pools.lend(s:options())
      local next_row, state = loan:rows "SELECT seq FROM seq_1_to_1000000"
      assert(next_row(state))
      pool:close()
    end)
  end)
end)

describe("a farewell", function()
  it("is said to a server that is slow to answer the reset, and is not waited for", function()
    local r <close> = relay.start(s)
    local pool = pools.new(s:tcp_options { port = r.port, max_size = 1, idle_timeout = 0.02 })
    assert_aborts(0, function()
      assert(pool:query "SET @a = 1")
      r:delay(60)
      pool:evict()
      assert(pool:query "SELECT 1")
      r:delay(0)
      pool:close()
    end)
  end)

  it("does not hold up a program whose server has stopped", function()
    local paused = server.start()
    local started = os.time()
    local printed, ok = program(([[
      local pool = require("mypool").new { socket = %q, user = "app", password = "secret" }
      assert(pool:query "SELECT 1")
      os.execute "kill -STOP $(cat %s/pid)"
      os.exit(0)]]):format(paused.socket, paused.folder))
    paused:continue()
    paused:remove()
    assert.is_true(ok, printed)
    assert.is_true(os.time() - started < 10)
  end)
end)
