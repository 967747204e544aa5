-- HAProxy in front of servers, which get the connections in turn:
--
--     local balancer = haproxy.start { "127.0.0.1:3306", "127.0.0.2:3306" }
--     mypool.new { host = balancer.host, port = balancer.port, … }
--     balancer:stop()

local eventually = require "spec.support.eventually"

local haproxy = {}
haproxy.__index = haproxy

local config = [[
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen mariadb
  bind 127.0.0.1:%d
  balance roundrobin
]]

-- It ends with the pipe, and so with this process.
local command = [[
exec 2>/dev/null
PATH=$PATH:/usr/sbin:/usr/local/sbin
haproxy -db -f '%s' >/dev/null & pid=$!
read -r _
kill $pid
wait $pid
]]

-- Probing the port would take a turn.
local function listens(port)
  local wanted = (":%04X 00000000:0000 0A"):format(port)
  for line in io.lines "/proc/net/tcp" do
    if line:find(wanted, 1, true) then
      return true
    end
  end
end

-- Below 32768 the kernel gives no port to clients.
local function free_port()
  local port
  repeat
    port = math.random(15000, 31999)
  until not listens(port)
  return port
end

function haproxy.start(servers)
  local path, port = os.tmpname(), free_port()
  local file = assert(io.open(path, "w"))
  file:write(config:format(port))
  for i, address in ipairs(servers) do
    file:write(("  server server%d %s\n"):format(i, address))
  end
  assert(file:close())
  local pipe = assert(io.popen(command:format(path), "w"))
  local self = setmetatable({ host = "127.0.0.1", port = port, pipe = pipe, path = path }, haproxy)
  eventually(function()
    return listens(port)
  end)
  return self
end

-- Stopping twice is quiet.
function haproxy:stop()
  if self.pipe then
    self.pipe:close()
    self.pipe = nil
    os.remove(self.path)
  end
end

haproxy.__gc = haproxy.stop
haproxy.__close = haproxy.stop

return { start = haproxy.start }
