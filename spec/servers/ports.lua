-- Ports on loopback on which nobody listens, for what has to be told its port. Below 32768 the kernel gives none to
-- clients.

local ports = {}

-- The ports on which something listens, over IPv4.
local function taken()
  local found = {}
  for line in io.lines "/proc/net/tcp" do
    local port = line:match "^ *%d+: %x+:(%x+) 00000000:0000 0A"
    if port then
      found[tonumber(port, 16)] = true
    end
  end
  return found
end

-- Probing the port would be a connection.
function ports.is_taken(port)
  return taken()[port] ~= nil
end

-- The first of so many free ones in a row.
function ports.free(count)
  local found = taken()
  local first
  repeat
    first = math.random(15000, 31999 - count)
    local last = first
    while last < first + count and not found[last] do
      last = last + 1
    end
  until last == first + count
  return first
end

return ports
