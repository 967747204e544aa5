-- The MariaDB servers that specs run against: one shared by all spec files, and private ones to break.
--
--   local server = require "spec.servers.server"
--   local s = server.shared()          -- or server.start { options = { "--wait-timeout=1" } }
--   local pool = mypool.new(s:options { max_size = 2 })
--
-- Accounts (password "secret"): app may do everything; limited only what it likes in the database app.
-- server.sh does the work, and removes a server when this process ends, however it ends.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local quote = require "spec.support.quote"
local tls = require "spec.servers.tls"

local execute, popen = os.execute, io.popen

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."

-- Runs a command; returns what it prints, and raises what it prints when it fails.
local function output(command)
  local pipe = assert(popen(command .. " 2>&1", "r"))
  local text = pipe:read "a"
  if not pipe:close() then
    error(text ~= "" and text or ("failed: " .. command), 0)
  end
  return text
end

-- For a server of this kind (spec/servers/kinds.sh); nil: of the one that was chosen.
local function server_sh_of(kind, ...)
  local words = { kind and "SERVER=" .. quote(kind) .. " bash" or "bash", quote(folder .. "/server.sh") }
  for _, word in ipairs { ... } do
    words[#words + 1] = quote(word)
  end
  return output(table.concat(words, " "))
end

local function server_sh(...)
  return server_sh_of(nil, ...)
end

-- busted loads this module anew for each spec file; what has to outlive a file is kept in the registry.
local function run_of_this_process()
  local registry = debug.getregistry()
  local run = registry["mypool.spec.servers"]
  if not run then
    run = { owner = output("echo $PPID"):match "%d+", folders = {}, shared = nil }
    registry["mypool.spec.servers"] = setmetatable(run, {
      -- At the normal end of the process, so that nothing is left when its caller looks. Not in a fork of it.
      __gc = function()
        for dir in pairs(run.folders) do
          execute(("[ $PPID != %s ] || bash %s remove %s"):format(run.owner, quote(folder .. "/server.sh"), quote(dir)))
        end
      end,
    })
  end
  return run
end

local methods = {}
local metatable = { __index = methods, __name = "spec.server" }

local function must_be_own(s)
  if not s.own then
    error("the server of MYPOOL_DSN is not ours to stop or restart", 3)
  end
end

local function run_in(s, command, options)
  local printed = server_sh_of(s.kind, command, s.folder, table.unpack(options or {}))
  local port, socket = printed:match "^(%d+) ([^\n]+)\n$"
  s.port, s.socket = math.tointeger(port), socket
end

-- Stops the server in the ordinary way and starts it again on the same data and port.
-- New options replace those it was started with.
function methods.restart(s, options)
  must_be_own(s)
  server_sh("stop", s.folder)
  if options then
    run_in(s, "start", options)
  else
    run_in(s, "resume")
  end
end

-- Options for when it is started again by resume, in place of those it was started with.
function methods.resume_with(s, options)
  must_be_own(s)
  server_sh("options", s.folder, table.unpack(options))
end

-- Starts a stopped or killed server again: same data, options and port.
function methods.resume(s)
  must_be_own(s)
  run_in(s, "resume")
end

-- stop (SIGTERM) and kill (SIGKILL) wait until the process is gone; pause (SIGSTOP) keeps its sockets open.
-- remove also deletes the data.
for _, command in ipairs { "stop", "kill", "pause", "continue", "remove" } do
  methods[command] = function(s)
    must_be_own(s)
    server_sh(command, s.folder)
    if command == "remove" then
      local run = run_of_this_process()
      run.folders[s.folder] = nil
      run.shared = run.shared ~= s and run.shared or nil
    end
  end
end

local function merge(options, extra)
  for name, value in pairs(extra or {}) do
    options[name] = value
  end
  return options
end

-- Options of mypool.new over the unix socket; over TCP when a server of MYPOOL_DSN names no socket.
function methods.options(s, extra)
  if not s.socket then
    return s:tcp_options(extra)
  end
  return merge({ socket = s.socket, user = s.user, password = s.password, database = s.database }, extra)
end

function methods.tcp_options(s, extra)
  local options = { host = s.host, port = s.port, user = s.user, password = s.password, database = s.database }
  options.server_public_key = not (extra and extra.tls) and s.public_key or nil
  return merge(options, extra)
end

-- The place of its TCP port, as a pool over several servers names it.
function methods.address(s)
  return ("%s:%d"):format(s.host, s.port)
end

-- Those of several servers; one may be given as text.
local function addresses(servers)
  local all = {}
  for i, s in ipairs(servers) do
    all[i] = type(s) == "string" and s or s:address()
  end
  return all
end

-- Options of a pool over these servers, by the account of this one.
function methods.hosts_options(s, servers, extra)
  local options = { hosts = addresses(servers), user = s.user, password = s.password, database = s.database }
  return merge(options, extra)
end

local function escape(text)
  return (text:gsub("[^%w._~-]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end

-- `query` is what follows the question mark, if anything does.
function methods.dsn(s, query)
  if s.public_key then
    query = (query and query .. "&" or "") .. "server_public_key=" .. escape(s.public_key)
  end
  local account = escape(s.user) .. ":" .. escape(s.password)
  return ("mariadb://%s@%s/%s%s"):format(account, s:address(), escape(s.database), query and "?" .. query or "")
end

local function client_command(s)
  local words = { "mariadb --no-defaults --batch --skip-column-names" }
  if s.own then -- root gets in even when max_connections is used up
    words[#words + 1] = "--skip-ssl --user=root --socket=" .. quote(s.socket)
  else -- newer clients insist on TLS over TCP
    words[#words + 1] = "--loose-skip-ssl-verify-server-cert --user=" .. quote(s.user)
    words[#words + 1] = s.socket and "--socket=" .. quote(s.socket)
      or ("--protocol=tcp --host=%s --port=%d"):format(quote(s.host), s.port)
    table.insert(words, 1, "MYSQL_PWD=" .. quote(s.password))
  end
  words[#words + 1] = quote("--database=" .. s.database)
  return table.concat(words, " ")
end

-- Runs SQL through the mariadb client, past the code under test. Returns the lines of its
-- result, columns separated by tabs; raises the client's message when it fails.
function methods.sql(s, text)
  local lines = {}
  for line in output(client_command(s) .. " --execute=" .. quote(dialect.script(text))):gmatch "[^\n]+" do
    lines[#lines + 1] = line
  end
  return lines
end

-- The ids of the sessions of the account app.
function methods.sessions(s)
  return s:sql "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'"
end

-- Waits until the account app has no session.
function methods.await_empty(s)
  eventually(function()
    return #s:sessions() == 0
  end)
end

-- Waits until the server has none of these sessions.
function methods.await_end(s, ids)
  local left = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID IN (%s)"
  eventually(function()
    return s:sql(left:format(table.concat(ids, ", ")))[1] == "0"
  end)
end

-- Kills these sessions, some of which may have ended already, and waits for their end.
function methods.kill_sessions(s, ids)
  for _, id in ipairs(ids) do
    pcall(s.sql, s, "KILL " .. id)
  end
  s:await_end(ids)
end

local function unescape(text)
  return text and (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

local function from_dsn(dsn)
  local account, place, query = dsn:match "^%a+://([^@/]+)@([^?]+)%??(.*)$"
  assert(account, "MYPOOL_DSN should look like mariadb://user:password@host:3306/database")
  local user, password = account:match "^([^:]*):?(.*)$"
  local address, database = place:match "^([^/]*)/?(.*)$"
  local host, port = address:match "^(.-):?(%d*)$"
  return setmetatable({
    own = false,
    host = host ~= "" and host or "127.0.0.1",
    port = math.tointeger(port) or 3306,
    socket = unescape(("&" .. query):match "&socket=([^&]*)"),
    user = unescape(user),
    password = unescape(password),
    database = unescape(database),
  }, metatable)
end

local server = { addresses = addresses }

-- Whether a server of this kind is at hand, without any being fetched.
function server.is_fetched(kind)
  return (execute(("test -d '%s/../../build/servers/%s'"):format(folder, kind)))
end

-- Starts a further server. arguments.options: command line options of mariadbd; arguments.tls: with the certificates of
-- spec/servers/tls.lua; arguments.kind: of this kind (spec/servers/kinds.sh), whichever was chosen; arguments.copy_of:
-- a stopped server, with a copy of whose data it begins.
function server.start(arguments)
  local run = run_of_this_process()
  local dir = server_sh("create", run.owner):match "^[^\n]+"
  assert(dir, "server.sh create printed no folder")
  run.folders[dir] = true
  local s = setmetatable({
    own = true,
    kind = arguments and arguments.kind,
    folder = dir,
    host = "127.0.0.1",
    user = "app",
    password = "secret",
    database = "app",
  }, metatable)
  arguments = arguments or {}
  if dialect.needs_public_key and not arguments.kind then
    s.public_key = dir .. "/data/public_key.pem" -- for passwords over plain TCP
  end
  local options = arguments.options or {}
  if arguments.tls or s.public_key then
    options = { tls.server_options() }
    table.move(arguments.options or {}, 1, 100, #options + 1, options)
  end
  if arguments.copy_of then
    output(("cp -a %s/data %s/data"):format(quote(arguments.copy_of.folder), quote(dir)))
  end
  local ok, message = pcall(run_in, s, "start", options)
  if not ok then
    s:remove()
    error(message, 2)
  end
  return s
end

-- A server with the port of the first at another address: by all that they say of themselves they are one.
function server.twin(first, options)
  local all = { "--bind-address=127.0.0.2", "--port=" .. first.port, table.unpack(options or {}) }
  local s = server.start { options = all }
  s.host, s.port = "127.0.0.2", first.port
  return s
end

-- The one server of this process, started when first asked for, or the server of MYPOOL_DSN (`own` is false).
function server.shared()
  local run = run_of_this_process()
  if not run.shared then
    local dsn = os.getenv "MYPOOL_DSN"
    run.shared = dsn and dsn ~= "" and from_dsn(dsn) or server.start()
  end
  return run.shared
end

return server
