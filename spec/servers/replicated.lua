-- A real primary and its replica by GTID, on loopback:
--
--     local pair = replicated.start()
--     pair:switchover()   -- pair.primary and pair.replica change places
--
-- Both are servers of spec/servers/server.lua. What sets a test up is said to the primary alone: what root writes on a
-- replica breaks the replication.

local eventually = require "spec.support.eventually"
local server = require "spec.servers.server"

local replicated = {}
local pair = {}
pair.__index = pair

local function options_of(id, ...)
  return {
    "--server-id=" .. id,
    "--log-bin=bin",
    "--log-slave-updates=1",
    "--binlog-format=ROW",
    "--gtid-strict-mode=1",
    "--slave-net-timeout=5",
    "--master-retry-count=0",
    -- What the other one has not acknowledged when a primary is killed is taken back when it is started again: else its
    -- history would be another one, and it could not follow.
    "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
    "--rpl-semi-sync-slave-enabled=1",
    "--init-rpl-role=SLAVE",
    ...,
  }
end

-- `follower` replicates from where its own history ends.
local function follow(follower, leader)
  follower:sql "SET GLOBAL gtid_slave_pos = @@gtid_current_pos"
  follower:sql(
    (
      "CHANGE MASTER TO master_host = '127.0.0.1', master_port = %d, master_user = 'app', master_password = 'secret', "
      .. "master_use_gtid = slave_pos, master_connect_retry = 1; START SLAVE"
    ):format(leader.port)
  )
end

-- Waits until `follower` has all that `leader` has committed.
local function await_same(leader, follower)
  local position = leader:sql("SELECT @@gtid_binlog_pos")[1] or "" -- nothing was written yet
  local answer = follower:sql(("SELECT MASTER_GTID_WAIT('%s', 10)"):format(position))[1]
  if answer ~= "0" then
    local status = table.concat(follower:sql "SHOW SLAVE STATUS", " ")
    error(("the replica does not follow to %s: %s: %s"):format(position, answer, status))
  end
end

local function stop_following(s)
  s:sql "STOP SLAVE; RESET SLAVE ALL"
end

-- Whoever comes back after a crash does so read-only, as the other one may have been promoted.
function replicated.start()
  local primary = server.start { options = options_of(1) }
  local replica = server.start { options = options_of(2, "--read-only=1") }
  primary:resume_with(options_of(1, "--read-only=1"))
  local self = setmetatable({ primary = primary, replica = replica }, pair)
  follow(replica, primary)
  self:await_same()
  return self
end

function pair:await_same()
  await_same(self.primary, self.replica)
end

-- From now on a COMMIT on the primary waits until the replica has it, ten seconds at most.
function pair:semi_synchronous()
  self.replica:sql "SET GLOBAL rpl_semi_sync_slave_enabled = 1; STOP SLAVE IO_THREAD; START SLAVE IO_THREAD"
  self.primary:sql "SET GLOBAL rpl_semi_sync_master_enabled = 1"
  eventually(function()
    return self.primary:sql("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")[1]:match "\t1$" ~= nil
  end)
end

-- Planned: the primary becomes read-only, the replica catches up and is made writable, and the roles change.
function pair:switchover()
  self.primary:sql "SET GLOBAL read_only = 1"
  self:await_same()
  local former = self.primary
  self:promote()
  follow(former, self.primary)
end

-- Unplanned: the replica stops to follow and is made writable.
function pair:promote()
  stop_following(self.replica)
  self.replica:sql "SET GLOBAL read_only = 0"
  self.primary, self.replica = self.replica, self.primary
end

-- The former primary comes back, and follows.
function pair:return_former()
  self.replica:resume()
  follow(self.replica, self.primary)
  self:await_same()
end

function pair:stop()
  self.primary:remove()
  self.replica:remove()
end

return replicated
