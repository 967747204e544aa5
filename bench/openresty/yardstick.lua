-- The least that a client of MariaDB on a cosocket does: logs in by mysql_native_password, sends a text, reads one
-- row, and keeps the connection as it is for the next request. The yardstick of run.lua.

local bit = require "bit"
local ngx = ngx -- luacheck: ignore

local yardstick = {}

local function read_packet(socket)
  local head = assert(socket:receive(4))
  local a, b, c, number = head:byte(1, 4)
  return assert(socket:receive(a + b * 256 + c * 65536)), number
end

local function send_packet(socket, number, text)
  local length = #text
  local head = string.char(length % 256, math.floor(length / 256) % 256, math.floor(length / 65536), number)
  assert(socket:send(head .. text))
end

local function scramble(password, salt)
  local first = ngx.sha1_bin(password)
  local second = ngx.sha1_bin(salt .. ngx.sha1_bin(first))
  local bytes = {}
  for i = 1, 20 do
    bytes[i] = string.char(bit.bxor(first:byte(i), second:byte(i)))
  end
  return table.concat(bytes)
end

-- PROTOCOL_41, SECURE_CONNECTION, CONNECT_WITH_DB, LONG_PASSWORD, TRANSACTIONS
local CAPABILITIES = 0x1 + 0x8 + 0x200 + 0x2000 + 0x8000

local function log_in(socket, options)
  local greeting = read_packet(socket)
  local at = greeting:find("\0", 2, true) + 1 -- behind the version
  local salt = greeting:sub(at + 4, at + 11) .. greeting:sub(at + 31, at + 42)
  local flags = string.char(CAPABILITIES % 256, math.floor(CAPABILITIES / 256), 0, 0)
  local answer = scramble(options.password, salt)
  local head = flags .. "\0\0\0\1" .. string.char(45) .. ("\0"):rep(23)
  send_packet(socket, 1, head .. options.user .. "\0\20" .. answer .. options.database .. "\0")
  assert(read_packet(socket):byte() == 0, "the login failed")
end

local function connect(options)
  local socket = ngx.socket.tcp()
  assert(socket:connect("unix:" .. options.socket))
  if socket:getreusedtimes() == 0 then
    log_in(socket, options)
  end
  return socket
end

local function cells(packet)
  local found, at = {}, 1
  while at <= #packet do
    local length = packet:byte(at)
    found[#found + 1] = packet:sub(at + 1, at + length)
    at = at + 1 + length
  end
  return found
end

-- The cells of the first row, all of less than 251 bytes.
function yardstick.one(options, sql)
  local socket = connect(options)
  send_packet(socket, 0, "\3" .. sql)
  local columns = read_packet(socket):byte()
  for _ = 1, columns + 1 do -- and the end of them
    read_packet(socket)
  end
  local row = cells((read_packet(socket)))
  read_packet(socket)
  socket:setkeepalive(60000, options.size)
  return row
end

return yardstick
