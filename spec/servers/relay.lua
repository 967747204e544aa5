-- A fault relay for specs and benchmarks: clients connect to relay.host and relay.port and reach the
-- server through a program that adds latency, cuts and damage at exact bytes.
--
--     local r = relay.start { socket = "/tmp/mysql.sock" }
--     r:cut("up", 17, "rst")   -- the next connection is reset after 17 bytes from the client
--     …
--     r:stop()
--
-- A command has taken effect when its method returns. Directions are "up" (client to server) and "down";
-- kinds of cut are "fin", "rst" and "hold" (a black hole). Bytes are plain Lua strings. A method that
-- returns a table returns the numbers of the answer.

local quote = require "spec.support.quote"

local relay = {}
relay.__index = relay

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local program = folder .. "/../../build/spec/relay"

local function target_of(server)
  if type(server) == "string" then
    return server
  end
  local socket = not server.public_key and server.socket -- a key is asked for over TCP only
  return socket or ("%s:%d"):format(server.host or "127.0.0.1", server.port)
end

local function hex(bytes)
  return (bytes:gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

local function numbers_of(answer)
  local numbers = {}
  for name, number in answer:gmatch("(%w+)=(%d+)") do
    numbers[name] = tonumber(number)
  end
  return numbers
end

local function switch(on)
  return on and "on" or "off"
end

-- io.popen gives one direction only. The other is a pipe that the program makes and names, so that no file
-- has to be made and removed; "exec" makes the program our child, which it needs to end with us.
local function spawn(target, place)
  local command = ("exec %s --pipe %s %s 2>&1"):format(quote(program), quote(target), place)
  local answers = assert(io.popen(command))
  local first, second = answers:read(), answers:read()
  local path, pid = (first or ""):match "^control (/proc/(%d+)/.*)"
  local port = (second or ""):match "^port (%d+)"
  if not port then
    answers:close()
    error("no relay: " .. (second or first or program), 0)
  end
  local commands, why = io.open(path, "w")
  if not commands then
    os.execute("kill " .. pid) -- or closing `answers` would wait for it
    error("no relay: " .. why, 0)
  end
  return { answers = answers, commands = commands, pid = tonumber(pid), port = tonumber(port) }
end

-- Starts a relay to a server: { socket = }, { host =, port = }, or "host:port" or a socket's path. It listens on
-- 127.0.0.1 and any port, or at this place: { host = address, port = number }. Raises if it cannot.
function relay.start(server, place)
  local r = spawn(target_of(server), place and ("%s:%d"):format(place.host, place.port) or "")
  r.host = place and place.host or "127.0.0.1"
  return setmetatable(r, relay)
end

-- Raises what the program printed if it did not end well.
local function close(self)
  self.commands:close()
  self.commands = nil
  local printed = self.answers:read "a"
  if not self.answers:close() then
    error("the relay failed: " .. printed, 0)
  end
end

-- Sends one line as it is. Returns the numbers in the answer; raises if the relay answers "error".
function relay:command(...)
  local line = table.concat({ ... }, " ")
  assert(self.commands, "the relay was stopped")
  self.commands:write(line, "\n")
  self.commands:flush()
  local answer = self.answers:read()
  if not answer or not answer:match "^ok" then
    if not answer or not answer:match "^error" then
      close(self)
    end
    error(("relay: %s: %s"):format(line, answer), 0)
  end
  return numbers_of(answer)
end

-- Latency in milliseconds added to each direction, or to up and down apart.
function relay:delay(up, down)
  self:command("delay", up, down or up)
end

-- Bytes per second and direction of each connection; 0: no limit.
function relay:throttle(bytes)
  self:command("throttle", bytes)
end

-- The most bytes forwarded by one write; 0: no limit.
function relay:chunk(bytes)
  self:command("chunk", bytes)
end

-- The next connection is cut after so many bytes in this direction.
function relay:cut(way, bytes, how)
  self:command("cut", way, bytes, how or "fin")
end

-- As cut, for the connections open now, counted from now. Returns { connections = }.
function relay:cut_here(way, bytes, how)
  return self:command("cut here", way, bytes, how or "fin")
end

-- Cuts the connections open now. Returns { connections = }.
function relay:drop(how)
  return self:command("drop", how or "fin")
end

-- Forwards nothing more, and accepts nothing: the kernel still lets clients connect.
function relay:hold()
  self:command("hold")
end

-- Ends hold, and the cuts of kind "hold".
function relay:release()
  self:command("release")
end

-- Closes the listening socket (true), or opens it again on the same port.
function relay:refuse(on)
  self:command("refuse", switch(on))
end

-- Replaces a byte of the next connection; offsets count from 0.
function relay:corrupt(way, offset, byte)
  self:command("corrupt", way, offset, ("%02x"):format(byte))
end

-- As corrupt, for the connections open now; offset 0 is the next byte that arrives. Returns { connections = }.
function relay:corrupt_here(way, offset, byte)
  return self:command("corrupt here", way, offset, ("%02x"):format(byte))
end

-- Of what the server says on the connections open now, the reply behind so many is left out ("drop"), comes twice
-- ("double"), or has an OK behind it ("add"). Returns { connections = }. Nothing may be under way, and no statement may
-- have several results.
function relay:shift(how, replies)
  return self:command("shift", how, replies)
end

-- Sends bytes to the client ("down") or server ("up") of all connections open now. Returns { connections = }.
function relay:inject(way, bytes)
  return self:command("inject", way, hex(bytes))
end

-- From now on the connections open now do not reach the server: whatever the client sends is answered
-- with these bytes. nil: they reach it again. Returns { connections = }.
function relay:answer(bytes)
  return self:command("answer", bytes and hex(bytes) or "off")
end

-- The server gets all that the clients of the connections open now send; but what it says next, in one piece,
-- does not reach them: these bytes do. Returns { connections = }.
function relay:replace(bytes)
  return self:command("replace", hex(bytes))
end

-- New connections see a server without TLS.
function relay:strip_tls(on)
  self:command("strip_tls", switch(on))
end

-- New connections are told that they have the numbers 1 to `count`, again and again; 0: those of the server.
function relay:renumber(count)
  self:command("renumber", count)
end

-- From now on all that clients send is kept, the first 64 KiB of it.
function relay:record()
  self:command("record", "on")
end

-- Returns it.
function relay:heard()
  self.commands:write "heard\n"
  self.commands:flush()
  local bytes = assert(self.answers:read():match "^heard (%x*)$")
  assert(self.answers:read() == "ok")
  return (bytes:gsub("%x%x", function(byte)
    return string.char(tonumber(byte, 16))
  end))
end

-- Returns { connections =, open =, cuts =, up =, down = }: accepted since the start, open now, cut by a fault or
-- drop since the start, and the bytes forwarded since then.
function relay:stats()
  return self:command("stats")
end

-- Returns { open = 0 or 1, up =, down = } of the connection accepted last.
function relay:last()
  return self:command("last")
end

-- Everything back to the defaults, what is held is released; connections stay open.
function relay:reset()
  self:command("reset")
end

-- Ends the relay and its connections. Stopping twice is quiet.
function relay:stop()
  if self.commands then
    self.commands:write "quit\n"
    close(self)
  end
end

relay.__gc = relay.stop
relay.__close = relay.stop

return { start = relay.start }
