-- make demo-openresty: the shop in nginx, two workers with a pool of 8 connections each, and 64 clients, for ten
-- seconds or the number of seconds given. Beside them clients give up; in the middle nginx is reloaded and the server
-- restarted. Then the books are checked, and the first that does not balance ends this with exit status 1.

local books = require "examples.handlers.books"
local cjson = require "cjson"
local mypool = require "mypool"
local nginx = require "spec.servers.nginx"
local server = require("spec.servers.server").shared()

if nginx.why_not() then
  print("skipped: " .. nginx.why_not())
  return
end

local clients, seconds = 64, tonumber(arg[1]) or 10
local pool = mypool.new(server:options { max_size = 1 })

local failed = false

local function proven(ok, words)
  failed = failed or not ok
  print(("  %-10s%s"):format(ok and "ok" or "NOT TRUE", words))
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function start()
  local ok, web
  for _ = 1, 5 do
    local port = math.random(20000, 30000) -- another one when it is taken
    ok, web = pcall(nginx.start, {
      workers = 2,
      main = "env SHOP_SOCKET;",
      env = ("SHOP_SOCKET='%s'"):format(server.socket),
      http = read("examples/openresty/nginx.conf"):gsub("PORT;", port .. ";"),
      server = [[ location = /counts { content_by_lua_block {
        ngx.say(require("cjson").encode(require("examples.openresty.app").counts()))
      } } ]],
    })
    if ok then
      return web, port
    end
  end
  error(web, 0)
end

books.open(pool)
local web, port = start()
print(("\n%d clients, 2 workers with 8 connections each, %d seconds"):format(clients, seconds))
io.stdout:flush()

local load = assert(io.popen(("wrk --threads 2 --connections %d --duration %ds --latency "):format(clients, seconds)
  .. ("--script examples/handlers/wrk.lua http://127.0.0.1:%d"):format(port)))
local storm = assert(io.popen(([[
  for _ in $(seq %d); do
    curl -s --max-time 0.01 -o /dev/null http://127.0.0.1:%d/accounts/[1-20]
    curl -s --max-time 0.01 -o /dev/null -d '{"from":1,"to":2,"cents":1}' http://127.0.0.1:%d/transfers
    sleep 0.1
  done]]):format(seconds * 8, port, port)))
os.execute(("sleep %g"):format(seconds / 3))
web:signal "HUP"
os.execute(("sleep %g"):format(seconds / 3))
server:restart()
print(load:read "a")
storm:read "a"
load:close()
storm:close()

local counts
for _ = 1, 200 do
  counts = cjson.decode((web:get "/counts"))
  if counts.stats.lent == 0 and counts.stats.waiting == 0 then
    break
  end
  os.execute "sleep 0.05"
end

print "Answers by status"
for status, count in pairs(counts.served) do
  print(("  %-18s %d"):format(status, count))
end

print "\nThe books"
pool:evict()
local confirmed, unknown = counts.served["201"] or 0, counts.served.unknown or 0
for i, result in ipairs(books.check(pool, confirmed)) do
  if i < 6 then
    proven(result.ok, result.words)
  end
end
local orders = assert(pool:value "SELECT COUNT(*) FROM orders")
proven(orders > 0 and confirmed <= orders and orders <= confirmed + unknown,
  ("%d orders were confirmed, of %d it is unknown, %d are in the books"):format(confirmed, unknown, orders))
proven(counts.stats.lent == 0 and counts.stats.waiting == 0, "every connection came back")
local complaints = {}
for line in web:quit():gmatch "[^\n]+" do
  if not line:find("shop: ", 1, true) then -- what the restart did to statements under way
    complaints[#complaints + 1] = line
  end
end
proven(#complaints == 0, "nginx has nothing to complain of " .. table.concat(complaints, "\n"))
books.close(pool)
os.exit(not failed, true)
