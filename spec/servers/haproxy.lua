-- HAProxy in front of servers, which get the connections in turn, or as `options` say: `balance` is HAProxy's word,
-- `check` an account without a password, as which it logs in twice a second to see that a server is up.
--
--     local balancer = haproxy.start { "127.0.0.1:3306", "127.0.0.2:3306" }
--     mypool.new { host = balancer.host, port = balancer.port, … }
--     balancer:stop()

local eventually = require "spec.support.eventually"
local ports = require "spec.servers.ports"

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
  balance %s
]]

local check = [[
  option mysql-check user %s
  default-server check inter 500 on-marked-down shutdown-sessions
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

function haproxy.start(servers, options)
  options = options or {}
  local path, port = os.tmpname(), ports.free(1)
  local file = assert(io.open(path, "w"))
  file:write(config:format(port, options.balance or "roundrobin"))
  file:write(options.check and check:format(options.check) or "")
  for i, address in ipairs(servers) do
    file:write(("  server server%d %s\n"):format(i, address))
  end
  assert(file:close())
  local pipe = assert(io.popen(command:format(path), "w"))
  local self = setmetatable({ host = "127.0.0.1", port = port, pipe = pipe, path = path }, haproxy)
  eventually(function()
    return ports.is_taken(port)
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
