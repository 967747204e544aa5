-- A Galera cluster of real nodes on loopback:
--
--     local cluster = galera.start()
--     local pool = mypool.new(cluster[1]:tcp_options())
--     cluster:isolate(cluster[1])
--
-- The nodes are servers (spec/servers/server.lua) of the kind "galera", which is fetched into build/servers. They stop,
-- are killed, paused and resumed like any other; resume returns when the node takes part again.

local eventually = require "spec.support.eventually"
local ports = require "spec.servers.ports"
local server = require "spec.servers.server"
local sleep = require "spec.support.sleep"

local galera = {}
local cluster = {}
cluster.__index = cluster

-- The group forgets a silent node after two seconds, where five are usual, so that specs need not wait for it, and a
-- cluster that was killed as a whole does not wait for its members of old.
local patience = "pc.recovery=false;gmcast.peer_timeout=PT3S;evs.keepalive_period=PT0.5S;"
  .. "evs.inactive_check_period=PT0.25S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.install_timeout=PT4S;"
  .. "gcache.size=32M;gcache.page_size=8M"

-- A node has four ports beside that of its clients, of which three are used.
local function group_port(first, number)
  return first + 4 * (number - 1)
end

local function address_of(first, count)
  local members = {}
  for number = 1, count do
    members[number] = "127.0.0.1:" .. group_port(first, number)
  end
  return "gcomm://" .. table.concat(members, ",")
end

local function options_of(first, number, count)
  local port = group_port(first, number)
  local provider = "base_host=127.0.0.1;base_port=%d;gmcast.listen_addr=tcp://127.0.0.1:%d;"
    .. "ist.recv_addr=127.0.0.1:%d;%s"
  return {
    "--server-id=" .. number,
    "--binlog-format=ROW",
    "--innodb-autoinc-lock-mode=2",
    "--innodb-flush-log-at-trx-commit=0",
    "--wsrep-on=1",
    "--wsrep-cluster-name=specs" .. first,
    "--wsrep-cluster-address=" .. address_of(first, count),
    "--wsrep-node-name=node" .. number,
    "--wsrep-node-address=127.0.0.1:" .. port,
    "--wsrep-sst-method=rsync",
    "--wsrep-sst-receive-address=127.0.0.1:" .. port + 2,
    "--wsrep-provider-options=" .. provider:format(port, port, port + 1, patience),
  }
end

local function founding(options)
  return { "--wsrep-new-cluster", table.unpack(options) }
end

-- Data that know their place in the history of a cluster: nodes that begin with them need no transfer of state.
local function template(first)
  local node = server.start { kind = "galera", options = founding(options_of(first, 1, 1)) }
  node:stop()
  return node
end

-- One after the other: two that join at once may wait for each other.
local function start_nodes(first, count, origin)
  local nodes = { count = count }
  for number = 1, count do
    local options = options_of(first, number, count)
    local started = number == 1 and founding(options) or options
    nodes[number] = server.start { kind = "galera", options = started, copy_of = origin }
    nodes[number].name = "node" .. number
  end
  nodes[1]:resume_with(options_of(first, 1, count)) -- it must not found another one when it comes back
  return setmetatable(nodes, cluster)
end

-- Three nodes, or so many. Raises where there are no Debian packages of Galera to be had.
function galera.start(count)
  count = count or 3
  local first = ports.free(4 * count)
  local origin <close> = setmetatable({ node = template(first) }, {
    __close = function(self)
      self.node:remove()
    end,
  })
  return start_nodes(first, count, origin.node)
end

-- nil, or one sentence that says why there can be no cluster here.
function galera.reason_against()
  local pipe = assert(io.popen "bash spec/servers/fetch.sh galera 2>&1 >/dev/null")
  local reason = pipe:read "a"
  return not pipe:close() and reason:match "[^\n]*" or nil
end

local function status_of(node, name)
  local ok, lines = pcall(node.sql, node, "SHOW GLOBAL STATUS LIKE '" .. name .. "'")
  return ok and lines[1] and lines[1]:match "\t(.*)"
end

local function sees_all(self, node)
  return status_of(node, "wsrep_ready") == "ON"
    and status_of(node, "wsrep_cluster_size") == tostring(self.count)
    and status_of(node, "wsrep_local_state") == "4"
end

-- Waits until every node is ready and sees all others; a transfer of state takes its time. To ask takes time, too.
function cluster:await_whole()
  local deadline = os.time() + 60
  for _, node in ipairs(self) do
    eventually(function()
      assert(os.time() < deadline, node.name .. " does not see the whole cluster again within a minute")
      return sees_all(self, node)
    end, nil, 60)
  end
end

-- A node that is killed comes back when the group has forgotten it, as after any crash. One that comes while it is
-- still a member has been seen to make a group on a busy machine lose its quorum, for good.
function cluster.crash(_, node)
  node:kill()
  sleep(3)
  node:resume()
end

-- Cuts the node off from the others: it refuses to work, they go on.
function cluster.isolate(_, node)
  node:sql "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'"
end

function cluster.heal(_, node)
  node:sql "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'"
end

-- The node answers 1047 to what touches tables, while it goes on applying what the others do.
function cluster.reject(_, node)
  node:sql "SET GLOBAL wsrep_reject_queries = ALL"
end

function cluster.accept(_, node)
  node:sql "SET GLOBAL wsrep_reject_queries = NONE"
end

function cluster:stop()
  for _, node in ipairs(self) do
    node:remove()
  end
end

return galera
