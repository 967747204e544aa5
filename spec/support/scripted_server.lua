-- A server that follows a script: enough of the protocol for a pool, and a reset that is refused or swallowed.
--
--     local scripted = server.start { reset = "refuse" }   -- error 1047; "silent": no answer, to nothing any more
--     local pool = mypool.new(scripted:options { max_size = 1 })
--     …
--     scripted:stop()
--
-- It takes any account. Statements that it knows, all others succeed without a result:
--
--     SET @name = number     SELECT @name     SELECT CONNECTION_ID()
--     SHOW RESETS            how many resets it was sent, on all connections together
--     SHOW CONNECTIONS       how many connections were opened

local cqueues = require "cqueues"
local socket = require "cqueues.socket"

-- ---- packets (MariaDB knowledge base, "Clientserver Protocol") ----

local function send(peer, payload)
  peer.socket:write(("<I3B"):pack(#payload, peer.number), payload)
  peer.number = (peer.number + 1) % 256
end

local function receive(peer)
  local header = peer.socket:read(4)
  if not header or #header < 4 then
    return
  end
  local length, number = ("<I3B"):unpack(header)
  peer.number = (number + 1) % 256
  return length == 0 and "" or peer.socket:read(length)
end

local AUTOCOMMIT = 2

local function send_ok(peer)
  send(peer, ("<BBBI2I2"):pack(0, 0, 0, AUTOCOMMIT, 0))
end

local function send_error(peer, code, state, message)
  send(peer, ("<BI2"):pack(0xff, code) .. "#" .. state .. message)
end

local function send_eof(peer)
  send(peer, ("<BI2I2"):pack(0xfe, 0, AUTOCOMMIT))
end

local function counted(text)
  return ("<s1"):pack(text)
end

local UTF8MB4, VAR_STRING = 45, 253

-- One row of texts; `false` is NULL.
local function send_row(peer, ...)
  local cells = { ... }
  send(peer, string.char(#cells))
  for i = 1, #cells do
    local names = { counted "def", counted "", counted "", counted "", counted("c" .. i), counted "" }
    send(peer, table.concat(names) .. ("<BI2I4BI2BI2"):pack(12, UTF8MB4, 1024, VAR_STRING, 0, 0, 0))
  end
  send_eof(peer)
  for i = 1, #cells do
    cells[i] = cells[i] and counted(cells[i]) or "\xfb"
  end
  send(peer, table.concat(cells))
  send_eof(peer)
end

-- ---- the server ----

local LONG_PASSWORD, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41 = 0x1, 0x4, 0x8, 0x200
local TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PLUGIN_AUTH = 0x2000, 0x8000, 0x20000, 0x80000
local capabilities = LONG_PASSWORD | LONG_FLAG | CONNECT_WITH_DB | PROTOCOL_41
  | TRANSACTIONS | SECURE_CONNECTION | MULTI_RESULTS | PLUGIN_AUTH

local seen = { resets = 0, connections = 0 }

local function greet(peer)
  local salt = ("s"):rep(20)
  peer.number = 0
  send(
    peer,
    ("<BzI4"):pack(10, "5.5.5-10.11.0-MariaDB", peer.id)
      .. salt:sub(1, 8)
      .. ("<BI2BI2I2B"):pack(0, capabilities & 0xffff, UTF8MB4, AUTOCOMMIT, capabilities >> 16, #salt + 1)
      .. ("\0"):rep(10)
      .. ("<zz"):pack(salt:sub(9), "mysql_native_password")
  )
  if not receive(peer) then
    return false
  end
  send_ok(peer)
  return true
end

local function answer_query(peer, sql)
  local name, number = sql:match "^SET @(%w+) = (%d+)$"
  local asked = sql:match "^SELECT @(%w+)$"
  if name then
    peer.variables[name] = number
    send_ok(peer)
  elseif asked then
    send_row(peer, peer.variables[asked] or false)
  elseif sql:find "^SELECT @@init_connect" then -- what a pool asks of each new connection
    send_row(peer, "", "28800", "16777216", "utf8mb4_general_ci", false, "0")
  elseif sql == "SELECT CONNECTION_ID()" then
    send_row(peer, tostring(peer.id))
  elseif sql == "SHOW RESETS" then
    send_row(peer, tostring(seen.resets))
  elseif sql == "SHOW CONNECTIONS" then
    send_row(peer, tostring(seen.connections))
  else
    send_ok(peer)
  end
end

local QUIT, QUERY, RESET = 0x01, 0x03, 0x1f

local function talk(peer, how)
  local silent = false
  for packet in receive, peer do
    local command = packet:byte()
    if command == QUIT then
      return
    elseif command == RESET then
      seen.resets = seen.resets + 1
      silent = silent or how == "silent"
    end
    if silent then -- luacheck: ignore 542
    elseif command == RESET and how == "refuse" then
      send_error(peer, 1047, "08S01", "Unknown command")
    elseif command == QUERY then
      answer_query(peer, packet:sub(2))
    else
      peer.variables = command == RESET and {} or peer.variables
      send_ok(peer)
    end
  end
end

local function serve_one(s, how)
  s:setmode("bn", "bn")
  s:onerror(function(_, _, why)
    return why
  end)
  seen.connections = seen.connections + 1
  local peer = { socket = s, id = seen.connections, variables = {}, number = 0 }
  if greet(peer) then
    talk(peer, how)
  end
  s:close()
end

local function parent_of_this_process()
  local file = assert(io.open "/proc/self/stat")
  local pid, parent = file:read("a"):match "^(%d+) %b() %a (%d+)"
  file:close()
  return parent, pid
end

-- The program: serves until it is killed or its parent is gone.
local function serve(how)
  local loop = cqueues.new()
  local listener = socket.listen("127.0.0.1", 0)
  listener:listen()
  local parent, pid = parent_of_this_process()
  print(("%d %d"):format(select(3, listener:localname()), pid))
  io.stdout:flush()
  loop:wrap(function()
    for s in listener:clients() do
      loop:wrap(serve_one, s, how)
    end
  end)
  while parent_of_this_process() == parent do
    assert(loop:step(0.2))
  end
  os.exit(0)
end

-- ---- the other end ----

local methods = {}
local metatable = { __index = methods, __name = "spec.scripted_server" }

-- Options of mypool.new.
function methods.options(s, extra)
  local options = { host = s.host, port = s.port, user = "anybody", password = "secret", database = "app" }
  for name, value in pairs(extra or {}) do
    options[name] = value
  end
  return options
end

function methods.stop(s)
  if s.pipe then
    os.execute("kill " .. s.pid)
    s.pipe:close()
    s.pipe = nil
  end
end

metatable.__gc = methods.stop

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function start(script)
  local program = ("require 'spec.support.scripted_server'.serve %q"):format(script.reset)
  local pipe = assert(io.popen(("LUA_PATH=%s LUA_CPATH=%s exec lua5.4 -e %s 2>&1"):format(
    quoted(package.path),
    quoted(package.cpath),
    quoted(program)
  )))
  local first = pipe:read() or "nothing"
  local port, pid = first:match "^(%d+) (%d+)$"
  if not port then
    local rest = pipe:read "a"
    pipe:close()
    error("no scripted server: " .. first .. "\n" .. rest, 0)
  end
  return setmetatable({ pipe = pipe, host = "127.0.0.1", port = math.tointeger(port), pid = pid }, metatable)
end

return { start = start, serve = serve }
