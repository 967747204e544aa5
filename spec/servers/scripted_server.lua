-- A server that follows a script: enough of the protocol for a pool, and what no honest server does.
--
--     local scripted = server.start { reset = "refuse" }
--     local pool = mypool.new(scripted:options { max_size = 1 })
--     …
--     scripted:stop()
--
-- The script, all of it optional:
--
--     reset = "refuse"       error 1047; "wsrep": as of a Galera node that is not ready; "silent": no answer, to
--                            nothing any more
--     excess = number        behind each so-manieth reply, of all connections, comes an OK that belongs to none, in
--                            the same piece; or behind the replies to queries that match this pattern
--     late = pattern         10 ms late comes the reply to a query that matches
--     resets = number        only so many, of all connections, are met like that
--     greets = plugin        authentication plugin of the greeting
--     switches = plugin      ... to which it switches after the login
--     wants = path           asks for this file of the client, in answer to
--     when = "^LOAD"         queries that match this pattern, or, without it, to "login", "init_db", "reset", "ping",
--                            "prepare" or "execute"
--     binary = { kind = number, row = bytes, name = "c1", columns = 1 }
--                            prepared statements have so many columns of that type and name, and one row: what follows
--                            its header, which says that none is NULL
--     tls = { cert =, key = }    offers TLS; protocol = "TLSv1_1" and so on: only this version of it
--     socket = path          listens there as well
--     version = text         of the greeting, instead of a MariaDB's
--     answers = { { to = pattern, row = { … }, types = { … }, fails = true }, … }
--                            the answer to queries that match: one row of texts, `false` being NULL, of columns of
--                            these types, as numbers of the protocol; with `fails` error 1105, or of
--                            that number, behind the row if any; with `endless` the row comes again and again, faster
--                            than anybody reads: from the so-manieth of these queries on
--
-- It takes any account. Statements that it knows, all others succeed without a result:
--
--     SET @name = number     SELECT @name     SELECT CONNECTION_ID()
--     SHOW RESETS            how many resets it was sent, on all connections together
--     SHOW CONNECTIONS       how many connections were opened
--     SHOW PASSWORD          what the client answered to the switch
--     SHOW LOGINS            how many clients have told it who they are
--     SPOIL how reset byte   of the replies to this connection's so-manieth reset this byte is changed (but not in a
--                            packet's length), or the packet that begins there is sent twice ("double")
--     SHOW SPOILT            how many bytes those replies had

local cqueues = require "cqueues"
local socket = require "cqueues.socket"
local quote = require "spec.support.quote"
local settings = require "spec.servers.settings"
local source_of = require "spec.support.source_of"

-- ---- packets (MariaDB knowledge base, "Clientserver Protocol") ----

local LENGTH = 3

local spoilers = {
  change = function(bytes, at)
    local byte = at <= LENGTH and bytes:byte(at) or bytes:byte(at) ~ 1
    return bytes:sub(1, at - 1) .. string.char(byte) .. bytes:sub(at + 1)
  end,
  double = function(bytes, at)
    return at == 1 and bytes .. bytes or bytes
  end,
}

local function spoil(peer, bytes)
  local flaw = peer.flaw
  if not flaw or flaw.reset ~= peer.resets then
    return bytes
  end
  local at = flaw.byte - flaw.passed
  flaw.passed = flaw.passed + #bytes
  return at >= 1 and at <= #bytes and spoilers[flaw.how](bytes, at) or bytes
end

local function send(peer, payload)
  peer.socket:write(spoil(peer, ("<I3B"):pack(#payload, peer.number) .. payload))
  peer.number = (peer.number + 1) % 256
end

-- What was sent goes out in one piece: for piece after piece the kernel would wait for acknowledgements.
local function receive(peer)
  peer.socket:flush()
  local header = peer.socket:read(4)
  if not header or #header < 4 then
    return
  end
  local length, number = ("<I3B"):unpack(header)
  peer.number = (number + 1) % 256
  return length == 0 and "" or peer.socket:read(length)
end

local AUTOCOMMIT = 2
local SALT = ("s"):rep(20)

local function send_ok(peer)
  send(peer, ("<BBBI2I2"):pack(0, 0, 0, AUTOCOMMIT, 0))
end

local function send_error(peer, code, state, message)
  send(peer, ("<BI2"):pack(0xff, code) .. "#" .. state .. message)
end

local function send_eof(peer)
  send(peer, ("<BI2I2"):pack(0xfe, 0, AUTOCOMMIT))
end

-- Behind its length, of one byte or of three.
local function counted(text)
  return #text < 251 and ("<s1"):pack(text) or "\xfc" .. ("<s2"):pack(text)
end

local UTF8MB4, VAR_STRING = 45, 253

local function send_column(peer, name, kind)
  local names = { counted "def", counted "", counted "", counted "", counted(name), counted "" }
  send(peer, table.concat(names) .. ("<BI2I4BI2BI2"):pack(12, UTF8MB4, 100, kind, 0, 0, 0))
end

-- The columns and one row of texts; `false` is NULL.
local function begin_rows(peer, cells, types)
  send(peer, string.char(#cells))
  for i = 1, #cells do
    send_column(peer, "c" .. i, types and types[i] or VAR_STRING)
  end
  send_eof(peer)
  local texts = {}
  for i = 1, #cells do
    texts[i] = cells[i] and counted(cells[i]) or "\xfb"
  end
  send(peer, table.concat(texts))
end

local function send_empty(peer, ...)
  send(peer, string.char(select("#", ...)))
  for i = 1, select("#", ...) do
    send_column(peer, select(i, ...), VAR_STRING)
  end
  send_eof(peer)
  send_eof(peer)
end

local function send_row(peer, ...)
  begin_rows(peer, { ... })
  send_eof(peer)
end

-- ---- the server ----

local LONG_PASSWORD, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41 = 0x1, 0x4, 0x8, 0x200
local SSL, TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PLUGIN_AUTH = 0x800, 0x2000, 0x8000, 0x20000, 0x80000
local capabilities = LONG_PASSWORD | LONG_FLAG | CONNECT_WITH_DB | PROTOCOL_41
  | TRANSACTIONS | SECURE_CONNECTION | MULTI_RESULTS | PLUGIN_AUTH

local seen = { resets = 0, connections = 0, replies = 0, logins = 0 }

local function send_greeting(peer, script)
  local version = script.version or "5.5.5-10.11.0-MariaDB"
  local offers = capabilities | (script.tls and SSL or 0)
  peer.number = 0
  send(
    peer,
    ("<BzI4"):pack(10, version, peer.id)
      .. SALT:sub(1, 8)
      .. ("<BI2BI2I2B"):pack(0, offers & 0xffff, UTF8MB4, AUTOCOMMIT, offers >> 16, #SALT + 1)
      .. ("\0"):rep(10)
      .. ("<zz"):pack(SALT:sub(9), script.greets or "mysql_native_password")
  )
end

local function read_file(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- At security level 0 OpenSSL still speaks the old versions.
local function tls_context(tls)
  local context = require("openssl.ssl.context").new(tls.protocol or "TLS", true)
  context:setCipherList "DEFAULT:@SECLEVEL=0"
  context:setCertificate(require("openssl.x509").new(read_file(tls.cert)))
  context:setPrivateKey(require("openssl.pkey").new(read_file(tls.key)))
  return context
end

local SSL_REQUEST_LENGTH = 32

-- Returns the client's login, over TLS if it asks for that.
local function receive_login(peer, script)
  local packet = receive(peer)
  if packet and #packet == SSL_REQUEST_LENGTH and script.tls then
    packet = peer.socket:starttls(tls_context(script.tls)) and receive(peer)
  end
  seen.logins = seen.logins + (packet and 1 or 0)
  return packet
end

local function is_due(excess, sql)
  if type(excess) == "string" then
    return sql and sql:find(excess)
  end
  return excess and seen.replies % excess == 0
end

-- As if it were the reply to another command.
local function add_excess(peer, script, sql)
  seen.replies = seen.replies + 1
  if is_due(script.excess, sql) then
    peer.number = 1
    send_ok(peer)
  end
end

local FULL_AUTHENTICATION = "\1\4"

-- A hash of 32 bytes is what caching_sha2_password tries first.
local function switch_plugin(peer, plugin)
  send(peer, ("<Bz"):pack(0xfe, plugin) .. (plugin == "client_ed25519" and ("s"):rep(32) or SALT .. "\0"))
  local answer = receive(peer)
  if plugin == "caching_sha2_password" and answer and #answer == 32 then
    send(peer, FULL_AUTHENTICATION)
    answer = receive(peer)
  end
  seen.password = answer
  return answer
end

local function ask_for_file(peer, script)
  send(peer, "\xfb" .. script.wants)
  while #(receive(peer) or "") > 0 do -- luacheck: ignore 542
  end
end

local function greet(peer, script)
  send_greeting(peer, script)
  if not receive_login(peer, script) or script.switches and not switch_plugin(peer, script.switches) then
    return false
  end
  if script.when == "login" then
    ask_for_file(peer, script)
  end
  send_ok(peer)
  add_excess(peer, script)
  return true
end

-- Until the client goes. Packets are numbered by a byte: a multiple of 256 can be sent again and again.
local function send_endless(peer, cells)
  local packets, payload = {}, ("<s1"):pack(cells[1])
  for i = 1, 256 * 64 do
    packets[i] = ("<I3B"):pack(#payload, (peer.number + i - 1) % 256) .. payload
  end
  local rows = table.concat(packets)
  while peer.socket:write(rows) do -- luacheck: ignore
  end
end

local function answer_as_told(peer, answer)
  if answer.row then
    begin_rows(peer, answer.row, answer.types)
  end
  answer.count = (answer.count or 0) + 1
  if answer.endless and answer.count >= answer.endless then
    send_endless(peer, answer.row)
  end
  if answer.fails then
    send_error(peer, answer.fails == true and 1105 or answer.fails, "HY000", "as told")
  else
    send_eof(peer)
  end
end

local function note_flaw(peer, sql)
  local how, reset, byte = sql:match "^SPOIL (%a+) (%d+) (%d+)$"
  peer.flaw = how and { how = how, reset = tonumber(reset), byte = tonumber(byte), passed = 0 } or peer.flaw
end

-- The reply to SHOW PROFILES is the last of a reset.
local function end_flaw(peer, sql)
  if peer.flaw and peer.flaw.reset == peer.resets and sql == "SHOW PROFILES" then
    seen.spoilt = peer.flaw.passed
    peer.flaw = nil
  end
end

local function answer_query(peer, sql, script)
  note_flaw(peer, sql)
  if script.late and sql:find(script.late) then
    peer.socket:flush()
    cqueues.sleep(0.01)
  end
  for _, answer in ipairs(script.answers or {}) do
    if sql:find(answer.to) then
      return answer_as_told(peer, answer)
    end
  end
  local name, number = sql:match "^SET @(%w+) = (%d+)$"
  local asked = sql:match "^SELECT @(%w+)$"
  if name then
    peer.variables[name] = number
    send_ok(peer)
  elseif asked then
    send_row(peer, peer.variables[asked] or false)
  elseif sql:find(settings.question) or sql:find "^SELECT @@sql_mode, @@autocommit" then
    send_row(peer, table.unpack(settings.row { connection_id = tostring(peer.id) }))
  elseif sql == "SELECT CONNECTION_ID()" then
    send_row(peer, tostring(peer.id))
  elseif sql:find "^SELECT 1 FROM DUAL WHERE" then -- this and what follows belong to the reset
    send_empty(peer, "1")
  elseif sql:find "^SELECT 1 AS `[^`]+` FROM DUAL WHERE FALSE$" then
    send_empty(peer, sql:match "`([^`]+)`")
  elseif sql == "SHOW PROFILES" then
    send_empty(peer, "Query_ID", "Duration", "Query")
  elseif sql == "SHOW RESETS" then
    send_row(peer, tostring(seen.resets))
  elseif sql == "SHOW CONNECTIONS" then
    send_row(peer, tostring(seen.connections))
  elseif sql == "SHOW LOGINS" then
    send_row(peer, tostring(seen.logins))
  elseif sql == "SHOW SPOILT" then
    send_row(peer, tostring(seen.spoilt))
  elseif sql == "SHOW PASSWORD" then
    send_row(peer, seen.password or false)
  else
    send_ok(peer)
  end
end

local QUIT, QUERY, RESET = 0x01, 0x03, 0x1f
local others = { [0x02] = "init_db", [0x0e] = "ping", [0x16] = "prepare", [0x17] = "execute", [RESET] = "reset" }

local function send_columns(peer, binary)
  for _ = 1, binary.columns or 1 do
    send_column(peer, binary.name or "c1", binary.kind)
  end
  send_eof(peer)
end

local function send_prepared(peer, binary)
  send(peer, ("<BI4I2I2BI2"):pack(0, 1, binary and (binary.columns or 1) or 0, 0, 0, 0))
  if binary then
    send_columns(peer, binary)
  end
end

local function send_binary(peer, binary)
  local columns = binary.columns or 1
  send(peer, string.char(columns))
  send_columns(peer, binary)
  send(peer, "\0" .. ("\0"):rep((columns + 9) // 8) .. binary.row)
  send_eof(peer)
end

local function is_asked_for_a_file(packet, script)
  local when = script.wants and script.when
  return when and (packet:byte() == QUERY and packet:find(when, 2) or others[packet:byte()] == when)
end

local function talk(peer, script)
  local silent, how = false, nil
  for packet in receive, peer do
    local command = packet:byte()
    if command == QUIT then
      return
    elseif command == RESET then
      seen.resets = seen.resets + 1
      peer.resets = (peer.resets or 0) + 1
      how = seen.resets <= (script.resets or math.huge) and script.reset
      silent = silent or how == "silent"
    end
    if is_asked_for_a_file(packet, script) then
      ask_for_file(peer, script)
    end
    if silent then -- luacheck: ignore 542
    elseif command == RESET and how == "refuse" then
      send_error(peer, 1047, "08S01", "Unknown command")
    elseif command == RESET and how == "wsrep" then
      send_error(peer, 1047, "08S01", "WSREP has not yet prepared node for application use")
    elseif command == QUERY then
      answer_query(peer, packet:sub(2), script)
      end_flaw(peer, packet:sub(2))
    elseif others[command] == "prepare" then
      send_prepared(peer, script.binary)
    elseif others[command] == "execute" and script.binary then
      send_binary(peer, script.binary)
    else
      peer.variables = command == RESET and {} or peer.variables
      send_ok(peer)
    end
    add_excess(peer, script, command == QUERY and packet:sub(2))
  end
end

local function serve_one(s, script)
  s:setmode("bn", "bf")
  s:onerror(function(_, _, why)
    return why
  end)
  seen.connections = seen.connections + 1
  local peer = { socket = s, id = seen.connections, variables = {}, number = 0 }
  if greet(peer, script) then
    talk(peer, script)
  end
  s:flush()
  s:close()
end

local function parent_of_this_process()
  local file = assert(io.open "/proc/self/stat")
  local pid, parent = file:read("a"):match "^(%d+) %b() %a (%d+)"
  file:close()
  return parent, pid
end

local function accept(loop, listener, script)
  listener:listen()
  loop:wrap(function()
    for s in listener:clients() do
      loop:wrap(serve_one, s, script)
    end
  end)
end

-- The program: serves until it is killed or its parent is gone.
local function serve(script)
  local loop = cqueues.new()
  local listener = socket.listen("127.0.0.1", 0)
  accept(loop, listener, script)
  if script.socket then
    accept(loop, socket.listen { path = script.socket }, script)
  end
  local parent, pid = parent_of_this_process()
  print(("%d %d"):format(select(3, listener:localname()), pid))
  io.stdout:flush()
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

local function start(script)
  local program = "require 'spec.servers.scripted_server'.serve " .. source_of(script)
  local pipe = assert(io.popen(("LUA_PATH=%s LUA_CPATH=%s exec ${LUA:-lua5.4} -e %s 2>&1"):format(
    quote(package.path),
    quote(package.cpath),
    quote(program)
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
