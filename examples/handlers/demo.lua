-- make demo-handlers: the shop, 64 clients at once, and a pool of 8 connections. wrk asks for five
-- seconds (or the number of seconds given); then the books are checked, and the first that does not
-- balance ends this with exit status 1.

local cqueues = require "cqueues"
local thread = require "cqueues.thread"

local books = require "examples.handlers.books"
local httpd = require "examples.handlers.httpd"
local mypool = require "mypool"
local private = require("spec.servers.server").shared()
local shop = require "examples.handlers.shop"

local clients, max_size = 64, 8
local seconds = tonumber(arg[1]) or 5

local events = {}

local function count_event(event)
  events[#events + 1] = event
end

local pool = mypool.new(private:options {
  max_size = max_size,
  name = "shop",
  leak_after = 2,
  on_event = count_event,
  wait = require "mypool.wait.cqueues",
})

-- ---- printing ----

local function chapter(title)
  print(("\n%s\n%s"):format(title, ("-"):rep(#title)))
end

local failed = false

local function proven(ok, words)
  failed = failed or not ok
  print(("  %-10s%s"):format(ok and "ok" or "NOT TRUE", words))
end

local function show(counts)
  local names = {}
  for name in pairs(counts) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    print(("  %-18s %s"):format(name, counts[name]))
  end
end

-- ---- the load ----

local function count_deadlocks()
  local sql = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_DEADLOCKS'"
  return tonumber(pool:value(sql)) or 0
end

-- Runs wrk in a thread, so that this program can serve it meanwhile.
local function load(port)
  local command = ("wrk --threads 2 --connections %d --duration %ds --latency "):format(clients, seconds)
    .. ("--script examples/handlers/wrk.lua http://127.0.0.1:%d"):format(port)
  local worker = assert(thread.start(function(_, text)
    if not os.execute(text) then
      error "wrk failed"
    end
  end, command))
  return worker:join()
end

local function balance(server)
  local confirmed = server.served[201] or 0
  chapter "The books"
  for _, result in ipairs(books.check(pool, confirmed)) do
    proven(result.ok, result.words)
  end
  local stats = pool:stats()
  proven(stats.lent == 0 and stats.waiting == 0, "every connection came back")
  proven(stats.opened <= max_size, ("%d clients were served by %d connections"):format(clients, stats.opened))
  proven(not server.served[500] and not server.served[503], "no request failed")
  proven(#events == 0, "no connection was kept for longer than two seconds")
end

local function demo()
  books.open(pool)
  local server = httpd.listen { port = 0, routes = shop(pool) }
  cqueues.running():wrap(server.run, server)
  chapter(("%d clients, %d connections, %d seconds"):format(clients, max_size, seconds))
  io.stdout:flush()
  local deadlocks = count_deadlocks()
  local ok, err = load(server.port)
  proven(ok and not err, "wrk came to its end")
  server:stop()
  chapter "Answers by status"
  show(server.served)
  print(("  %-18s %d, rolled back and run again unseen"):format("deadlocks", count_deadlocks() - deadlocks))
  chapter "pool:stats()"
  show(pool:stats())
  balance(server)
  books.close(pool)
  pool:close(5)
  os.exit(not failed, true)
end

assert(cqueues.new():wrap(demo):loop())
