-- Failures say what failed, where, and what to do: how a connect failed, which limit has passed, who cut a connection.

local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local resolver = require "spec.servers.resolver"
local schedulers = require "spec.support.schedulers"
local socket = require "cqueues.socket"

local s = fixture.shared_server()

after_each(pools.close)

-- A port at which connections are accepted by the kernel, and nobody answers; and its socket, to be closed.
local function silent_port()
  local listening = socket.listen { host = "127.0.0.1", port = 0 }
  listening:listen()
  return select(3, listening:localname()), listening
end

local function run_under_cqueues(...)
  schedulers.cqueues().run(...)
end

describe("a connect that failed", function()
  -- The message of a checkout.
  local function message(options)
    options.checkout_timeout = options.checkout_timeout or 1
    local conn, err = pools.new(options):checkout()
    assert.is_nil(conn)
    assert.equal("connect", err.kind)
    return err.message, err
  end

  local tried = " %(tried %d+ times in %d+%.%d s%)"

  it("names the address, why in the system's words, and how often it was tried", function()
    local text, err = message { host = "127.0.0.1", port = 1 }
    assert.matches("^cannot connect to 127%.0%.0%.1:1: Connection refused" .. tried .. "$", text)
    assert.equal(2002, err.errno)
    text = message { socket = "/nowhere/x.sock" }
    assert.matches("^cannot connect to /nowhere/x%.sock: No such file or directory" .. tried .. "$", text)
    text = message { host = "::1", port = 1 }
    assert.matches("^cannot connect to %[::1%]:1: ", text)
  end)

  it("does not count one attempt", function()
    local text = message { host = "127.0.0.1", port = 1, retries = 0 }
    assert.equal("cannot connect to 127.0.0.1:1: Connection refused", text)
  end)

  it("counts the attempts since the server was last there, not those that the program's wish stands for", function()
    local pool = pools.new { host = "127.0.0.1", port = 1, checkout_timeout = 10 }
    pool:avoid("127.0.0.1:1", 10)
    pool:avoid("127.0.0.1:1", 10)
    local _, err = pool:checkout(0.05)
    assert.equal("cannot connect to 127.0.0.1:1: avoided, as the program asked for", err.message)
  end)

  it("at localhost says that this is TCP", function()
    if not resolver.knows "localhost" then
      return pending "this system does not know localhost"
    end
    local hint = "('localhost' is TCP here; a unix socket is the option socket)"
    local text = message { host = "localhost", port = 1 }
    assert.is_truthy(text:find("cannot connect to localhost:1: Connection refused " .. hint, 1, true), text)
    assert.is_nil(message({ host = "127.0.0.1", port = 1 }):find("socket", 1, true))
  end)

  it("names each of several hosts", function()
    local text, err = message { hosts = { "127.0.0.1:1", "[::1]:2" } }
    local pattern = "^cannot connect to 127%.0%.0%.1:1: Connection refused" .. tried .. "; %[::1%]:2: .+"
    assert.matches(pattern, text)
    assert.is_nil(err.host)
  end)

  it("follows the address with what the server itself said", function()
    local where = ("cannot connect to %s:%d: "):format(s.host, s.port)
    local text, err = message(s:tcp_options { password = "wrong", checkout_timeout = 10 })
    assert.equal(1045, err.errno)
    assert.equal(where .. "Access denied for user ", text:sub(1, #where + 23))
    text, err = message(s:tcp_options { database = "nowhere", checkout_timeout = 10 })
    assert.is_true(err.errno == 1049 or err.errno == 1044, text)
    assert.equal(where, text:sub(1, #where))
    local refused = pools.new(s:tcp_options { database = "nowhere", checkout_timeout = 10 })
    for _ = 1, 3 do
      assert.equal(text, select(2, refused:checkout()).message) -- each has tried once, and does not count
    end
  end)

  it("says that another service answers", function()
    run_under_cqueues(function()
      local port, listening = silent_port()
      local ended = false
      require("cqueues").running():wrap(function()
        while not ended do
          local client = listening:accept(0.01)
          if client then
            client:write "220 mail.example.org ESMTP ready\r\n"
            client:flush()
          end
        end
        listening:close()
      end)
      local options = { host = "127.0.0.1", port = port, wait = require "mypool.wait.cqueues" }
      local text = message(options)
      local expected = ("cannot connect to 127.0.0.1:%d: what answers is no MariaDB or MySQL server"):format(port)
      ended = true
      assert.equal(expected, text:sub(1, #expected))
    end)
  end)

  it("says which statement of init_sql failed", function()
    local text, err = message(s:options { init_sql = { "SET @a = 1", "SELECT * FROM missing" } })
    assert.equal(1146, err.errno)
    assert.matches("^cannot connect to .+: init_sql, statement 2: Table 'app%.missing' doesn't exist$", text)
  end)

  it("repeats what the password function raised, or the most of it", function()
    local raised
    local options = s:options {
      password = function()
        error(raised, 0)
      end,
    }
    raised = "vault down"
    assert.equal("the password function failed: vault down", (message(options)))
    raised = ("€"):rep(100)
    assert.equal("the password function failed: " .. ("€"):rep(66), (message(options)))
    raised = {}
    assert.equal("the password function failed: it raised a table", (message(options)))
  end)
end)

describe("a time limit", function()
  -- The message of what f returns behind nil, of the kind timeout, or `kind`.
  local function message(kind, result, err)
    assert.is_nil(result)
    assert.equal(kind, err.kind, err.message)
    return err.message
  end

  it("of a statement is told by its number and its name", function()
    local pool = pools.new(s:options { query_timeout = 0.25 })
    assert.matches("^no answer within 0%.25 s %(query_timeout%)", message("timeout", pool:query "SELECT SLEEP(10)"))
    local limited = { "SELECT SLEEP(10)", timeout = 0.1 }
    assert.matches("^no answer within 0%.1 s %(timeout%)", message("timeout", pool:query(limited)))
    local conn <close> = assert(pool:checkout())
    assert.equal(1, conn:value { "SELECT 1", timeout = 5 })
    assert.matches("^no answer within 0%.25 s %(query_timeout%)", message("timeout", conn:value "SELECT SLEEP(10)"))
  end)

  it("of a prepared statement is told by its number and its name", function()
    local conn <close> = assert(pools.new(s:options()):checkout())
    local statement <close> = assert(conn:prepare "SELECT SLEEP(?)")
    local text = message("timeout", statement:with({ timeout = 0.15 }):execute(10))
    assert.matches("^no answer within 0%.15 s %(timeout%)", text)
  end)

  it("of a connect is told by its number and its name", function()
    local port, listening = silent_port()
    local where = ("cannot connect to 127.0.0.1:%d: "):format(port)
    for limit, of in pairs {
      checkout_timeout = { connect_timeout = 5, checkout_timeout = 0.2 },
      connect_timeout = { connect_timeout = 0.2, checkout_timeout = 10, retries = 0 },
    } do
      of.host, of.port = "127.0.0.1", port
      local text = message("connect", pools.new(of):checkout())
      assert.equal(("%sno answer within 0.2 s (%s)"):format(where, limit), text)
    end
    run_under_cqueues(function()
      local waiting = { host = "127.0.0.1", port = port, wait = require "mypool.wait.cqueues" }
      waiting.checkout_timeout = 0.2
      assert.equal("no answer within 0.2 s (checkout_timeout)", message("timeout", pools.new(waiting):checkout()))
      waiting.connect_timeout, waiting.checkout_timeout, waiting.retries = 0.2, 10, 0
      local text = message("connect", pools.new(waiting):checkout())
      assert.equal(where .. "no answer within 0.2 s (connect_timeout)", text)
    end)
    listening:close()
  end)

  it("of a checkout is told in seconds, and those in whose hands connections are by their places", function()
    run_under_cqueues(function()
      local pool = pools.new(s:options { max_size = 4, wait = require "mypool.wait.cqueues" })
      local held = { assert(pool:checkout()) }
      for i = 2, 4 do
        held[i] = assert(pool:checkout())
      end
      local text = message("exhausted", pool:checkout(0.2))
      local pattern = "^pool exhausted, 4 of 4 connections are lent: [^ ]+failures_spec%.lua:%d+ for %d+%.%d s, "
        .. "[^ ]+failures_spec%.lua:%d+ ×3 for up to %d+%.%d s %(waited %d+%.%d s%); this coroutine itself holds one"
      assert.matches(pattern, text)
      for i = 1, 4 do
        held[i]:release()
      end
    end)
  end)
end)

describe("a statement whose connection was cut by another", function()
  -- Begins a statement that takes long, and calls cut(pool, conn) meanwhile. Returns the error, and the line of cut.
  local function failure(cut)
    local err
    run_under_cqueues(function()
      local scheduler = schedulers.cqueues()
      local pool = pools.new(s:options { max_size = 2, wait = scheduler.wait })
      local conn = assert(pool:checkout())
      require("cqueues").running():wrap(function()
        scheduler.sleep(0.05)
        cut(pool, conn)
      end)
      err = select(2, conn:query "SELECT SLEEP(20)")
      assert.is_false(err.fatal ~= true)
    end)
    local info = debug.getinfo(cut, "S")
    return err, ("%s:%d"):format(info.short_src, info.linedefined + 1)
  end

  it("says where pool:close was called", function()
    local err, place = failure(function(pool)
      pool:close()
    end)
    assert.equal("closed", err.kind)
    assert.equal("cut by pool:close at " .. place, err.message)
    assert.equal("unknown", err.executed)
  end)

  it("says so of what is tried next, too", function()
    local pool, conn = pools.lend(s:options())
    pool:close()
    local _, err = conn:query "SELECT 1"
    assert.matches("^cut by pool:close at .*failures_spec%.lua:%d+$", err.message)
    _, err = pool:query "SELECT 1"
    assert.equal("the pool is closed", err.message)
  end)

  it("says where another coroutine released it", function()
    for _, name in ipairs { "release", "discard" } do
      local err, place = failure(function(_, conn)
        conn[name](conn)
      end)
      assert.equal("lost", err.kind)
      assert.equal(("released at %s by another coroutine"):format(place), err.message)
      assert.equal("unknown", err.executed)
    end
  end)

  it("says so where a tail call left no place", function()
    local err = failure(function(pool)
      coroutine.wrap(function()
        return pool:close()
      end)()
    end)
    assert.equal("cut by pool:close at (a tail call: no place)", err.message)
  end)
end)
