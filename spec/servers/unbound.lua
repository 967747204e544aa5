-- A server as one without array binding (MySQL, an old MariaDB, a proxy) is reached: through a relay that
-- clears MARIADB_CLIENT_STMT_BULK_OPERATIONS in the greeting.
--
--     local way = unbound.start(server)
--     local pool = mypool.new(way:options { max_size = 1 })   -- its first connection is of that kind
--     …
--     way:stop()

local socket = require "cqueues.socket"
local relay = require "spec.servers.relay"

local unbound = {}
unbound.__index = unbound

local BULK_OPERATIONS = 0x04

-- MariaDB's own capabilities follow, behind the version, 4 bytes of thread id, 8 of challenge, 1 of filler,
-- 2 of capabilities, 1 of charset, 2 of status, 2 of capabilities, 1 of length and 6 of filler. Returns the
-- place and the value of their first byte.
local function find_capabilities(server)
  local client = assert(socket.connect(server.host, server.port))
  client:setmode("b", "b")
  local header = assert(client:xread(4))
  local greeting = assert(client:xread((string.unpack("<I3", header))))
  client:close()
  local at = assert(greeting:find "\0") + 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 6
  return 4 + at, greeting:byte(at + 1)
end

function unbound.start(server)
  local at, byte = find_capabilities(server)
  if byte & BULK_OPERATIONS == 0 then
    return unbound.direct(server)
  end
  local self = { server = server, at = at, byte = byte & ~BULK_OPERATIONS }
  self.relay = relay.start { host = server.host, port = server.port }
  return setmetatable(self, unbound)
end

-- Options of mypool.new. They hold for the next connection.
function unbound:options(extra)
  self.relay:corrupt("down", self.at, self.byte)
  local options = self.server:tcp_options(extra)
  options.host, options.port = self.relay.host, self.relay.port
  return options
end

function unbound:stop()
  self.relay:stop()
end

-- The same of the server as it is.
function unbound.direct(server)
  return {
    options = function(_, extra)
      return server:options(extra)
    end,
    stop = function() end,
  }
end

return unbound
