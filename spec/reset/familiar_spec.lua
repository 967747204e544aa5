-- Replies to a reset that are byte for byte those of an earlier one are not read again. Whatever is not the same is
-- judged as it is at a session's first reset, where there is nothing yet to compare it with.

local pools = require "spec.support.pools"
local scripted_server = require "spec.servers.scripted_server"

local s, socket

setup(function()
  socket = os.tmpname()
  os.remove(socket)
  s = scripted_server.start { socket = socket }
end)

teardown(function()
  s:stop()
  os.remove(socket)
end)

after_each(pools.close)

-- Spoils the replies to a session's so-manieth reset, and tells what becomes of the session.
local function fate(how, reset, byte)
  local options = s:options { max_size = 1, socket = socket }
  options.host, options.port = nil, nil
  local pool = pools.new(options)
  local conn, id = assert(pool:checkout()), nil
  assert(conn:query(("SPOIL %s %d %d"):format(how, reset, byte)))
  for i = 1, reset do
    assert(conn:query("SET @mine = " .. i))
    id = assert(conn:value "SELECT CONNECTION_ID()")
    conn:release()
    conn = assert(pool:checkout())
  end
  local mine, err = conn:value "SELECT @mine"
  assert.is_nil(err)
  assert.is_nil(mine)
  local spoilt = conn:value "SHOW SPOILT"
  local kept = conn:value "SELECT CONNECTION_ID()" == id
  pool:close()
  return kept, tonumber(spoilt)
end

local FIRST, FAMILIAR = 1, 3
local BEYOND = 100000

for _, how in ipairs { "change", "double" } do
  it(("judges familiar replies as it judges the first: %s, at each byte"):format(how), function()
    local kept, length = fate(how, FAMILIAR, BEYOND)
    assert.is_true(kept)
    assert.is_true(length > 100)
    local closed = 0
    for byte = 1, length do
      local expected = fate(how, FIRST, byte)
      assert.equal(expected, (fate(how, FAMILIAR, byte)), byte)
      closed = closed + (expected and 0 or 1)
    end
    assert.is_true(closed > 10, closed)
  end)
end
