-- What the specs of a file, or of one of its describes, are given from the first to the last of them:
--
--     local s = fixture.server { options = { "--wait-timeout=1" } }   -- one of their own
--     local s = fixture.shared_server()
--     fixture.table(s, "runs", "n INT")
--     local r = fixture.relay(s)
--
-- Each stands for what is started before the first spec, ahead of the set-up that follows in the file, so it can be
-- used in set-ups and specs, but not before.

local busted = require "busted"
local relay = require "spec.servers.relay"
local server = require "spec.servers.server"

local fixture = {}

-- Returns an object that becomes the one that start() returns.
local function stand_in(start)
  local object = {}
  busted.setup(function()
    local started = start()
    setmetatable(object, { __index = started, __newindex = started })
  end)
  return object
end

-- arguments: those of server.start. The server is removed with its data.
function fixture.server(arguments)
  local s = stand_in(function()
    return server.start(arguments)
  end)
  busted.teardown(function()
    s:remove()
  end)
  return s
end

-- The server that all files share, or that of MYPOOL_DSN.
function fixture.shared_server()
  return stand_in(server.shared)
end

-- A table of such a server, in the database app; it is empty before each spec. Returns a function that tells what its
-- first column holds: "1,2", or "NULL" where the table is empty.
function fixture.table(s, name, columns)
  busted.setup(function()
    s:sql(("CREATE OR REPLACE TABLE app.%s (%s) ENGINE=InnoDB"):format(name, columns))
  end)
  busted.before_each(function()
    s:sql("TRUNCATE app." .. name)
  end)
  local column = columns:match "^%S+"
  return function()
    return s:sql(("SELECT GROUP_CONCAT(%s ORDER BY %s) FROM app.%s"):format(column, column, name))[1]
  end
end

-- What start() returns, and its method stop ends.
function fixture.started(start)
  local object = stand_in(start)
  busted.teardown(function()
    object:stop()
  end)
  return object
end

-- A relay to the TCP port of such a server.
function fixture.relay(s)
  return fixture.started(function()
    return relay.start { host = s.host, port = s.port }
  end)
end

return fixture
