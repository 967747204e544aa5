-- make demo-cluster: three Galera nodes, one pool, and twelve coroutines that place and look up orders while the first
-- node is killed, comes back, stands still and goes on, in about half a minute. A line each second says which node the
-- orders went to. Then they are counted on every node; what is not true ends this with exit status 1.

local cqueues = require "cqueues"
local galera = require "spec.servers.galera"
local mypool = require "mypool"

io.stdout:setvbuf "line" -- others print between

local reason = galera.reason_against()
if reason then
  print("skipped, as there is no Galera: " .. reason)
  return
end

-- ---- the servers, and what is done to them ----

-- Beside this process, so that the orders go on.
local faults = [[
  server() { bash spec/servers/server.sh "$@" >/dev/null; }
  sleep 3
  echo '-- node 1: kill -9'
  server kill FOLDER
  sleep 3
  echo '-- node 1: started again'
  SERVER=galera server resume FOLDER
  sleep 3
  echo '-- node 1: SIGSTOP: its connections stay open, nobody answers'
  server pause FOLDER
  sleep 6
  echo '-- node 1: SIGCONT'
  server continue FOLDER
  sleep 7
  echo >DONE
]]

local function read(path)
  local file = io.open(path)
  if file then
    local text = file:read "a"
    file:close()
    return text
  end
end

print "starting three Galera nodes …"
local cluster = galera.start(3)
local done = os.tmpname()

local function begin_faults()
  local text = faults:gsub("FOLDER", cluster[1].folder):gsub("DONE", done)
  return assert(io.popen(text, "w"))
end

local function are_over()
  return read(done) ~= ""
end

-- ---- the shop ----

local hosts, numbers = {}, {}
for i, node in ipairs(cluster) do
  hosts[i] = node:address()
  numbers[hosts[i]] = i
end

local pool = mypool.new {
  hosts = hosts,
  user = cluster[1].user,
  password = cluster[1].password,
  database = cluster[1].database,
  max_size = 6,
  wait = require "mypool.wait.cqueues",
  on_event = function(event, details)
    if details.host then
      print(("   %s: node %d %s"):format(event, numbers[details.host], details.reason or ""))
    end
  end,
}

-- A key of its own for each row: what runs twice is seen.
local setup = "CREATE TABLE orders (k CHAR(36) DEFAULT UUID() PRIMARY KEY, id BIGINT NOT NULL, item TEXT, KEY (id))"
local placed, unknown, failures = {}, {}, 0
local reads, orders = { done = 0, failed = 0 }, {}

local function count_failure(id, err)
  if err.executed == "unknown" then
    unknown[id] = true
  else
    failures = failures + 1
    print("   a call failed: " .. tostring(err))
  end
end

-- As pool:query does, but that the connection says where it leads.
local function place(id)
  local conn, err = pool:checkout()
  if not conn then
    return count_failure(id, err)
  end
  local result
  result, err = conn:query("INSERT INTO orders (id, item) VALUES (?, 'tea')", id)
  local host = conn:host() or err and err.host
  conn:release()
  if result then
    placed[id] = true
    orders[host] = (orders[host] or 0) + 1
  else
    count_failure(id, err)
  end
end

local function look_up(id)
  local found = pool:value({ "SELECT COUNT(*) FROM orders WHERE id = ?", idempotent = true }, id)
  reads[found and "done" or "failed"] = reads[found and "done" or "failed"] + 1
end

local function shop(number)
  local id = number * 1000000
  while not are_over() do
    id = id + 1
    place(id)
    look_up(id)
    cqueues.sleep(0.02)
  end
end

-- ---- what is shown ----

local function tell_second(second)
  local cells = {}
  for i, host in ipairs(hosts) do
    cells[i] = ("node %d: %4d"):format(i, orders[host] or 0)
  end
  orders = {}
  print(("%3d s   orders on %s"):format(second, table.concat(cells, "   ")))
end

local function tell()
  local second = 0
  while not are_over() do
    cqueues.sleep(1)
    second = second + 1
    tell_second(second)
  end
end

local failed = false

local function proven(ok, format, ...)
  failed = failed or not ok
  print(("  %-10s%s"):format(ok and "ok" or "NOT TRUE", format:format(...)))
end

local function size(set)
  local count = 0
  for _ in pairs(set) do
    count = count + 1
  end
  return count
end

-- How many orders are on this node, how often one is there twice, how many that were placed are not there, and how many
-- are there that nobody placed.
local function audit(node)
  local found, twice, strangers = {}, 0, 0
  for _, line in ipairs(node:sql "SELECT id FROM app.orders") do
    local id = tonumber(line)
    twice = twice + (found[id] and 1 or 0)
    strangers = strangers + ((placed[id] or unknown[id]) and 0 or 1)
    found[id] = true
  end
  local lost = 0
  for id in pairs(placed) do
    lost = lost + (found[id] and 0 or 1)
  end
  return size(found), twice, lost, strangers
end

assert(pool:query(setup))
local pipe = begin_faults()
local controller = cqueues.new()
for number = 1, 12 do
  controller:wrap(shop, number)
end
controller:wrap(tell)
assert(controller:loop())
pipe:close()
os.remove(done)

print "\nwhat is there"
cluster:await_whole()
for i, node in ipairs(cluster) do
  local all, twice, lost, strangers = audit(node)
  local words = "node %d: %d orders, %d twice, %d lost, %d unasked"
  proven(twice + lost + strangers == 0, words, i, all, twice, lost, strangers)
end
proven(failures == 0, "%d placed; %d calls failed that another node could have served", size(placed), failures)
proven(size(unknown) <= 18, "%d that were on their way to a node that fell are reported as unknown", size(unknown))
proven(reads.failed == 0, "%d looked up, declared as idempotent; %d failed", reads.done, reads.failed)
pool:close()
os.exit(not failed, true)
