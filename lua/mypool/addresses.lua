-- Hosts as programs write them: "name", "name:port", "[::1]:port".

local core = require "mypool.core"
core.internal()

local addresses = { DEFAULT_PORT = 3306 }

-- libmariadb would take some hosts for connection strings, which may load plugins, and those with a comma for
-- a list of its own.
function addresses.is_host(value)
  return type(value) == "string" and value ~= "" and not value:find "[=;/,%s]" and not value:find("\0", 1, true)
end

-- The name and the port, nil where there is none. An address of IPv6 stands in brackets.
local function split(text)
  local inner, rest = text:match "^%[([^%[%]]*)%](.*)$"
  if inner then
    return inner, rest:match "^:(%d+)$", rest == ""
  end
  local name, port = text:match "^([^:%[%]]*):(%d+)$"
  return name or text:match "^[^:%[%]]*$", port, not port
end

-- { host =, port = }; nil where the value is no host.
function addresses.parse(value)
  if type(value) ~= "string" then
    return
  end
  local name, port, bare = split(value)
  port = tonumber(bare and addresses.DEFAULT_PORT or port)
  if addresses.is_host(name) and port and port >= 1 and port <= 65535 then
    return { host = name, port = math.floor(port) }
  end
end

-- The same for two that are the same.
function addresses.key(address)
  return ("%s %d"):format(address.host:lower(), address.port)
end

-- The same of each entry of a list.
function addresses.parse_all(list)
  local all = {}
  for i = 1, #list do
    all[i] = addresses.parse(list[i])
  end
  return all
end

return addresses
