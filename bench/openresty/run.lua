-- make bench-openresty: what a request with one point select costs in nginx, by mypool and by a yardstick: the least
-- that a client on a cosocket does (yardstick.lua), or lua-resty-mysql where RESTY_MYSQL names the folder that has
-- resty/mysql.lua. Contenders take turns; ratios are those within a round, and the table has their medians.

local nginx = require "spec.servers.nginx"
local server = require("spec.servers.server").shared()

if nginx.why_not() then
  print("skipped: " .. nginx.why_not())
  return
end

local rounds, seconds = tonumber(os.getenv "ROUNDS") or 9, tonumber(os.getenv "SECONDS") or 2
local resty = os.getenv "RESTY_MYSQL"

server:sql [[
  CREATE OR REPLACE TABLE app.item (id INT PRIMARY KEY, name VARCHAR(40));
  INSERT INTO app.item SELECT seq, CONCAT('item no. ', seq) FROM seq_1_to_1000]]

local app = [[
  local app = {}
  local account = { socket = %q, path = %q, user = "app", password = "secret", database = "app", size = 64 }
  local function pool(reset)
    return require("mypool").new {
      socket = account.socket, user = account.user, password = account.password, database = account.database,
      max_size = 64, reset = reset, wait = require "mypool.wait.nginx"
    }
  end
  local never, always = pool "never", pool "always"
  local sql = "SELECT id, name FROM item WHERE id = "
  local id = 0
  local function next_id()
    id = id %% 1000 + 1
    return id
  end
  function app.yardstick()
    ngx.say(require("bench.openresty.yardstick").one(account, sql .. next_id())[2])
  end
  function app.resty()
    local db = require("resty.mysql"):new()
    assert(db:connect(account))
    ngx.say(db:query(sql .. next_id())[1].name)
    db:set_keepalive(60000, 64)
  end
  function app.never() ngx.say(never:one(sql .. "?", next_id()).name) end
  function app.always() ngx.say(always:one(sql .. "?", next_id()).name) end
  return app]]

local locations = {}
for _, name in ipairs { "yardstick", "resty", "never", "always" } do
  locations[#locations + 1] = ("location = /%s { content_by_lua_block { require('app').%s() } }"):format(name, name)
end

local port = math.random(20000, 30000)
local web = nginx.start {
  app = app:format(server.socket, server.socket),
  http = ("init_by_lua_block { package.path = package.path .. ';%s/?.lua' require 'app' }"):format(resty or ""),
  server = ("listen 127.0.0.1:%d; keepalive_requests 1000000; %s"):format(port, table.concat(locations, " ")),
}
local worker = web:workers()[1]

-- Seconds that the worker has had of a CPU.
local function cpu()
  local file <close> = assert(io.open(("/proc/%d/schedstat"):format(worker)))
  return file:read "n" / 1e9
end

local scale = { us = 1e-6, ms = 1e-3, s = 1 }

local function time_of(text, percentile)
  local number, unit = text:match(percentile .. "%%%s+([%d.]+)(%a+)")
  return tonumber(number) * scale[unit]
end

local function measure(name, clients)
  local before = cpu()
  local wrk = "wrk --threads 1 --connections %d --duration %gs --latency http://127.0.0.1:%d/%s"
  local pipe = assert(io.popen(wrk:format(clients, seconds, port, name)))
  local text = pipe:read "a"
  pipe:close()
  assert(not text:find "Non%-2xx", text)
  local requests = tonumber(text:match "(%d+) requests in")
  return {
    cpu = (cpu() - before) / requests,
    rate = requests / seconds,
    p50 = time_of(text, "50"),
    p99 = time_of(text, "99"),
  }
end

local function median(values)
  table.sort(values)
  return values[math.floor(#values / 2) + 1]
end

local yard = resty and "resty" or "yardstick"
print(("One worker; ratios to %s, medians of %d rounds of %g s"):format(yard, rounds, seconds))
print "clients  contender   CPU/request  requests/s  p50   p99"
for _, clients in ipairs { 16, 64 } do
  local contenders, ratios = { "never", "always", "ping" }, {}
  for _ = 1, rounds do
    local base = measure(yard, clients)
    for _, name in ipairs(contenders) do
      local found = measure(name, clients)
      ratios[name] = ratios[name] or { cpu = {}, rate = {}, p50 = {}, p99 = {} }
      for what, list in pairs(ratios[name]) do
        list[#list + 1] = found[what] / base[what]
      end
    end
  end
  for _, name in ipairs(contenders) do
    local r = ratios[name]
    print(("%7d  %-10s  %11.2f  %10.2f  %.2f  %.2f"):format(
      clients, name, median(r.cpu), median(r.rate), median(r.p50), median(r.p99)))
  end
end
print(web:quit())
