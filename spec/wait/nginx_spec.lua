-- mypool in nginx: where a pool is of use, where it is not, and what becomes of it with its worker.

local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local program = require "spec.support.program"

-- This needs no nginx.
describe("the adapter outside of nginx's http blocks", function()
  for words, setting in pairs {
    ["needs nginx with lua-nginx-module 0.10.16 or later"] = "subsystem = 'http', ngx_lua_version = 10015",
    ["works in nginx's http blocks, not in stream"] = "subsystem = 'stream', ngx_lua_version = 10023",
  } do
    it("says that it " .. words, function()
      local text = "ngx = { config = { %s } } print(pcall(require, 'mypool.wait.nginx'))"
      local printed = program(text:format(setting))
      assert.truthy(printed:find("false%s+.*mypool%.wait%.nginx " .. words:gsub("%p", "%%%0")), printed)
    end)
  end
end)

local s = fixture.server()
local site = require "spec.support.site"(s)
if not site then
  return
end

describe("a pool", function()
  it("returns the values of a success and no more", function()
    site.start {
      server = [[ location = /count { content_by_lua_block {
        local pool = require("app").pool
        local t = {}
        table.insert(t, pool:value "SELECT 7")
        ngx.say(select("#", pool:value "SELECT 7"), select("#", pool:one "SELECT 7"),
          select("#", pool:query "SELECT 7"),
          select("#", pool:ping()), select("#", pool:checkout()), #t)
      } } ]],
    }
    assert.equal("111111\n", (site.get "/count"))
    site.expects "" -- the checkout is never released
  end)

  it("waits for the whole of a time limit, and stops the statement", function()
    site.start { pool = "query_timeout = 0.3" }
    assert.match("no answer within 0.3 s %(query_timeout%)", site.value "SELECT SLEEP(20)")
    site.assert_all_back()
  end)
end)

describe("where nothing can wait", function()
  for phase, directive in pairs {
    log = "content_by_lua_block { ngx.say 'x' } log_by_lua_block",
    header_filter = "content_by_lua_block { ngx.say 'x' } header_filter_by_lua_block",
    body_filter = "content_by_lua_block { ngx.say 'x' } body_filter_by_lua_block",
    set = "content_by_lua_block { ngx.say 'x' } set_by_lua_block $x",
  } do
    it("in the phase " .. phase .. " it says so, and no slot is lost", function()
      site.start {
        max_size = 1,
        app = [[ function app.try()
          local ok, err = pcall(function() return app.pool:query "SELECT SLEEP(3)" end)
          if not ok then app.told = err end
        end ]],
        server = ([[
          location = /it { %s { require("app").try() } }
          location = /told { content_by_lua_block { ngx.say(require("app").told) } }
        ]]):format(directive),
      }
      site.get "/it"
      assert.match("mypool cannot wait here: in the phase " .. phase .. " %(use ngx.timer.at%)", (site.get "/told"))
      site.assert_all_back()
    end)
  end

  it("in a C function it says so, and no slot is lost", function()
    site.start {
      max_size = 1,
      server = [[ location = /it { content_by_lua_block {
        local pool = require("app").pool
        ngx.say(select(2, pcall(string.gsub, "x", "x", function() pool:query "SELECT SLEEP(3)" end)))
      } } ]],
    }
    assert.match("mypool cannot wait here: inside of string.gsub", (site.get "/it"))
    site.assert_all_back()
  end)
end)

describe("a pool", function()
  it("serves rewrite, access, content, timers, threads, coroutines and subrequests", function()
    site.start {
      app = [[ function app.seven() return assert(app.pool:value "SELECT 7 + SLEEP(0.01)") end ]],
      server = [[
        location = /all {
          rewrite_by_lua_block { ngx.ctx.a = require("app").seven() }
          access_by_lua_block { ngx.ctx.b = require("app").seven() }
          content_by_lua_block {
            local app, c, d, e, f = require "app"
            local done = require("ngx.semaphore").new(0)
            assert(ngx.timer.at(0, function() c = app.seven() done:post(1) end))
            assert(done:wait(5))
            local thread = ngx.thread.spawn(function() d = app.seven() end)
            ngx.thread.wait(thread)
            coroutine.wrap(function() e = app.seven() end)()
            f = tonumber(ngx.location.capture("/sub").body)
            ngx.say(ngx.ctx.a, ngx.ctx.b, c, d, e, f)
          }
        }
        location = /sub { content_by_lua_block { ngx.say(require("app").seven()) } }
      ]],
    }
    assert.equal("777777\n", (site.get "/all"))
    site.assert_all_back()
  end)

  it("made and used in init_by_lua is of use to each worker, on sessions of its own, also after HUP", function()
    site.start {
      workers = 2,
      http = [[ init_by_lua_block { assert(require("app").pool:ping()) }
        init_worker_by_lua_block { assert(require("app").pool:ping()) } ]],
    }
    for round = 1, 2 do
      local ids = {}
      for _ = 1, 40 do
        ids[site.value "SELECT CONNECTION_ID()"] = true
      end
      assert.is_nil(ids["nil\n"])
      if round == 1 then
        local before = site.web:workers()
        site.web:signal "HUP"
        eventually(function()
          local workers = site.web:workers()
          return #workers == 2 and workers[1] ~= before[1] and workers[2] ~= before[2]
        end)
      end
    end
  end)

  it("ends with its worker: a statement under way at QUIT is answered first", function()
    local unlock = site.lock()
    site.start()
    local running = site.begin_value "UPDATE held SET n = n + 1"
    site.await_statements("UPDATE held", 1)
    site.web:signal "QUIT"
    eventually(function()
      return site.web:log():find "gracefully shutting down"
    end)
    unlock()
    assert.same({ "nil\n", "200" }, { running() })
  end)

  it("whose worker is idle has neither thread nor socket, and is at work again when asked", function()
    site.start()
    assert.equal("7\n", site.value "SELECT 7")
    local worker = site.web:workers()[1]
    local function threads()
      local pipe = io.popen(("ls /proc/%d/task | wc -l"):format(worker))
      local count = tonumber(pipe:read "a")
      pipe:close()
      return count
    end
    eventually(function()
      return threads() == 1
    end)
    assert.equal("0\n", site.value "SELECT SLEEP(0.1)")
    site.assert_all_back()
  end)

  it("polls where there is no place for the socket, and says so every ten seconds", function()
    local unlock, begun = site.lock(), os.time()
    site.start { env = "TMPDIR=/nonexistent" }
    local running = {}
    for i = 1, 8 do
      running[i] = site.begin_value "UPDATE held SET n = n + 1"
    end
    site.await_statements("UPDATE held", 8)
    assert.equal("pong\n", (site.get "/ping"))
    unlock()
    for i = 1, 8 do
      assert.equal("nil\n", (running[i]()))
    end
    site.assert_all_back()
    local _, count = site.web:log():gsub("polls instead of being told", "")
    assert.is_true(count <= 1 + (os.time() - begun) / 10, site.web:log())
    site.expects "%[warn%].*no socket in TMPDIR or /tmp: No such file or directory"
  end)

  it("serves while the server is killed and comes back: no request fails", function()
    site.start()
    assert.equal("7\n", site.value "SELECT 7")
    s:kill()
    local running = {}
    for i = 1, 10 do
      running[i] = site.begin_value "SELECT 7"
    end
    s:resume()
    for i = 1, 10 do
      assert.same({ "7\n", "200" }, { running[i]() })
    end
  end)
end)
