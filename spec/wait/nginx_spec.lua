-- mypool in nginx: no worker is blocked, and what a request leaves behind, however it ends, comes back.

local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local nginx = require "spec.servers.nginx"

if nginx.why_not() then
  it("mypool in nginx", function()
    pending(nginx.why_not())
  end)
  return
end

local s = fixture.server()

-- The collector is stopped: nothing comes back by chance.
local app = [[
  local app = {}
  collectgarbage "stop"
  local nginx = require "mypool.wait.nginx"
  app.pool = require("mypool").new {
    socket = %q, user = "app", password = "secret", database = "app", name = "shop",
    max_size = %d, checkout_timeout = %g, wait = nginx%s
  }
  local pool = app.pool

  -- Answers what runs finds: the words of an error, or the value.
  function app.say(value, err)
    ngx.say(err and tostring(err) or tostring(value))
  end

  %s
  return app
]]

local common = [[
  location = /value { content_by_lua_block {
    local app = require "app"
    app.say(app.pool:value(ngx.unescape_uri(ngx.var.arg_sql)))
  } }
  location = /stat { content_by_lua_block { ngx.say(require("app").pool:stats()[ngx.var.arg_of]) } }
]]

local web

local function start(options)
  options = options or {}
  web = nginx.start {
    workers = options.workers,
    main = options.main,
    env = options.env,
    http = options.http,
    app = app:format(
      s.socket,
      options.max_size or 8,
      options.checkout_timeout or 5,
      options.pool and ", " .. options.pool or "",
      options.app or ""
    ),
    server = common .. (options.server or ""),
  }
  return web
end

local function value(sql)
  return "/value?sql=" .. sql:gsub("[^%w]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end)
end

local function stat(of)
  return tonumber((web:get("/stat?of=" .. of)))
end

local function statements(text)
  return #s:sql(("SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE '%s%%'"):format(text))
end

local function await_statement(text)
  eventually(function()
    return statements(text) > 0
  end)
end

local function await_back()
  eventually(function()
    return stat "lent" == 0 and stat "waiting" == 0
  end)
end

-- What a request did is over, on both sides; the pool serves, from a session that nothing was left in.
local function assert_all_back(text)
  await_back()
  eventually(function()
    return statements(text) == 0
  end)
  assert.equal("7\n", (web:get(value "SELECT 7")))
  assert.equal("nil\n", (web:get(value "SELECT @a")))
end

-- Whatever a spec asserts, nginx ends in good order, and has nothing to complain of.
local expected

before_each(function()
  expected = nil
end)

after_each(function()
  local complaints = web and web:quit() or ""
  web = nil
  if expected then
    assert.match(expected, complaints)
  else
    assert.equal("", complaints)
  end
  s:await_empty()
end)

describe("a worker", function()
  it("answers others while statements run, connects go on and checkouts wait in line", function()
    start()
    local begun, running = os.time(), {}
    for i = 1, 16 do
      running[i] = web:begin(value "SELECT SLEEP(1)")
    end
    await_statement "SELECT SLEEP"
    for _ = 1, 5 do
      assert.equal("pong\n", (web:get("/ping", { seconds = 0.9 })))
    end
    assert.is_true(statements "SELECT SLEEP" > 0, "the statements were over before")
    for i = 1, 16 do
      assert.same({ "0\n", "200" }, { running[i]() })
    end
    assert.is_true(os.time() - begun < 10, "they ran one after the other")
    assert.equal(8, stat "size")
  end)

  it("returns the values of a success and no more", function()
    start {
      server = [[ location = /count { content_by_lua_block {
        local pool = require("app").pool
        local t = {}
        table.insert(t, pool:value "SELECT 7")
        ngx.say(select("#", pool:value "SELECT 7"), select("#", pool:one "SELECT 7"),
          select("#", pool:query "SELECT 7"),
          select("#", pool:ping()), select("#", pool:checkout()), #t)
      } } ]],
    }
    assert.equal("111111\n", (web:get "/count"))
    expected = "" -- the checkout is never released
  end)

  it("waits for the whole of a time limit, and stops the statement", function()
    start { pool = "query_timeout = 0.3" }
    assert.match("no answer within the time limit", (web:get(value "SELECT SLEEP(20)")))
    assert_all_back "SELECT SLEEP"
  end)
end)

describe("a client that goes away", function()
  it("in a statement: it is stopped, the slot is back, the session clean and used again", function()
    start {
      max_size = 1,
      server = [[ location = /abort { lua_check_client_abort on; content_by_lua_block {
        local pool = require("app").pool
        pool:with(function(db)
          db:query "SET @a = 1"
          db:query "SELECT SLEEP(30)"
        end)
      } } ]],
    }
    local opened
    for _ = 1, 3 do
      web:give_up("/abort", 0.3)
      assert_all_back "SELECT SLEEP"
      opened = opened or stat "opened"
    end
    assert.equal(3, stat "abandoned")
    assert.equal(0, stat "forgotten")
  end)

  it("in line: its place is free", function()
    start {
      max_size = 1,
      server = [[ location = /abort { lua_check_client_abort on; content_by_lua_block {
        require("app").pool:query "SELECT 1"
      } } ]],
    }
    local holder = web:begin(value "SELECT SLEEP(2)")
    await_statement "SELECT SLEEP"
    web:give_up("/abort", 0.2)
    eventually(function()
      return stat "waiting" == 0
    end)
    assert.is_true(statements "SELECT SLEEP" > 0, "the holder was done before")
    assert.equal("0\n", (holder()))
    assert_all_back "SELECT SLEEP"
  end)

  it("is not looked for without lua_check_client_abort: the statement runs to its end", function()
    start {
      server = [[ location = /stay { content_by_lua_block { require("app").pool:query "SELECT SLEEP(1)" } } ]],
    }
    web:give_up("/stay", 0.2)
    assert_all_back "SELECT SLEEP"
    assert.equal(0, stat "abandoned")
  end)
end)

describe("a request that ends itself", function()
  local finish = [[log_by_lua_block { require("mypool.wait.nginx").finish() }]]
  local ends = {
    ["by ngx.exit in pool:with"] = [[pool:with(function(db) db:query "SET @a = 1" ngx.exit(404) end)]],
    ["by ngx.exit with a connection in hand"] = [[local db = pool:checkout() db:query "SET @a = 1" ngx.exit(404)]],
    ["by ngx.redirect in a transaction"] = [[pool:transaction(function(tx) tx:query "DO 1" ngx.redirect "/ping" end)]],
    ["by ngx.exec in a loop over rows"] = [[for _ in pool:rows "SELECT 1 UNION SELECT 2" do ngx.exec "/ping" end]],
    ["by ngx.exit beside a thread that queries"] = [[
      ngx.thread.spawn(function() pool:query "SELECT SLEEP(30)" end)
      ngx.sleep(0.2)
      ngx.exit(404)]],
    ["by killing its thread in a statement"] = [[
      local thread = ngx.thread.spawn(function() pool:query "SELECT SLEEP(30)" end)
      ngx.sleep(0.2)
      ngx.thread.kill(thread)]],
  }
  for name, code in pairs(ends) do
    it(name .. " gives all back at once", function()
      start {
        max_size = 1,
        http = finish,
        server = ("location = /end { content_by_lua_block { local pool = require('app').pool %s } }"):format(code),
      }
      for _ = 1, 3 do
        web:get "/end"
        assert_all_back "SELECT SLEEP"
      end
      assert.equal(0, stat "forgotten")
      assert.equal("0", s:sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX")[1])
    end)
  end

  it("without finish() leaves its connections to the collector, and who waits in line asks for it", function()
    start {
      max_size = 2,
      pool = "leak_after = 100",
      server = [[ location = /end { content_by_lua_block {
        local db = require('app').pool:checkout() ngx.exit(404)
      } } ]],
    }
    web:get "/end"
    web:get "/end"
    assert.equal(2, stat "lent")
    assert.equal("7\n", (web:get(value "SELECT 7", { seconds = 5 })))
    expected = "was never released"
  end)

  it("by an error is answered with 500, and the log has its words", function()
    start {
      max_size = 1,
      http = finish,
      server = [[ location = /end { content_by_lua_block {
        require("mypool.wait.nginx").call(function()
          local _, err = require("app").pool:query "SELECT nonsense"
          error(err)
        end)
      } } ]],
    }
    assert.equal("500", select(2, web:get "/end"))
    assert_all_back "SELECT nonsense"
    expected = "Unknown column 'nonsense'.*stack traceback"
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
      start {
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
      web:get "/it"
      assert.match("mypool cannot wait here: in the phase " .. phase .. " %(use ngx.timer.at%)", (web:get "/told"))
      assert_all_back "SELECT SLEEP"
    end)
  end

  it("in a C function it says so, and no slot is lost", function()
    start {
      max_size = 1,
      server = [[ location = /it { content_by_lua_block {
        local pool = require("app").pool
        ngx.say(select(2, pcall(string.gsub, "x", "x", function() pool:query "SELECT SLEEP(3)" end)))
      } } ]],
    }
    assert.match("mypool cannot wait here: inside of string.gsub", (web:get "/it"))
    assert_all_back "SELECT SLEEP"
  end)
end)

describe("a pool", function()
  it("serves rewrite, access, content, timers, threads, coroutines and subrequests", function()
    start {
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
    assert.equal("777777\n", (web:get "/all"))
    assert_all_back "SELECT SLEEP"
  end)

  it("made and used in init_by_lua is of use to each worker, on sessions of its own, also after HUP", function()
    start {
      workers = 2,
      http = [[ init_by_lua_block { assert(require("app").pool:ping()) }
        init_worker_by_lua_block { assert(require("app").pool:ping()) } ]],
    }
    for round = 1, 2 do
      local ids = {}
      for _ = 1, 40 do
        ids[(web:get(value "SELECT CONNECTION_ID()"))] = true
      end
      assert.is_nil(ids["nil\n"])
      if round == 1 then
        local before = web:workers()
        web:signal "HUP"
        eventually(function()
          local workers = web:workers()
          return #workers == 2 and workers[1] ~= before[1] and workers[2] ~= before[2]
        end)
      end
    end
  end)

  it("ends with its worker: a statement under way at QUIT is answered first", function()
    start()
    local running = web:begin(value "SELECT SLEEP(1)")
    await_statement "SELECT SLEEP"
    assert.equal("", web:quit())
    assert.same({ "0\n", "200" }, { running() })
    web = nil
  end)

  it("whose worker is idle has neither thread nor socket, and is at work again when asked", function()
    start()
    assert.equal("7\n", (web:get(value "SELECT 7")))
    local worker = web:workers()[1]
    local function threads()
      local pipe = io.popen(("ls /proc/%d/task | wc -l"):format(worker))
      local count = tonumber(pipe:read "a")
      pipe:close()
      return count
    end
    eventually(function()
      return threads() == 1
    end)
    assert.equal("0\n", (web:get(value "SELECT SLEEP(0.1)")))
    assert_all_back "SELECT SLEEP"
  end)

  it("polls where there is no place for the socket, and says so once", function()
    start { env = "TMPDIR=/nonexistent" }
    local running = {}
    for i = 1, 8 do
      running[i] = web:begin(value "SELECT SLEEP(0.5)")
    end
    await_statement "SELECT SLEEP"
    assert.equal("pong\n", (web:get "/ping"))
    for i = 1, 8 do
      assert.equal("0\n", (running[i]()))
    end
    assert_all_back "SELECT SLEEP"
    local log = web:log()
    local _, count = log:gsub("polls instead of being told", "")
    assert.equal(1, count, log)
    expected = "%[warn%].*no socket in TMPDIR or /tmp: No such file or directory"
  end)

  it("serves while the server is killed and comes back: no request fails", function()
    start()
    assert.equal("7\n", (web:get(value "SELECT 7")))
    s:kill()
    local running = {}
    for i = 1, 10 do
      running[i] = web:begin(value "SELECT 7")
    end
    s:resume()
    for i = 1, 10 do
      assert.same({ "7\n", "200" }, { running[i]() })
    end
  end)
end)
