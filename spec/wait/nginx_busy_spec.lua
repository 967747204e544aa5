-- A worker of nginx serves others while requests wait in mypool, for whatever it is.

local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local resolver = require "spec.servers.resolver"
local tls = require "spec.servers.tls"

local s = fixture.server { tls = true }
local r = fixture.relay(s)

after_each(function()
  r:throttle(0)
  r:release()
end)

local site = require "spec.support.site"(s)
if not site then
  return
end

-- A worker that is blocked answers nothing until what it waits for has come, which a spec sees to after this.
local function assert_serves_others()
  for _ = 1, 5 do
    assert.equal("pong\n", (site.get "/ping"))
  end
end

local function begin(count, sql)
  local running = {}
  for i = 1, count do
    running[i] = site.begin_value(sql)
  end
  return running
end

local function assert_all(expected, running)
  for _, wait in ipairs(running) do
    assert.same({ expected, "200" }, { wait() })
  end
end

describe("a worker serves others", function()
  it("while statements wait for a lock, and checkouts in line", function()
    local unlock = site.lock()
    site.start { max_size = 8 }
    local running = begin(16, "UPDATE held SET n = n + 1")
    site.await_statements("UPDATE held", 8)
    site.await_stat("waiting", 8)
    assert_serves_others()
    unlock()
    assert_all("nil\n", running)
    assert.equal("16", s:sql("SELECT n FROM app.held")[1])
    assert.equal(8, site.stat "opened")
  end)

  it("while it connects to a port that is silent", function()
    site.start { at = ("host = %q, port = %d"):format(r.host, r.port), pool = "connect_timeout = 60" }
    r:hold()
    local running = begin(4, "SELECT 7")
    eventually(function()
      return site.stat "opening" == 4
    end)
    assert_serves_others()
    r:release()
    assert_all("7\n", running)
  end)

  it("while 32 connects are in the middle of TLS", function()
    if not resolver.knows "localhost" then
      return pending "this system does not know localhost"
    end
    site.start {
      max_size = 32,
      at = ("host = 'localhost', port = %d"):format(r.port),
      pool = ("connect_timeout = 60, tls = { ca = %q }"):format(tls.path "ca"),
    }
    r:throttle(100) -- bytes a second: TLS takes thousands, and what comes before it about a hundred
    local has_cipher = "SELECT VARIABLE_VALUE <> '' FROM information_schema.SESSION_STATUS"
    local running = begin(32, has_cipher .. " WHERE VARIABLE_NAME = 'Ssl_cipher'")
    eventually(function()
      return r:stats().down > 32 * 150
    end, nil, 60)
    assert_serves_others()
    assert.equal(32, site.stat "opening")
    r:throttle(0)
    assert_all("1\n", running)
  end)

  it("while rows come slowly to one who reads them as they come", function()
    site.start {
      at = ("host = %q, port = %d"):format(r.host, r.port),
      app = [[ app.seen = 0
        function app.stream()
          for _ in pool:rows "SELECT seq, REPEAT('x', 100) FROM seq_1_to_5000" do app.seen = app.seen + 1 end
          ngx.say(app.seen)
        end ]],
      server = [[
        location = /stream { content_by_lua_block { require("app").stream() } }
        location = /seen { content_by_lua_block { ngx.say(require("app").seen) } }
      ]],
    }
    r:cut("down", 100000, "hold")
    local streaming = site.web:begin "/stream"
    eventually(function()
      return tonumber((site.get "/seen")) > 100
    end)
    assert_serves_others()
    assert.is_true(tonumber((site.get "/seen")) < 1000)
    r:release()
    assert.same({ "5000\n", "200" }, { streaming() })
  end)
end)

it("cuts what is under way when worker_shutdown_timeout is over, and the worker ends", function()
  local unlock = site.lock()
  site.start { main = "worker_shutdown_timeout 1s;", pool = "query_timeout = 60" }
  local running = site.begin_value "UPDATE held SET n = n + 1"
  site.await_statements("UPDATE held", 1)
  local complaints = site.quit()
  unlock()
  assert.equal("", complaints)
  assert.same({ "", "000" }, { running() })
end)
