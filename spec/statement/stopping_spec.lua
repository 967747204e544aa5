-- Whom a time limit stops: the session's own statement, on the session's own server, and nobody else's.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local haproxy = require "spec.servers.haproxy"
local poll = require("mypool.core").poll
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"
local server = require "spec.servers.server"
local tls = require "spec.servers.tls"

local scheduler = schedulers.cqueues()
local sleep = scheduler.sleep
local plain = schedulers.plain()
local a, b -- twins: by all that they say of themselves one server

local function set_up(s)
  s:sql [[
    CREATE TABLE app.slow (n INT);
    CREATE TRIGGER app.slowly BEFORE INSERT ON app.slow FOR EACH ROW DO SLEEP(20);
    CREATE PROCEDURE app.slow(n INT) SELECT SLEEP(n), 'in a procedure';]]
end

setup(function()
  local ca, cert, key = tls.server_options()
  a = server.start { options = { ca, cert:gsub("server%.pem", "server-by-name.pem"), key } }
  b = server.twin(a)
  set_up(a)
  set_up(b)
end)

teardown(function()
  a:remove()
  b:remove()
end)

after_each(pools.close)

local function new(options)
  options.wait = scheduler.wait
  return pools.new(options)
end

-- How many statements besides this question run on the server that hold the text.
local function running(s, text)
  local count = "SELECT COUNT(*) FROM %s WHERE INFO LIKE '%%%s%%' AND ID <> CONNECTION_ID()"
  return tonumber(s:sql(count:format(dialect.threads, text))[1])
end

local function await_none(s, text, by)
  eventually(function()
    return running(s, text) == 0
  end, by or sleep)
end

local function timed_out(result, err)
  assert.is_nil(result)
  assert.same({ "timeout", "unknown" }, { err.kind, err.executed }, err.message)
  assert.match("may go on", err.message)
end

-- The statement is stopped, and the session serves the next.
local function stops_one(pool, s, timeout)
  local id = assert(pool:value "SELECT CONNECTION_ID()")
  timed_out(pool:query { "SELECT SLEEP(20) /* own */", timeout = timeout or 0.1 })
  await_none(s, "own")
  pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
end

local function stops(pool, s)
  scheduler.run(function()
    stops_one(pool, s)
  end)
end

describe("a statement that meets its time limit is stopped", function()
  it("over a unix socket", function()
    stops(new(a:options { max_size = 1 }), a)
  end)

  it("over TCP", function()
    stops(new(a:tcp_options { max_size = 1 }), a)
  end)

  it("over TLS, where the name is verified although the connection goes to an address", function()
    dialect.needs("TLS", pending)
    stops(new(a:tcp_options { max_size = 1, host = "127.1", tls = { ca = tls.ca } }), a)
  end)

  -- The second connection takes longer than a statement may take to stop before it is told once more.
  it("over a long way", function()
    local r <close> = relay.start { host = "127.0.0.1", port = a.port }
    local pool = new(a:tcp_options { max_size = 1, port = r.port })
    scheduler.run(function()
      assert(pool:ping())
      r:delay(100)
      stops_one(pool, a, 1)
    end)
  end)

  it("behind a balancer, where the second connection comes to the same server", function()
    local balancer <close> = haproxy.start { "127.0.0.1:" .. a.port }
    stops(new(a:tcp_options { max_size = 1, port = balancer.port }), a)
  end)

  local inside = {
    ["a trigger"] = "INSERT INTO slow VALUES (1)",
    ["a procedure"] = "CALL slow(20)",
    ["a compound statement"] = "BEGIN NOT ATOMIC DECLARE x INT DEFAULT 1; SELECT SLEEP(20); END",
    ["EXECUTE IMMEDIATE"] = "EXECUTE IMMEDIATE 'SELECT SLEEP(20)'",
    ["blanks and semicolons"] = " \n\t SELECT SLEEP(20) ; \n",
    ["bytes that are no text"] = "SELECT SLEEP(20), '\xff\xfe\xc3', ' \x80 '",
    ["more text than is compared"] = "SELECT SLEEP(20) /* " .. ("long "):rep(300) .. "*/",
  }
  for name, sql in pairs(inside) do
    for _, over in ipairs { "options", "tcp_options" } do
      it(("with %s in it, of %s"):format(name, over), function()
        dialect.needs(sql:match "BEGIN NOT ATOMIC" or sql:match "EXECUTE IMMEDIATE" or name, pending)
        local pool = new(a[over](a, { max_size = 1 }))
        scheduler.run(function()
          local id = assert(pool:value "SELECT CONNECTION_ID()")
          timed_out(pool:query { sql, timeout = 0.1 })
          await_none(a, "SLEEP")
          pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
        end)
      end)
    end
  end

  -- Nothing of MySQL's older list of threads can be read as long as there is such a statement.
  it("while another session runs bytes that are no text", function()
    local others = new(a:options { max_size = 1 })
    scheduler.run(function()
      local other = assert(others:checkout())
      local id = other:id()
      cqueues.running():wrap(function()
        other:query { "SELECT SLEEP(20) /* other */, '\xff\xfe\xc3'", timeout = 30 }
        other:release()
      end)
      eventually(function()
        return running(a, "other") == 1
      end, sleep)
      stops_one(new(a:options { max_size = 1 }), a)
      a:sql("KILL QUERY " .. id)
    end)
  end)
end)

describe("a statement that meets its time limit in the middle of a row", function()
  local text = "SELECT REPEAT('x', 40000) AS cell"

  local function prepared(conn)
    return assert(conn:prepare(text)):with({ timeout = 0.3 }):execute()
  end

  local function unprepared(conn)
    return conn:query { text, timeout = 0.3 }
  end

  -- Until here everything of the call has gone but what still reads the row.
  local function run_out_of_time(pool, statement)
    local conn <close> = assert(pool:checkout())
    timed_out(statement(conn))
  end

  for name, statement in pairs { ["the text protocol"] = unprepared, ["the binary protocol"] = prepared } do
    it("has the rest of the row read, although whoever wanted it is gone: " .. name, function()
      local slow <close> = relay.start { port = a.port }
      local pool = new(a:tcp_options { port = slow.port, max_size = 1 })
      scheduler.run(function()
        local id = assert(pool:value "SELECT CONNECTION_ID()")
        slow:throttle(40000)
        run_out_of_time(pool, statement)
        collectgarbage()
        collectgarbage()
        slow:throttle(0)
        pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
      end)
    end)
  end
end)

describe("a prepared statement that meets its time limit", function()
  local function in_every_mode(text, f)
    local luv = schedulers.luv()
    local modes = { plain, scheduler, luv }
    for _, mode in ipairs(modes) do
      it(("%s (%s)"):format(text, mode.name), function()
        local pool = pools.new(a:options { max_size = 1, wait = mode.wait })
        mode.run(function()
          f(pool)
        end)
      end)
    end
  end

  local statements = {
    "SELECT SLEEP(20), ?",
    "CALL slow(? + 20)",
    "SELECT seq, SLEEP(IF(seq > 300, 20, 0)), ? FROM seq_1_to_1000",
  }
  for _, sql in ipairs(statements) do
    in_every_mode("is stopped, and its session kept: " .. sql, function(pool)
      local id = assert(pool:value "SELECT CONNECTION_ID()")
      local conn = assert(pool:checkout())
      local statement = assert(conn:prepare(sql)):with { timeout = 0.15 }
      timed_out(statement:execute(1))
      conn:release()
      pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
      assert.equal(0, running(a, "SLEEP"))
    end)
  end

  it("leaves no lock, although nobody uses the pool again", function()
    a:sql "CREATE OR REPLACE TABLE app.locked (n INT) ENGINE = InnoDB; INSERT INTO app.locked VALUES (1)"
    local pool = pools.new(a:options())
    local tx = assert(pool:begin())
    assert(tx:query "UPDATE locked SET n = 2")
    local statement = assert(tx:prepare "SELECT SLEEP(?)"):with { timeout = 0.1 }
    timed_out(statement:execute(20))
    a:sql "SET innodb_lock_wait_timeout = 5; UPDATE app.locked SET n = 3"
    assert.equal("3", a:sql("SELECT n FROM app.locked")[1])
  end)
end)

describe("a session that cannot be recovered", function()
  it("is closed at once, with its locks, although nobody uses the pool again", function()
    a:sql "CREATE OR REPLACE TABLE app.locked (n INT) ENGINE = InnoDB; INSERT INTO app.locked VALUES (1)"
    local proxy <close> = relay.start { port = a.port }
    local pool = pools.new(a:tcp_options { port = proxy.port })
    local tx = assert(pool:begin())
    assert(tx:query "UPDATE locked SET n = 2")
    proxy:refuse(true)
    timed_out(tx:query { "SELECT SLEEP(1)", timeout = 0.1 })
    a:sql "SET innodb_lock_wait_timeout = 5; UPDATE app.locked SET n = 3"
  end)
end)

-- A second pool's statement with this number of a connection runs on the server while f does.
local function with_stranger(s, id, sql, f)
  local others = new(s:tcp_options { user = "limited", max_size = 1000 })
  local conn
  repeat
    conn = assert(others:checkout())
  until conn:id() >= id
  assert.equal(id, conn:id())
  local result, err
  cqueues.running():wrap(function()
    result, err = conn:value(sql)
    conn:release()
  end)
  eventually(function()
    return running(s, "stranger") == 1
  end, sleep)
  f()
  await_none(s, "stranger")
  sleep(0.05)
  assert.equal(0, result, err) -- one whose sleep was ended returns 1, or an error
end

describe("a statement of another program goes on", function()
  it("on a server that says of itself what the session's says, has its number, and is behind one balancer", function()
    dialect.needs("a name of one's own for a server", pending)
    local said = "SELECT @@" .. dialect.identity .. ", @@hostname, @@port, @@server_id"
    assert.same(a:sql(said), b:sql(said))
    local balancer <close> = haproxy.start { "127.0.0.1:" .. a.port, "127.0.0.2:" .. a.port }
    scheduler.run(function()
      while tonumber(a:sql("SELECT CONNECTION_ID()")[1]) < tonumber(b:sql("SELECT CONNECTION_ID()")[1]) + 5 do -- luacheck: ignore
      end
      local pool = new(a:tcp_options { max_size = 1, port = balancer.port })
      local conn
      repeat
        conn = assert(pool:checkout())
        local on_a = conn:value "SELECT @@pid_file" == a:sql("SELECT @@pid_file")[1]
        if not on_a then
          conn:discard()
        end
      until on_a
      local id = conn:id()
      with_stranger(b, id, "SELECT SLEEP(1) /* stranger */", function()
        timed_out(conn:query { "SELECT SLEEP(1) /* stranger */", timeout = 0.1 })
        conn:release()
        assert.not_equal(id, assert(pool:value "SELECT CONNECTION_ID()"))
      end)
    end)
  end)

  local function shifting(id)
    local proxy = relay.start { port = a.port }
    local version = a:sql("SELECT VERSION()")[1]
    if version:find "^10%." then
      version = "5.5.5-" .. version -- as MariaDB greets before its 11
    end
    local number_at = 5 + #version + 1 -- behind the header and the version's zero
    proxy:corrupt("down", number_at, id & 255)
    return proxy
  end

  it("where a proxy numbers connections by itself, and the own one is stopped", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    scheduler.run(function()
      local other = assert(new(a:tcp_options {}):checkout())
      local proxy <close> = shifting(other:id())
      local pool = new(a:tcp_options { max_size = 1, port = proxy.port })
      local id = assert(pool:value "SELECT CONNECTION_ID()")
      local conn = assert(pool:checkout())
      assert.equal(id, conn:id())
      local result
      cqueues.running():wrap(function()
        result = other:value "SELECT SLEEP(0.6)"
        other:release()
      end)
      timed_out(conn:query { "SELECT SLEEP(20) /* own */", timeout = 0.2 })
      conn:release()
      await_none(a, "own")
      pools.serves_again(id, assert(pool:value "SELECT CONNECTION_ID()"))
      sleep(0.6)
      assert.equal(0, result)
    end)
  end)

  it("where a proxy may have given the thread away: what runs there is not what was sent", function()
    scheduler.run(function()
      local proxy <close> = shifting(0)
      local pool = new(a:tcp_options { max_size = 1, port = proxy.port })
      local id = assert(pool:value "SELECT CONNECTION_ID()")
      timed_out(pool:query { "CALL slow(1)", timeout = 0.1 })
      assert.not_equal(id, assert(pool:value "SELECT CONNECTION_ID()"))
      assert.equal(1, running(a, "in a procedure"))
      await_none(a, "in a procedure")
    end)
  end)
end)

describe("the password function", function()
  local function rotated(user, wait)
    local password = { now = "one" }
    a:sql(("CREATE OR REPLACE USER %s@localhost IDENTIFIED BY 'one'"):format(user))
    a:sql(("GRANT ALL ON app.* TO %s@localhost"):format(user))
    local pool = pools.new(a:options {
      user = user,
      max_size = 1,
      wait = wait or scheduler.wait,
      password = function()
        return password.now or error "no password"
      end,
    })
    return pool, password
  end

  it("is asked again, to stop a statement", function()
    dialect.needs("ALTER USER", pending)
    local pool, password = rotated "rotated"
    scheduler.run(function()
      local conn = assert(pool:checkout())
      a:sql "ALTER USER rotated@localhost IDENTIFIED BY 'two'"
      password.now = "two"
      timed_out(conn:query { "SELECT SLEEP(20) /* own */", timeout = 0.1 })
      conn:release()
      await_none(a, "own")
      assert.truthy(pool:query "SELECT 1")
      assert.equal(1, pool:stats().opened)
    end)
  end)

  it("that raises then costs the session, and nothing else", function()
    local pool, password = rotated "raising"
    scheduler.run(function()
      local conn = assert(pool:checkout())
      password.now = nil
      timed_out(conn:query { "SELECT SLEEP(0.3)", timeout = 0.1 })
      assert.same({ 1, 0 }, { pool:stats().lent, pool:stats().recovering })
      conn:release()
      password.now = "one"
      assert.truthy(pool:query "SELECT 1")
      assert.same({ 2, 1 }, { pool:stats().opened, pool:stats().closed })
    end)
  end)

  it("is asked by a finalizer, too, and may raise there", function()
    for _, ending in ipairs { "one", "none" } do
      local abandoned
      local pool, password = rotated("collected", function(fd, seconds)
        if abandoned then
          coroutine.yield()
        end
        return poll(fd, seconds)
      end)
      assert.truthy(pool:query "SELECT 1")
      local conn = assert(pool:checkout())
      abandoned = coroutine.create(function()
        conn:query "SELECT SLEEP(20) /* own */"
      end)
      assert(coroutine.resume(abandoned))
      password.now = ending == "one" and "one" or nil
      abandoned, conn = nil, nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      if ending == "one" then
        await_none(a, "own", plain.sleep)
      else
        a:kill_sessions(a:sql "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'collected'")
      end
      password.now = "one"
      assert.truthy(pool:query "SELECT 1")
      pools.has_opened(ending == "one" and 1 or 2, pool)
    end
  end)
end)
