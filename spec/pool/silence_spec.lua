-- A server that stands still while statements are out on it, and one that is only slow. The rules stand in
-- spec/c/silence_spec.c.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"

-- How long a live server may take for a connect, on a busy machine.
local SLOW = 2

local function sleep_for(seconds)
  return ("SELECT SLEEP(%g)"):format(seconds)
end

describe("a pool over two servers", function()
  local a, b = fixture.server { tls = true }, fixture.server { tls = true }

  local function new(options)
    dialect.needs("trust without proof", pending) -- each of two servers has a key of its own
    local given = a:hosts_options({ a, b }, { silence = 1, checkout_timeout = 20 })
    for name, value in pairs(options or {}) do
      given[name] = value
    end
    return pools.new(given)
  end

  local function about_a(pool)
    return pools.about(pool, a)
  end

  after_each(function()
    pcall(a.continue, a)
    pools.close()
  end)

  for _, scheduler in ipairs { schedulers.plain(), schedulers.cqueues(), schedulers.luv(), schedulers.own() } do
    it("ends a statement on one that stands still, " .. scheduler.where .. ", and serves from the other", function()
      local pool = new { wait = scheduler.wait }
      local err, port, conn
      scheduler.run(function()
        conn = assert(pool:checkout())
        a:pause()
        err = select(2, conn:query "INSERT INTO nowhere VALUES (1)")
        conn:release()
        port = assert(pool:value "SELECT @@port")
      end)
      assert.same({ "lost", "unknown" }, { err.kind, err.executed })
      assert.is_truthy(err.message:find("no answer from the server, nor to a new connection within 1 s", 1, true))
      assert.equal(about_a(pool).host, err.host)
      assert.equal(b.port, port)
      assert.equal("barred", about_a(pool).standing)
      assert.is_truthy(about_a(pool).last_error:find("no answer", 1, true))
      assert.equal(0, about_a(pool).sessions)
    end)
  end

  for _, scheduler in ipairs { schedulers.plain(), schedulers.cqueues() } do
    it("leaves a slow statement alone, " .. scheduler.where, function()
      local pool = new { wait = scheduler.wait, silence = SLOW, max_size = 1 }
      local slept
      scheduler.run(function()
        slept = assert(pool:value(sleep_for(2.2 * SLOW)))
      end)
      assert.equal("0", tostring(slept))
      assert.equal(0, about_a(pool).failures)
      assert.equal("well", about_a(pool).standing)
    end)
  end

  -- There the read itself waits, but for one over TLS.
  it("reads rows that come slowly, in a plain program, over TLS and without", function()
    local statement = sleep_for(0.6 * SLOW) .. ", REPEAT('x', 20000) FROM seq_1_to_4" -- too long to wait for the next
    local options = { silence = SLOW, max_size = 1 }
    for _, tls in ipairs { false, { verify = false } } do
      options.tls = tls or nil
      local conn <close> = assert(new(options):checkout())
      local count = 0
      for _ in conn:rows(statement) do
        count = count + 1
      end
      assert.equal(4, count)
    end
  end)

  it("ends all that is out there at once, and repeats what may be repeated", function()
    local scheduler = schedulers.cqueues()
    local pool = new { wait = scheduler.wait, max_size = 4 }
    local kinds, ports, paused = {}, {}, false
    local function hang(count)
      return function()
        local conn = assert(pool:checkout())
        eventually(function()
          return paused
        end, scheduler.sleep)
        local _, err = conn:query "DO 1"
        kinds[count] = err and err.kind
        conn:release()
      end
    end
    local function repeated()
      local conn = assert(pool:checkout())
      eventually(function()
        return paused
      end, scheduler.sleep)
      ports[1] = assert(conn:value { "SELECT @@port", idempotent = true })
      conn:release()
    end
    local function in_line()
      eventually(function()
        return paused
      end, scheduler.sleep)
      ports[2] = assert(pool:value "SELECT @@port")
    end
    scheduler.run(hang(1), hang(2), hang(3), repeated, in_line, function()
      eventually(function()
        return pool:stats().lent == 4
      end, scheduler.sleep)
      a:pause()
      paused = true
    end)
    assert.same({ "lost", "lost", "lost" }, kinds)
    assert.same({ b.port, b.port }, ports)
  end)

  it("comes back to one that goes on", function()
    local pool = new()
    local conn = assert(pool:checkout())
    a:pause()
    assert.equal("lost", select(2, conn:query "DO 1").kind)
    conn:release()
    a:continue()
    local began = about_a(pool).barred
    eventually(function()
      return assert(pool:value "SELECT @@port") == a.port
    end, nil, 20)
    assert.equal(began, about_a(pool).barred)
  end)

  it("is safe from a function for the password that ends what waits", function()
    for _, ending in ipairs { "release", "close" } do
      local asked, conn = 0, nil
      local pool
      pool = new {
        silence = 0.2,
        password = function()
          asked = asked + 1
          if asked == 2 then
            local target = ending == "release" and conn or pool
            target[ending](target)
          end
          return a.password
        end,
      }
      conn = assert(pool:checkout())
      local slept, err = conn:value "SELECT SLEEP(1)"
      assert(asked >= 2, "the server was not asked")
      assert(slept or err)
    end
  end)
end)
