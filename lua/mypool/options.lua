-- The options of mypool.new and of a single statement: names, types, ranges, defaults.

local addresses = require "mypool.addresses"
local array = require "mypool.array"
local core = require "mypool.core"
local dsn = require "mypool.dsn"
local names = require "mypool.names"
core.internal()

local LONGEST = 60

-- A value as messages show it. A password is not repeated, not even one that was given as a number.
local function shown(name, value)
  if name == "password" or (type(value) ~= "number" and type(value) ~= "string") then
    return type(value)
  elseif type(value) == "number" then
    return tostring(value)
  end
  return ("'%s'"):format(#value > LONGEST and value:sub(1, LONGEST) .. "…" or value)
end

-- `got` is what the value is, where it does not tell that by itself.
local function fail(what, name, expected, value, got)
  got = got or shown(name, value)
  core.raise(("%s: bad option '%s' (%s expected, got %s)"):format(what, name, expected, got))
end

-- ---- kinds of values: each returns what is wrong, or nothing ----

local function text(value)
  if type(value) ~= "string" or value == "" or value:find("\0", 1, true) then
    return "non-empty string without NUL bytes"
  end
end

-- With an @ in it, it may be a DSN, which has a password. Returns nothing for what can be shown as it is.
local function host_shown(value)
  if type(value) ~= "string" then
    return nil
  elseif value:find("@", 1, true) then
    return "string with an @"
  elseif value:find "^/" then
    return shown("host", value) .. ": a path belongs into 'socket'"
  end
end

local function host(value)
  if not addresses.is_host(value) then
    return "host name or address", host_shown(value)
  end
end

local MOST_HOSTS = 32

-- What is wrong with an entry, and with which.
local function wrong_host(list, place, places)
  local address = addresses.parse(list[place])
  local got = host_shown(list[place]) or shown("hosts", list[place])
  if not address then
    return "hosts like 'name', 'name:port' or '[::1]:port'", ("%s at place %d"):format(got, place)
  end
  local key = addresses.key(address)
  if places[key] then
    return "no host twice", ("%s at places %d and %d"):format(got, places[key], place)
  end
  places[key] = place
end

local function hosts(value)
  local length, hole = array.length(type(value) == "table" and value or { false })
  if hole then
    return ("array of hosts without a hole at place %d"):format(hole)
  elseif type(value) ~= "table" or not length or length == 0 or length > MOST_HOSTS then
    local got = type(value) ~= "table" and type(value) or length and tostring(length) or "other keys"
    return ("array of 1 to %d hosts"):format(MOST_HOSTS), got
  end
  local places = {}
  for i = 1, length do
    local expected, got = wrong_host(value, i, places)
    if expected then
      return expected, got
    end
  end
end

local function word(value)
  if text(value) or value:find "[^%w_]" then
    return "name of letters, digits and underscores"
  end
end

-- As much as fits into messages.
local function pool_name(value)
  if text(value) or #value > 31 then
    return "string of 1 to 31 bytes"
  end
end

-- A connection attribute.
local function application_name(value)
  if text(value) or #value > 64 then
    return "string of 1 to 64 bytes"
  end
end

local function password(value)
  if type(value) ~= "function" and (type(value) ~= "string" or value:find("\0", 1, true)) then
    return "string without NUL bytes, or function,"
  end
end

local function integer(least, most)
  return function(value)
    if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
      return ("integer from %d to %d"):format(least, most)
    end
  end
end

local function seconds(value)
  if type(value) ~= "number" or not (value > 0 and value <= 1e9) then
    return "positive number of seconds"
  end
end

local function one_of(...)
  local allowed = { ... }
  return function(value)
    for i = 1, #allowed do
      if value == allowed[i] then
        return
      end
    end
    return ("'%s'"):format(table.concat(allowed, "' or '"))
  end
end

local function of_type(expected)
  return function(value)
    if type(value) ~= expected then
      return expected
    end
  end
end

local function anything() end

local function is_function_or_nil(value)
  return value == nil or type(value) == "function"
end

-- What else an adapter may have.
local optional = { "forget", "lent", "park", "unpark" }

-- A function, or the table of an adapter: { wait = …, forget = …, lent = …, park = …, unpark = … }.
local function wait(value)
  local adapter = type(value) == "table" and value or { wait = value }
  local known = type(adapter.wait) == "function"
  for _, name in ipairs(optional) do
    known = known and is_function_or_nil(adapter[name])
  end
  if not known then
    return "function, or table of the functions wait, forget, lent, park and unpark,"
  end
  if (adapter.park or adapter.unpark) and not (adapter.park and adapter.unpark and adapter.forget) then
    return "table with park, unpark and forget, or neither park nor unpark,"
  end
end

-- Each reset repeats them, in packets of three bytes of length.
local LONGEST_STATEMENT = 2 ^ 24 - 3

local function statements(value)
  local list = type(value) == "table" and value or { value }
  local length, hole = array.length(list)
  if hole then
    return ("array of strings without a hole at place %d"):format(hole)
  elseif not length or length == 0 then
    return "string, or array of strings,"
  end
  for i = 1, length do
    if text(list[i]) then
      return "string, or array of strings,", type(value)
    elseif #list[i] > LONGEST_STATEMENT then
      return ("statements of less than 16 MiB, not one of %d bytes,"):format(#list[i])
    end
  end
end

local function verify(value)
  if type(value) ~= "boolean" and value ~= "ca" then
    return "boolean or 'ca'"
  end
end

-- A fingerprint without its colons.
local function digits_of(value)
  return (value:gsub("(%x%x):", "%1"))
end

local expected_fingerprint = core.fingerprint_digits == 64
    and "the certificate's SHA-256 in 64 hexadecimal digits, with Connector/C %s,"
  or "the certificate's SHA-1 in 40 hexadecimal digits, as Connector/C %s knows no SHA-256, for which 3.4 is needed,"

-- By which hash a certificate is known, libmariadb decides.
local function fingerprint(value)
  local digits = type(value) == "string" and digits_of(value)
  local got = digits and (digits:find "%X" and "string of other characters" or ("string of %d digits"):format(#digits))
  if not digits or digits:find "%X" or #digits ~= core.fingerprint_digits then
    return expected_fingerprint:format(core.library_version), got or nil
  end
end

local tls_options = {
  ca = text,
  cert = text,
  key = text,
  verify = verify,
  fingerprint = fingerprint,
  cleartext_password = of_type "boolean",
}

local check

local tls_aliases = names.aliases {
  ca = "cafile, ca_file, ssl_ca, root_cert",
  cert = "certificate, ssl_cert, client_cert",
  key = "ssl_key, client_key",
  verify = "verify_peer, ssl_verify",
}

local function tls(value)
  if type(value) == "table" then
    check("new: tls", value, tls_options, tls_aliases)
    if (value.cert == nil) ~= (value.key == nil) then
      return "table with both or neither of cert and key"
    end
    if value.fingerprint and (value.ca or value.verify ~= nil) then
      return "table of either fingerprint, which alone decides, or ca and verify"
    end
    if value.verify == "ca" and not value.ca then
      return "table with ca where verify is 'ca', as the system's authorities vouch for anybody,"
    end
    if value.cleartext_password and (value.verify == false or value.verify == "ca" or value.fingerprint) then
      local because = value.fingerprint and "there is a fingerprint" or "verify is " .. tostring(value.verify)
      return ("table without cleartext_password where %s"):format(because)
    end
  elseif type(value) ~= "boolean" then
    return "boolean or table"
  end
end

local type_aliases = names.aliases {
  boolean = "bool",
  int = "integer",
  decimal = "numeric",
  double = "real",
  varchar = "string",
}

-- Functions by the name of a type, in upper or lower case. `off`: false may stand for "none".
local function converters(off)
  local expected = off and "function or false" or "function"
  return function(value, what)
    if type(value) ~= "table" then
      return "table of functions by type"
    end
    for name, converter in pairs(value) do
      if type(name) ~= "string" then
        return "table of functions by type"
      end
      names.check({ [names.lower(name)] = true }, core.sql_types, what .. ": types", type_aliases)
      if type(converter) ~= "function" and not (off and converter == false) then
        local message = "%s: bad option 'types.%s' (%s expected, got %s)"
        core.raise(message:format(what, name, expected, type(converter)))
      end
    end
  end
end

-- ---- the options of a pool ----

local pool_options = {
  host = host,
  hosts = hosts,
  balance = one_of("first", "spread"),
  need = one_of("write", "read"),
  silence = seconds,
  port = integer(1, 65535),
  socket = text,
  user = text,
  password = password,
  database = text,
  charset = word,
  collation = word,
  tls = tls,
  server_public_key = text,
  max_size = integer(1, 100000),
  min_idle = integer(0, 100000),
  max_waiting = integer(0, 100000),
  checkout_timeout = seconds,
  connect_timeout = seconds,
  query_timeout = seconds,
  idle_timeout = seconds,
  max_lifetime = seconds,
  init_sql = statements,
  autocommit = of_type "boolean",
  reset = one_of("always", "never"),
  reset_together = of_type "boolean",
  retries = integer(0, 1000),
  wait = wait,
  on_connect = of_type "function",
  on_event = of_type "function",
  on_statement = of_type "function",
  slow_after = seconds,
  audit = of_type "boolean",
  show_values = of_type "boolean",
  errors = one_of("return", "raise"),
  leak_after = seconds,
  name = pool_name,
  application_name = application_name,
  found_rows = of_type "boolean",
  rows = one_of("table", "array"),
  null = anything,
  types = converters(false),
  max_result_bytes = integer(1, 2 ^ 53),
}

local defaults = {
  host = "localhost",
  port = addresses.DEFAULT_PORT,
  balance = "first",
  charset = "utf8mb4",
  max_size = 10,
  min_idle = 0,
  checkout_timeout = 5,
  connect_timeout = 5,
  idle_timeout = 600,
  max_lifetime = 1800,
  autocommit = true,
  reset = "always",
  reset_together = true,
  retries = 2,
  rows = "table",
}

local pool_aliases = names.aliases {
  user = "username",
  password = "pass, passwd, pwd",
  database = "db, dbname, schema",
  tls = "ssl, sslmode, use_ssl",
  socket = "path, unix_socket",
  host = "server",
  max_size = "max_connections, connection_limit, pool_size",
  connect_timeout = "connection_timeout",
  ["'query_timeout' or 'checkout_timeout'"] = "timeout",
  charset = "encoding",
  application_name = "program_name",
  ["tls = { ca = … }"] = "tls_ca",
}

local statement_aliases = names.aliases {
  ['the statement comes first: { "SELECT …", timeout = 1 }'] = "sql, query",
  ["parameters follow the table as arguments"] = "params, values",
}

function check(what, given, known, aliases)
  names.check(given, known, what, aliases)
  for name, value in pairs(given) do
    local expected, got = known[name](value, what)
    if expected then
      fail(what, name, expected, value, got)
    end
  end
end

local function complete(given)
  local options = {}
  for name, value in pairs(defaults) do
    options[name] = value
  end
  for name, value in pairs(given) do
    options[name] = value
  end
  if type(options.init_sql) == "string" then
    options.init_sql = { options.init_sql }
  end
  if given.hosts then
    options.hosts = addresses.parse_all(given.hosts)
    options.silence = given.silence or #given.hosts > 1 and 2 or nil -- where another could serve instead
  end
  for name, value in pairs(type(given.tls) == "table" and given.tls or {}) do
    options["tls_" .. name] = name == "fingerprint" and digits_of(value) or value
  end
  if given.types then
    options.types = {}
    for name, converter in pairs(given.types) do
      options.types[core.sql_types[names.lower(name)]] = converter
    end
  end
  if given.hosts and #given.hosts > 1 and options.reset == "always" then
    options.need = given.need or "write"
  end
  options.application_name = given.application_name or given.name
  local adapter = type(given.wait) == "table" and given.wait or { wait = given.wait }
  options.scheduler = given.wait ~= nil
  options.wait = adapter.wait or core.poll
  for _, name in ipairs(optional) do
    options[name] = adapter[name]
  end
  return options
end

local options = {}

-- What stands in the table is above what the DSN says: of the ways to name a server, and of TLS, as a whole.
local function merge(from_dsn, above)
  if above.host ~= nil or above.hosts ~= nil or above.socket ~= nil then
    from_dsn.host, from_dsn.hosts, from_dsn.socket = nil, nil, nil
  end
  for name, value in pairs(above) do
    from_dsn[name] = value
  end
  return from_dsn
end

-- The one table of options that the arguments of mypool.new stand for.
local function arguments(given, above, ...)
  local is_dsn = type(given) == "string"
  if select("#", ...) > 0 or (above ~= nil and not (type(above) == "table" and (is_dsn or given == nil))) then
    core.raise "bad argument 2 to 'new' (options are one table, or a DSN and a table)"
  elseif is_dsn then
    return merge(dsn(given), above or {})
  elseif type(given) ~= "table" then
    local hint = given == nil and ": is the environment variable set?" or ""
    core.raise(("bad argument 'options' to 'new' (table or DSN expected, got %s%s)"):format(type(given), hint))
  end
  return given
end

local function copy_of(given)
  local copy = {}
  for name, value in pairs(given) do
    copy[name] = value
  end
  return copy
end

-- The complete options of a pool, from a table, a DSN, or a DSN and a table; then those that were given. Raises at the
-- caller's place.
function options.pool(...)
  local given = copy_of(arguments(...))
  check("new", given, pool_options, pool_aliases)
  if given.host and given.socket then
    core.raise "new: 'host' and 'socket' exclude each other (in a DSN: mariadb://user@/database?socket=/path)"
  end
  for _, name in ipairs { "host", "port", "socket" } do
    if given.hosts and given[name] then
      core.raise(("new: 'hosts' and '%s' exclude each other: hosts have their ports, as in 'name:3307'"):format(name))
    end
  end
  if given.need and given.reset == "never" then
    core.raise "new: 'need' and reset = \"never\" exclude each other: it is with a reset that a server is asked"
  end
  if given.server_public_key and given.tls then
    core.raise "new: 'server_public_key' and 'tls' exclude each other: the key is for passwords without TLS"
  end
  local complete_options = complete(given)
  if complete_options.min_idle > complete_options.max_size then
    local message = "new: min_idle (%d) exceeds max_size (%d)"
    core.raise(message:format(complete_options.min_idle, complete_options.max_size))
  end
  return complete_options, given
end

-- ---- the options of a reader ----

local reader_options = {}
for _, name in ipairs { "max_size", "checkout_timeout", "query_timeout", "rows", "name" } do
  reader_options[name] = pool_options[name]
end

-- The last of its init_sql, so that the others may write.
local function with_read_only(init_sql)
  local list = {}
  for i, sql in ipairs(type(init_sql) == "string" and { init_sql } or init_sql or {}) do
    list[i] = sql
  end
  list[#list + 1] = "SET SESSION TRANSACTION READ ONLY"
  return list
end

-- As options.pool, for a reader of the pool that was `made` of such options, and what is given besides.
function options.reader(made, given)
  if given == nil then
    given = {}
  end
  options.check("reader", given, reader_options)
  if made.reset == "never" then
    core.raise "bad call of 'reader' (of a pool with reset = \"never\": it is with a reset that a server is asked)"
  end
  local all = copy_of(made)
  for name, value in pairs(given) do
    all[name] = value
  end
  all.need, all.balance, all.init_sql = "read", "spread", with_read_only(made.init_sql)
  all.min_idle = math.min(all.min_idle or defaults.min_idle, all.max_size or defaults.max_size)
  local complete_options = options.pool(all)
  complete_options.reading = true
  return complete_options, all
end

-- ---- the options of a statement ----

local statement_options = {
  timeout = seconds,
  idempotent = of_type "boolean",
  rows = one_of("table", "array"),
  max_result_bytes = integer(1, 2 ^ 53),
  types = converters(true),
}

-- A prepared statement cannot be repeated in another session, so it has no idempotent.
options.of_prepared = {
  timeout = statement_options.timeout,
  rows = statement_options.rows,
  max_result_bytes = statement_options.max_result_bytes,
  types = statement_options.types,
}

-- Looks at the options of one statement: { "SELECT …", timeout = 1 }. Returns its text.
function options.statement(given, what)
  local named = {}
  for name, value in pairs(given) do
    if name ~= 1 then
      named[name] = value
    end
  end
  check(what, named, statement_options, statement_aliases)
  return given[1]
end

-- Raises unless each option given is known and of the type it has in `known`.
function options.check(what, given, known)
  if type(given) ~= "table" then
    core.raise(("bad argument 'options' to '%s' (table expected, got %s)"):format(what, type(given)))
  end
  check(what, given, known)
end

options.integer, options.one_of, options.of_type = integer, one_of, of_type

return options
