-- The ways in which a pool reaches several servers, to be compared with each other under the same faults.

local haproxy = require "spec.servers.haproxy"
local server = require "spec.servers.server"

local cluster_ways = {}

-- HAProxy as most set it up: whoever has the fewest connections gets the next, and whoever lets nobody log in gets
-- none. The first server of the list makes the account for that, which replicates to the others.
function cluster_ways.balancer(servers)
  servers[1]:sql "CREATE USER IF NOT EXISTS watcher@'127.0.0.1'"
  return haproxy.start(server.addresses(servers), { balance = "leastconn", check = "watcher" })
end

-- The first server alone; HAProxy; a pool that knows them all, with each balance.
function cluster_ways.list(servers, balancer)
  local hosts = server.addresses(servers)
  return {
    { name = "one host", options = { host = servers[1].host, port = servers[1].port } },
    { name = "HAProxy", options = { host = balancer.host, port = balancer.port } },
    { name = "first", options = { hosts = hosts } },
    { name = "spread", options = { hosts = hosts, balance = "spread" } },
  }
end

return cluster_ways
