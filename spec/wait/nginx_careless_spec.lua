-- Handlers in nginx that do what they should not: each works all the same, or is told what is wrong.

local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"

local s = fixture.server()
local site = require "spec.support.site"(s)
if not site then
  return
end

-- Its pool, of the name that is given, and locations for what app.go does and what it leaves in app.told.
local function start(code, options)
  options = options or {}
  options.app = code
  options.http = site.finish .. (options.http or "")
  options.server = [[
    location = /go { content_by_lua_block { require("app").go() } }
    location = /told { content_by_lua_block { ngx.say(tostring(require("app").told)) } }
  ]] .. (options.server or "")
  return site.start(options)
end

local function await_told(pattern)
  local told
  eventually(function()
    told = site.get "/told"
    return told ~= "nil\n"
  end)
  assert.match(pattern, told)
end

describe("a pool", function()
  local own = ([[require("mypool").new {
    socket = %%q, user = "app", password = "secret", database = "app", max_size = 1, name = "own"%s
  }]])

  it("made anew for each request serves it, and the collector closes what it has opened", function()
    start(
      ('collectgarbage "restart" function app.go() app.say((%s):value "SELECT 7") end'):format(
        own:format ', wait = require "mypool.wait.nginx"'
      ):format(s.socket)
    )
    for _ = 1, 10 do
      local _, served = site.get("/go?[1-30]"):gsub("7\n\n200", "")
      assert.equal(29, served) -- and the last, whose status get has taken off
    end
    assert.is_true(#s:sessions() < 300)
  end)

  it("without a wait blocks its worker: that is told once, where it is made", function()
    start(("local blocking = %s function app.go() app.say(blocking:value 'SELECT 7') end"):format(own:format ""):format(
      s.socket
    ))
    assert.equal("7\n", (site.get "/go"))
    assert.equal("7\n", (site.get "/go"))
    local _, count = site.web:log():gsub("pool 'own' blocks its worker of nginx when it waits", "")
    assert.equal(1, count)
    site.expects "%[warn%].*%(wait = require 'mypool.wait.nginx'%)"
  end)

  it("closed by one handler tells the others", function()
    start [[ function app.go() pool:close() app.say(pool:value "SELECT 7") end ]]
    assert.match("the pool is closed", (site.get "/go"))
  end)
end)

describe("a connection", function()
  it("kept in a module for the next request was released at the end of the first, which its user is told", function()
    start [[ function app.go()
      app.conn = app.conn or pool:checkout()
      ngx.say(tostring(select(2, pcall(app.conn.value, app.conn, "SELECT 7"))))
    end ]]
    assert.equal("7\n", (site.get "/go"))
    assert.match("this connection was released at log_by_lua", (site.get "/go"))
    site.assert_all_back()
  end)

  it("handed to a timer that uses it when the request has ended was released there, which the timer is told", function()
    start [[ function app.go()
      local conn = pool:checkout()
      ngx.timer.at(0, function()
        local _, err = conn:query "SELECT SLEEP(30)"
        app.told = tostring(err)
      end)
      ngx.sleep(0.1)
    end ]]
    site.get "/go"
    await_told "released at log_by_lua.* by another coroutine"
    site.assert_all_back()
  end)

  it("that two threads share serves the first, and tells the second", function()
    start [[ function app.go()
      pool:transaction(function(tx)
        local first = ngx.thread.spawn(function() return tx:value "SELECT 7 + SLEEP(0.3)" end)
        ngx.say(tostring(select(2, pcall(tx.value, tx, "SELECT 7"))))
        ngx.say(select(2, ngx.thread.wait(first)))
      end)
    end ]]
    assert.match("another coroutine is using this connection: check out one for each%)\n7\n", (site.get "/go"))
    site.assert_all_back()
  end)

  it("checked out in init_by_lua is of use to each worker, on a session of its own", function()
    start([[ app.conn = pool:checkout()
      app.masters = app.conn:id()
      function app.go() ngx.say(app.masters, " ", app.conn:value "SELECT CONNECTION_ID()") end ]], {
      http = "init_by_lua_block { require 'app' }",
    })
    local masters, own = site.get("/go"):match "(%d+) (%d+)"
    assert.not_equal(masters, own)
    site.expects "was never released"
  end)

  it("goes on beside cosockets and threads that sleep", function()
    start [[ function app.go()
      pool:with(function(db)
        local first = db:value "SELECT 7"
        local socket = ngx.socket.tcp()
        assert(socket:connect("unix:" .. ngx.config.prefix() .. "http.sock"))
        assert(socket:send "GET /ping HTTP/1.0\r\n\r\n")
        local pong = assert(socket:receive "*a"):match "pong"
        socket:close()
        ngx.sleep(0.01)
        ngx.say(first, pong, db:value "SELECT 8")
      end)
    end ]]
    assert.equal("7pong8\n", (site.get "/go"))
    site.assert_all_back()
  end)
end)

it("a worker that is killed in a transaction commits nothing of it, and the next one serves", function()
  s:sql "CREATE OR REPLACE TABLE app.killed (a INT)"
  start [[ function app.go()
    pool:transaction(function(tx)
      tx:query "INSERT INTO killed VALUES (1)"
      os.execute("kill -KILL " .. ngx.worker.pid())
    end)
  end ]]
  assert.equal("000", select(2, site.get "/go"))
  eventually(function()
    return site.value "SELECT COUNT(*) FROM killed" == "0\n"
  end)
  site.assert_all_back()
  site.expects "exited on signal 9"
end)

it("a handler of ngx.on_abort decides: where it exits, the statement is stopped", function()
  start([[ function app.go()
    ngx.on_abort(function() app.told = "gone" ngx.exit(499) end)
    pool:query "SELECT SLEEP(30)"
  end ]], { server = "lua_check_client_abort on;" })
  local leave = site.web:visit "/go"
  site.await_statements("SELECT SLEEP", 1)
  leave()
  await_told "gone"
  site.assert_all_back()
end)

it("TERM in the middle of a statement ends the worker, which tells who had a connection", function()
  local unlock = site.lock()
  start ""
  local running = site.begin_value "UPDATE held SET n = n + 1"
  site.await_statements("UPDATE held", 1)
  site.web:signal "TERM"
  assert.same({ "", "000" }, { running() })
  unlock()
  site.expects "^[^\n]*a connection checked out at content_by_lua[^\n]*was never released$"
end)
