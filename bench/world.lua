-- What all workloads share: the private server with its tables, the contenders' programs, the relays.

local child = require "bench.child"
local contenders = require "bench.contenders"
local machine = require "bench.machine"
local relay = require "spec.servers.relay"
local server = require "spec.servers.server"

local world = {}
world.__index = world

local function fill(s)
  s:sql [[CREATE TABLE bench_rows (
    id INT PRIMARY KEY, name VARCHAR(40), price DOUBLE, made DATETIME) ENGINE = InnoDB]]
  s:sql [[INSERT INTO bench_rows SELECT seq, CONCAT('name number ', seq), seq * 1.25e0,
    '2024-01-01' + INTERVAL seq MINUTE FROM seq_1_to_100000]]
  s:sql "CREATE TABLE bench_inserts (id INT PRIMARY KEY, name VARCHAR(40), price DOUBLE) ENGINE = InnoDB"
  s:sql "ANALYZE TABLE bench_rows"
end

local function pid_of(s)
  local file <close> = assert(io.open(s.folder .. "/pid"))
  return file:read "n"
end

-- Everything is on one core, but for groups that say otherwise.
function world.new()
  local cores = machine.cores()
  local self = setmetatable({ cores = { all = cores, one = machine.one_core(cores) }, skipped = {} }, world)
  machine.pin(machine.own_pid(), self.cores.one)
  self.server = server.start { options = { "--max-connections=1000", "--innodb-buffer-pool-size=64M" } }
  self.server_pid = pid_of(self.server)
  self.on = "one"
  self.children = { one = {}, all = {} }
  self.relays = {}
  fill(self.server)
  return self
end

-- Moves the server, and what is started from now on.
function world:use_cores(which)
  if self.on ~= which then
    machine.pin(self.server_pid, self.cores[which])
    machine.pin(machine.own_pid(), self.cores[which])
    self.on = which
  end
end

-- A program of its own, to be closed; nil and why.
function world:start(name)
  return child.start(contenders[name].start(self.server))
end

-- The program that all workloads on these cores share; nil when it cannot run.
function world:child(name)
  local children = self.children[self.on]
  if children[name] == nil then
    local started, why = self:start(name)
    children[name] = started or false
    if not started then
      self.skipped[name] = ("%s (%s): %s"):format(name, contenders[name].package, why)
    end
  end
  return children[name] or nil
end

-- The port of a relay that adds `ms` to each round trip.
function world:relay(ms)
  self.relays[ms] = self.relays[ms] or relay.start { socket = self.server.socket }
  self.relays[ms]:delay(ms / 2)
  return self.relays[ms].port
end

-- Names of those that run, sorted, with what they say of themselves.
function world:versions()
  local versions = {}
  for name, program in pairs(self.children.one) do
    if program then
      table.insert(versions, ("%s: %s"):format(name, program.versions))
    end
  end
  table.sort(versions)
  table.insert(versions, "server: " .. self.server:sql("SELECT VERSION()")[1])
  return versions
end

function world:close()
  for _, children in pairs(self.children) do
    for _, program in pairs(children) do
      if program then
        program:stop()
      end
    end
  end
  for _, r in pairs(self.relays) do
    r:stop()
  end
  self.server:remove()
end

return world
