-- mypool in nginx under load: storms of clients that go away, restarts, many requests. Nothing is lost, nothing grows,
-- and no request sees what another one left. With MYPOOL_THOROUGH there are more of them.

local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local quote = require "spec.support.quote"

local s = fixture.server()
local site = require "spec.support.site"(s)
if not site then
  return
end

local thorough = os.getenv "MYPOOL_THOROUGH"

local app = [[
  collectgarbage "restart"

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
      db:query(states[number % #states + 1])
      return ends[math.floor(number / #states) % #ends + 1](db)
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
]]

local function start(options)
  options = options or {}
  site.start {
    workers = options.workers,
    http = site.finish .. (options.http or ""),
    pool = "on_event = function() end", -- no warnings of transactions that are left open
    app = app,
    server = server,
  }
end

-- Begins many requests, one after the other over one connection: the path has curl's [1-100] in it. Returns a function
-- that waits for their end, and returns how many times each status was answered.
local function begin_many(path, options)
  local pipe = assert(io.popen(("curl -s %s --unix-socket %s/http.sock -o /dev/null -w '%%{http_code}\\n' %s"):format(
    options or "",
    site.web.prefix,
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
  site.await_back()
  site.await_statements("SELECT SLEEP", 0)
end

it("serves the good beside a storm of those that go away, and all comes back", function()
  start()
  local storm = {}
  for i = 1, 4 do
    storm[i] = begin_many(("/sleep?n=[1-%d]"):format(thorough and 75 or 15), "--max-time 0.1")
  end
  for i = 5, 6 do
    storm[i] = begin_many "/exit?n=[1-30]"
    storm[i + 2] = begin_many "/kill?n=[1-30]"
  end
  local count = thorough and 3500 or 1000
  local good = begin_many(("/good?n=[1-%d]"):format(count))()
  for i = 1, #storm do
    storm[i]()
  end
  assert.same({ ["200"] = count }, good)
  await_back()
  assert.equal(0, site.stat "forgotten")
  assert.same({ ["200"] = 100 }, begin_many "/good?n=[1-100]"())
end)

it("fails no request while nginx is reloaded and the server restarted", function()
  start { workers = 2 }
  local running = {}
  for i = 1, 3 do
    running[i] = begin_many("/good?n=[1-600]", "-H 'Connection: close'")
  end
  site.web:signal "HUP"
  s:restart()
  site.web:signal "HUP"
  s:kill()
  s:resume()
  for i = 1, 3 do
    assert.same({ ["200"] = 600 }, running[i]())
  end
  eventually(function()
    return #site.web:workers() == 2
  end)
end)

it("shows no request what another one left, whatever that was, over two workers", function()
  start { workers = 2 }
  local clean = site.get "/look"
  assert.match("^none 1 %w+ app utf8mb4 %w+ 1146 false\n$", clean)
  local leaving = { begin_many "/leave?n=[1-320]", begin_many "/leave?n=[1-320]" }
  local seen = {}
  for _ = 1, 4 do
    local command = ("curl -s --unix-socket %s/http.sock 'http://n/look?n=[1-100]'"):format(site.web.prefix)
    local pipe = assert(io.popen(command))
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
  local pipe = assert(io.popen(("ls /proc/%d/%s | wc -l"):format(site.web:workers()[1], kind)))
  local count = tonumber(pipe:read "a")
  pipe:close()
  return count
end

local function worker_memory()
  for line in io.lines(("/proc/%d/status"):format(site.web:workers()[1])) do
    local kib = line:match "^VmRSS:%s*(%d+)"
    if kib then
      return tonumber(kib)
    end
  end
end

it("grows neither in memory nor in descriptors", function()
  if os.getenv "MYPOOL_PRELOAD" then
    pending "sanitizers keep for a while what was freed"
    return
  end
  start()
  local function serve(thousands)
    begin_many(("/good?n=[1-%d]"):format(thousands * 900))()
    begin_many(("/exit?n=[1-%d]"):format(thousands * 100))()
  end
  serve(thorough and 20 or 7)
  local memory, files, size = worker_memory(), worker_files "fd", site.stat "size"
  serve(thorough and 180 or 14)
  local grown = worker_memory() - memory
  assert.is_true(grown < 2048, grown .. " KiB")
  -- A session that was slow may have been given company: it has a socket and up to three descriptors more.
  eventually(function()
    return worker_files "fd" <= files + 1 + 4 * (site.stat "size" - size)
  end)
end)

it("without the code cache has a pool for each request, of which nothing is left", function()
  start { http = "lua_code_cache off;" }
  site.get "/ping"
  local files = worker_files "fd"
  assert.same({ ["200"] = 30 }, begin_many "/good?n=[1-30]"())
  assert.same({ ["404"] = 5 }, begin_many "/exit?n=[1-5]"())
  eventually(function()
    return worker_files "task" == 1 and worker_files "fd" <= files + 1
  end)
  -- nginx says itself that this is for development.
  site.expects "lua_code_cache is off"
end)
