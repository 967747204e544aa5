-- What each Lua state of the program states does: states spec/programs/states.lua THREADS ROUNDS SOCKET.
-- Raises what goes wrong.

local thread, socket = ...
local core = require "mypool.core"
local mypool = require "mypool"

local options = { socket = socket, user = "app", password = "secret", database = "app", max_size = 2 }

local function use(pool)
  for i = 1, 5 do
    local number = thread * 1000 + i
    assert(pool:value("SELECT ?", number) == number)
    local conn <close> = assert(pool:checkout())
    assert(conn:query("SET @own = ?", number))
    local statement = assert(conn:prepare "SELECT @own + ?")
    assert(math.tointeger(statement:value(1)) == number + 1)
    for row in assert(conn:rows "SELECT seq FROM seq_1_to_10") do
      assert(row.seq <= 10)
    end
    assert(pool:value "SELECT @own" == nil)
  end
  local late, err = pool:query { "SELECT SLEEP(5)", timeout = 0.01 }
  assert(not late and err.kind == "timeout", tostring(err))
  assert(select(2, pool:query "SELECT nonsense").errno == 1054)
end

local plain = mypool.new(options)
use(plain)

-- Under a scheduler: with threads that connect.
options.wait = function(fd, seconds)
  return core.poll(fd, seconds)
end
local scheduled = mypool.new(options)
use(scheduled)
plain:close()

-- One pool is left to the end of the state, with a loan out.
local forgotten = mypool.new(options)
assert(forgotten:checkout()) -- luacheck: ignore
