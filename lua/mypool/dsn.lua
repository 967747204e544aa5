-- Options written as one string: mariadb://user:password@host:port/database?max_size=20

local addresses = require "mypool.addresses"
local core = require "mypool.core"
core.internal()

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

local texts = {
  name = true,
  application_name = true,
  host = true,
  socket = true,
  user = true,
  password = true,
  database = true,
  server_public_key = true,
  tls_ca = true,
  tls_cert = true,
  tls_key = true,
  tls_fingerprint = true,
}

-- "true", "false" and numbers are what they look like, unless the option is a text.
local function value_of(name, text)
  if texts[name] then
    return text
  elseif text == "true" or text == "false" then
    return text == "true"
  end
  return core.number(text) or text
end

local function add_account(options, account)
  local user, password = account:match "^([^:]*):(.*)$"
  options.user = decode(user or account)
  options.password = password and decode(password) or nil
end

-- Several, joined by commas.
local function add_hosts(options, list)
  options.hosts = {}
  for text in (list .. ","):gmatch "([^,]*)," do
    local host = decode(text)
    if not addresses.parse(host) then
      core.raise "new: bad DSN (one of the addresses is not host or host:port)"
    end
    options.hosts[#options.hosts + 1] = host
  end
end

local function add_address(options, address)
  if address:find(",", 1, true) then
    return add_hosts(options, address)
  end
  local host, port = address:match "^%[([^%]]*)%]:?(%d*)$"
  if not host then
    host, port = address:match "^([^:]*):?(%d*)$"
  end
  if not host then
    core.raise "new: bad DSN (the address is not host or host:port)"
  end
  options.host = host ~= "" and decode(host) or nil
  options.port = tonumber(port)
end

local function add_query(options, query)
  for pair in query:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=(.*)$"
    if not name then
      core.raise "new: bad DSN (options are name=value, joined by &)"
    end
    name = decode(name)
    options[name] = value_of(name, decode(value))
  end
end

-- The option that a DSN has as tls_ca is the field ca of the option tls.
local function gather_tls(options)
  local tls
  for name, value in pairs(options) do
    local field = name:match "^tls_(.+)$"
    if field then
      tls = tls or {}
      tls[field] = value
    end
  end
  if not tls then
    return
  elseif options.tls ~= nil and options.tls ~= true then
    core.raise "new: bad DSN (beside options like tls_ca write tls=true, or nothing of tls)"
  end
  for field in pairs(tls) do
    options["tls_" .. field] = nil
  end
  options.tls = tls
end

-- Returns a table of options. Raises for what is not a DSN; the message never repeats it, as it
-- may hold a password.
return function(text)
  local rest = text:match "^mariadb://(.*)$" or text:match "^mysql://(.*)$"
  if not rest then
    core.raise "new: bad DSN (it begins with mariadb:// or mysql://)"
  end
  local options = {}
  local authority, tail = rest:match "^([^/?]*)(.*)$"
  if tail:find("@", 1, true) then -- what comes before it may be a piece of a password
    core.raise "new: bad DSN (in user, password and options write %40 %3A %2F %3F for @ : / ?)"
  end
  local database, query = tail:match "^/?([^?]*)%??(.*)$"
  local account, address = authority:match "^(.*)@([^@]*)$"
  if account then
    add_account(options, account)
  end
  add_address(options, address or authority)
  options.database = database ~= "" and decode(database) or nil
  add_query(options, query)
  gather_tls(options)
  if options.socket and options.host == "localhost" then
    options.host = nil
  end
  return options
end
