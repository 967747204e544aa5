-- mypool in nginx under load: storms of clients that go away, restarts, many requests. Nothing is lost, nothing grows,
-- and no request sees what another one left.

local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local nginx = require "spec.servers.nginx"
local quote = require "spec.support.quote"

if nginx.why_not() then
  it("mypool in nginx under load", function()
    pending(nginx.why_not())
  end)
  return
end

local s = fixture.server()

local app = [[
  local app = {}
  local nginx = require "mypool.wait.nginx"
  app.pool = require("mypool").new {
    socket = %q, user = "app", password = "secret", database = "app", max_size = 8, checkout_timeout = 20, wait = nginx
  }
  local pool = app.pool

  function app.good()
    local id, err = pool:value { "SELECT 7", idempotent = true }
    if id ~= 7 then
      ngx.status = 500
    end
    ngx.say(tostring(id), err and tostring(err) or "")
  end

  -- What a request may leave, and how it may end.
  local states = {
    "SET @a = 1", "SET SESSION sql_mode = 'ANSI'", "CREATE TEMPORARY TABLE left_over (a INT)", "START TRANSACTION",
    "SELECT GET_LOCK('left', 5)", "SET NAMES latin1", "SET autocommit = 0", "USE information_schema",
  }
  local ends = {
    function() return "released" end,
    function() ngx.exit(404) end,
    function() error "on purpose" end,
    function(db) ngx.thread.spawn(function() db:query "SELECT SLEEP(5)" end) ngx.sleep(0.001) ngx.exit(404) end,
  }
  function app.leave()
    local number = tonumber(ngx.var.arg_n)
    pool:with(function(db)
      db:query(states[number %% #states + 1])
      return ends[math.floor(number / #states) %% #ends + 1](db)
    end)
  end

  function app.look()
    pool:with(function(db)
      local seen = db:value "SELECT CONCAT_WS(' ', IFNULL(@a, 'none'), @@sql_mode = @@global.sql_mode, @@autocommit,\
        DATABASE(), @@character_set_client, IS_USED_LOCK('left') <=> CONNECTION_ID())"
      local _, err = db:query "SELECT 1 FROM left_over"
      ngx.say(seen, " ", err.errno, " ", tostring(db:in_transaction()))
    end)
  end
  return app
]]

local server = [[
  lua_check_client_abort on;
  location = /good { content_by_lua_block { require("app").good() } }
  location = /leave { content_by_lua_block { pcall(require("app").leave) } }
  location = /look { content_by_lua_block { require("app").look() } }
  location = /sleep { content_by_lua_block { require("app").pool:query "SELECT SLEEP(3)" } }
  location = /exit { content_by_lua_block {
    local pool = require("app").pool
    pool:with(function(db) db:query "SELECT 1" ngx.exit(404) end)
  } }
  location = /kill { content_by_lua_block {
    local pool = require("app").pool
    local thread = ngx.thread.spawn(function() pool:query "SELECT SLEEP(3)" end)
    ngx.sleep(0.05)
    ngx.thread.kill(thread)
  } }
  location = /stat { content_by_lua_block { ngx.say(require("app").pool:stats()[ngx.var.arg_of]) } }
]]

local web

local function start(options)
  options = options or {}
  web = nginx.start {
    workers = options.workers,
    http = [[log_by_lua_block { require("mypool.wait.nginx").finish() } ]] .. (options.http or ""),
    app = app:format(s.socket),
    server = server,
  }
end

after_each(function()
  local complaints = web and web:quit() or ""
  web = nil
  assert.equal("", complaints)
  s:await_empty()
end)

-- Begins many requests, one after the other over one connection: the path has curl's [1-100] in it. Returns a function
-- that waits for their end, and returns how many times each status was answered.
local function begin_many(path, options)
  local pipe = assert(io.popen(("curl -s %s --unix-socket %s/http.sock -o /dev/null -w '%%{http_code}\\n' %s"):format(
    options or "",
    web.prefix,
    quote("http://n" .. path)
  )))
  return function()
    local counts = {}
    for status in pipe:lines() do
      counts[status] = (counts[status] or 0) + 1
    end
    pipe:close()
    return counts
  end
end

local function await_back()
  eventually(function()
    return (web:get "/stat?of=lent") == "0\n" and (web:get "/stat?of=waiting") == "0\n"
  end)
  eventually(function()
    return #s:sql "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'" == 0
  end)
end

it("serves the good beside a storm of those that go away, and all comes back", function()
  start()
  local storm = {}
  for i = 1, 4 do
    storm[i] = begin_many("/sleep?n=[1-15]", "--max-time 0.1")
  end
  for i = 5, 6 do
    storm[i] = begin_many "/exit?n=[1-30]"
    storm[i + 2] = begin_many "/kill?n=[1-30]"
  end
  local good = begin_many "/good?n=[1-1000]"()
  for i = 1, #storm do
    storm[i]()
  end
  assert.same({ ["200"] = 1000 }, good)
  await_back()
  assert.equal("0\n", (web:get "/stat?of=forgotten"))
  assert.same({ ["200"] = 100 }, begin_many "/good?n=[1-100]"())
end)

it("fails no request while nginx is reloaded and the server restarted", function()
  start { workers = 2 }
  local running = {}
  for i = 1, 3 do
    running[i] = begin_many("/good?n=[1-600]", "-H 'Connection: close'")
  end
  web:signal "HUP"
  s:restart()
  web:signal "HUP"
  s:kill()
  s:resume()
  for i = 1, 3 do
    assert.same({ ["200"] = 600 }, running[i]())
  end
  eventually(function()
    return #web:workers() == 2
  end)
end)

it("shows no request what another one left, whatever that was, over two workers", function()
  start { workers = 2 }
  local clean = web:get "/look"
  assert.match("^none 1 %w+ app utf8mb4 %w+ 1146 false\n$", clean)
  local leaving = { begin_many "/leave?n=[1-320]", begin_many "/leave?n=[1-320]" }
  local seen = {}
  for _ = 1, 4 do
    local pipe = assert(io.popen(("curl -s --unix-socket %s/http.sock 'http://n/look?n=[1-100]'"):format(web.prefix)))
    for line in pipe:lines() do
      seen[line .. "\n"] = (seen[line .. "\n"] or 0) + 1
    end
    pipe:close()
  end
  leaving[1]()
  leaving[2]()
  assert.same({ [clean] = 400 }, seen)
  await_back()
end)

local function worker_files(kind)
  local pipe = assert(io.popen(("ls /proc/%d/%s | wc -l"):format(web:workers()[1], kind)))
  local count = tonumber(pipe:read "a")
  pipe:close()
  return count
end

local function worker_memory()
  for line in io.lines(("/proc/%d/status"):format(web:workers()[1])) do
    local kib = line:match "^VmRSS:%s*(%d+)"
    if kib then
      return tonumber(kib)
    end
  end
end

it("grows neither in memory nor in descriptors", function()
  start()
  begin_many "/good?n=[1-6000]"()
  begin_many "/exit?n=[1-1000]"()
  local memory, files = worker_memory(), worker_files "fd"
  begin_many "/good?n=[1-12000]"()
  begin_many "/exit?n=[1-2000]"()
  local grown = worker_memory() - memory
  assert.is_true(grown < 2048, grown .. " KiB")
  assert.is_true(worker_files "fd" <= files + 1)
end)

it("without the code cache has a pool for each request, of which nothing is left", function()
  start { http = "lua_code_cache off;" }
  web:get "/ping"
  local files = worker_files "fd"
  assert.same({ ["200"] = 30 }, begin_many "/good?n=[1-30]"())
  assert.same({ ["404"] = 5 }, begin_many "/exit?n=[1-5]"())
  eventually(function()
    return worker_files "task" == 1 and worker_files "fd" <= files + 1
  end)
  -- nginx says itself that this is for development.
  local log = web:complaints()
  assert.match("lua_code_cache is off", log)
  web:quit()
  web = nil
end)
