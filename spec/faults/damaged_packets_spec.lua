-- Packets that no server should send: whatever comes, calls end in time, sessions are accounted for, and no answer
-- is taken for that to another question.
--
-- See damaged_packets.lua for what is tried, and trials.lua for how long, and how a case is repeated.

local cqueues = require "cqueues"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local program = require "spec.support.program"
local relay = require "spec.servers.relay"
local scripted_server = require "spec.servers.scripted_server"
local trials = require "spec.support.trials"

local s = fixture.server()

setup(function()
  s:sql "CREATE TABLE damaged (n INT)"
  s:sql "DELIMITER //\nCREATE PROCEDURE two_results() BEGIN SELECT 1 AS a; SELECT 2 AS b; END//"
end)

for _, how in ipairs { "corrupted", "rogue" } do
  it(("packets of a server that is %s harm nothing but their session"):format(how), function()
    trials {
      title = "damaged packets",
      module = "spec.programs.damaged_packets",
      counts = "(%d+) cases",
      seconds = 6,
      given = { how = how, host = s.host, port = s.port, key = s.public_key },
    }
  end)
end

-- Of a statement with two parameters and one column, or with none of either.
describe("a damaged reply to a prepare is a failure of kind protocol:", function()
  local damages = {
    ["another first byte"] = { sql = "SELECT ? + ?", 4, 5 },
    ["another first byte, where nothing follows"] = { sql = "DO 0", 4, 5 },
    ["more parameters than there are"] = { sql = "SELECT ? + ?", 11, 3 },
    ["fewer"] = { sql = "SELECT ? + ?", 11, 1 },
    ["none"] = { sql = "SELECT ? + ?", 11, 0 },
    ["none, and no columns"] = { sql = "DO ? + ?", 11, 0 },
    ["parameters where there are none"] = { sql = "DO 0", 11, 1 },
    ["no columns where there are some"] = { sql = "SELECT 1", 9, 0 },
    ["too few bytes"] = { sql = "DO 0", whole = "\5\0\0\1\0\1\0\0\0" },
  }

  for name, damage in pairs(damages) do
    it(name, function()
      local r <close> = relay.start(s)
      local pool = mypool.new(s:tcp_options { port = r.port, query_timeout = 0.5, retries = 0 })
      local conn <close> = assert(pool:checkout())
      if damage.whole then
        r:replace(damage.whole)
      else
        r:corrupt_here("down", damage[1], damage[2])
      end
      local statement, err = conn:prepare(damage.sql)
      assert.is_nil(statement)
      assert.is_true(err.kind == "protocol" or err.kind == "timeout", err.kind)
      assert.is_nil((conn:query "SELECT 1"))
      assert.equal(1, (pool:value "SELECT 1"))
      pool:close()
    end)
  end
end)

-- In a process of its own: it must end.
it("a connection that ends within the reply to a prepare ends it", function()
  local text = [[
    local mypool = require "mypool"
    local relay = require "spec.servers.relay"
    local r <close> = relay.start "%s:%d"
    local pool = mypool.new { host = r.host, port = r.port, user = %q, password = %q, retries = 0,
      server_public_key = %q }
    for bytes = 15, 90, 5 do
      local conn = assert(pool:checkout())
      r:cut_here("down", bytes)
      local statement, err = conn:prepare "SELECT ? + ?"
      assert(not statement and err.kind == "lost", err)
      conn:release()
    end
    assert(pool:value "SELECT 1" == 1)]]
  local options = s:tcp_options()
  text = text:format(options.host, options.port, options.user, options.password, s.public_key)
  local printed, ok, status = program(text, nil, nil, 30)
  assert.is_true(ok, tostring(status) .. "\n" .. printed)
end)

-- The length of a value is what the server says it is.
describe("a row of a prepared statement", function()
  local DECIMAL, NULL, DATETIME, VAR_STRING = 0, 6, 12, 253

  -- Whether executing it failed, and what is in the row, or the kind of the error.
  local function execute(kind, row, columns)
    local scripted = scripted_server.start { binary = { kind = kind, row = row, columns = columns } }
    local text = [[
      local mypool = require "mypool"
      local pool = mypool.new { host = %q, port = %d, user = "anybody", password = "secret" }
      local conn = assert(pool:checkout())
      local rows, err = assert(conn:prepare "SELECT"):execute()
      print(rows == nil, rows and rows[1].c1 or err.kind)
      conn:release()
      assert(pool:value "SELECT CONNECTION_ID()" == (rows and "1" or "2"))]]
    local printed, ok, status = program(text:format(scripted.host, scripted.port))
    scripted:stop()
    assert.is_true(ok, tostring(status) .. "\n" .. printed)
    return printed
  end

  it("is taken as it is", function()
    assert.equal("false\tabc\n", execute(VAR_STRING, "\3abc"))
    assert.equal("false\t2026-11-21 00:00:00\n", execute(DATETIME, "\4\xea\x07\11\21"))
  end)

  for name, row in pairs {
    ["than there is memory"] = "\xfe" .. ("\xff"):rep(6) .. "\x7f",
    ["than the packet, by a quarter of a gigabyte"] = "\xfe\0\0\0\16\0\0\0\0",
    ["than the packet, by four gigabytes"] = "\xfe\0\0\0\0\1\0\0\0",
    ["than the packet, of which there is one byte"] = "\xfe",
  } do
    it(("cannot be longer %s"):format(name), function()
      for _, kind in ipairs { DECIMAL, NULL, VAR_STRING } do
        assert.match("^true\t%a+\n$", execute(kind, row))
        assert.match("^true\t%a+\n$", execute(kind, row, 2)) -- the second is where the first ends
      end
    end)
  end
end)

-- A server that told a statement's columns may leave them out later, where they are the same.
describe("a result that comes without its columns is a failure of kind protocol:", function()
  local function packet(number, payload)
    return ("<I3B"):pack(#payload, number) .. payload
  end

  local LAST, MORE = "\xfe\0\0\2\0", "\xfe\0\0\10\0"
  local column = "\3def\0\0\0\1a\0\0" .. ("<BI2I4BI2BI2"):pack(12, 45, 100, 253, 0, 0, 0)
  local function second_result(columns)
    local first = { packet(1, "\1\1"), packet(2, column), packet(3, MORE), packet(4, "\0\0\1x"), packet(5, MORE) }
    return table.concat(first) .. packet(6, columns .. "\0") .. packet(7, LAST)
  end

  for name, case in pairs {
    ["that of a statement without a result"] = { sql = "DO 0", reply = packet(1, "\1\0") .. packet(2, LAST) },
    ["with more columns than were told"] = { sql = "SELECT 1", reply = packet(1, "\2\0") .. packet(2, LAST) },
    ["the second of a CALL"] = { sql = "CALL two_results()", reply = second_result "\1" },
    ["the second of a CALL, with more columns than the first"] = {
      sql = "CALL two_results()",
      reply = second_result "\2",
    },
  } do
    it(name, function()
      local text = [[
        local mypool = require "mypool"
        local relay = require "spec.servers.relay"
        local r <close> = relay.start "%s:%d"
        local pool = mypool.new { host = r.host, port = r.port, user = %q, password = %q,
          server_public_key = %q, database = "app", retries = 0 }
        local conn = assert(pool:checkout())
        local statement = assert(conn:prepare "%s")
        r:replace %q
        local result, err = statement:execute()
        print(result, err.kind)
        conn:release()
        assert(pool:value "SELECT 1" == 1)]]
      local options = s:tcp_options()
      text = text:format(options.host, options.port, options.user, options.password, s.public_key, case.sql, case.reply)
      local printed, ok, status = program(text, nil, nil, 30)
      assert.is_true(ok, tostring(status) .. "\n" .. printed)
      assert.equal("nil\tprotocol\n", printed)
    end)
  end
end)

-- libmariadb's copy of such a name ends with the NUL.
it("the name of a column ends with its first NUL", function()
  local scripted = scripted_server.start { binary = { kind = 253, row = "\3abc", name = "n\0" .. ("x"):rep(240) } }
  local pool = mypool.new { host = scripted.host, port = scripted.port, user = "anybody", password = "secret" }
  local conn = assert(pool:checkout())
  assert.same({ n = "abc" }, assert(conn:prepare "SELECT"):execute()[1])
  conn:release()
  pool:close()
  scripted:stop()
end)

-- An error with the code 65535 in the place of the greeting brings libmariadb down.
describe("a greeting that is deadly to libmariadb", function()
  local greeting = "\x0f\0\0\0\xff\xff\xff#08004refused!"

  -- Pieces of it, with a pause between them; all that is read of the connection is thrown away. Over TCP, or over a
  -- unix socket, which tells of bytes otherwise.
  local function greet_over(path, ...)
    local text = ([[
      local cqueues = require "cqueues"
      local mypool = require "mypool"
      local path = %s
      local address = path and { path = path } or { host = "127.0.0.1", port = 0 }
      local listener = assert(require("cqueues.socket").listen(address))
      listener:listen()
      local loop, pieces, answered = cqueues.new(), { %s }, false
      loop:wrap(function()
        for peer in listener:clients() do
          peer:setmode("bn", "bn")
          loop:wrap(function()
            for _, piece in ipairs(pieces) do
              peer:xwrite(piece, "bn")
              cqueues.sleep(0.05)
            end
            answered = peer:xread(1, "b", 5) ~= nil
          end)
        end
      end)
      local ended
      loop:wrap(function()
        local host, port = not path and "127.0.0.1" or nil, not path and select(3, listener:localname()) or nil
        local pool = mypool.new { host = host, port = port, socket = path, user = "app",
          connect_timeout = 1, checkout_timeout = 1, retries = 0, wait = require "mypool.wait.cqueues" }
        local cpu = os.clock()
        local conn, err = pool:checkout()
        print(conn, err.kind, err.executed, os.clock() - cpu < 0.1, answered)
        pool:close()
        ended = true
      end)
      while not ended do
        assert(loop:step(1))
      end]])
    local pieces = {}
    for i, piece in ipairs { ... } do
      pieces[i] = ("%q"):format(piece)
    end
    return program(text:format(path and ("%q"):format(path) or "nil", table.concat(pieces, ", ")))
  end

  local function greet(...)
    return greet_over(nil, ...)
  end

  it("is a connect error", function()
    local printed, ok, status = greet(greeting)
    assert.is_true(ok, status)
    assert.equal("nil\tconnect\tno\ttrue\tfalse\n", printed)
  end)

  it("is one also when it comes in pieces, and waiting for them costs nothing", function()
    for at = 1, 8 do
      local printed, ok, status = greet(greeting:sub(1, at), greeting:sub(at + 1))
      assert.is_true(ok, status)
      assert.equal("nil\tconnect\tno\ttrue\tfalse\n", printed)
    end
  end)

  it("may never be complete, and waiting for it costs nothing", function()
    local path = os.tmpname()
    for _, over in ipairs { false, path } do
      os.remove(path)
      local printed = greet_over(over or nil, greeting:sub(1, 5))
      local kind = printed:match "^nil\t(%a+)\tno\ttrue\tfalse\n$"
      assert.is_true(kind == "timeout" or kind == "connect", printed) -- both times are up at once
    end
    os.remove(path)
  end)

  it("is no greeting in pieces, of which the last may be short", function()
    local salt = ("s"):rep(20)
    local payload = ("<BzI4c8B"):pack(10, "5.5.5-10.11.0-MariaDB", 1, salt:sub(1, 8), 0)
      .. ("<I2BI2I2Bc10zz"):pack(0xa209, 45, 2, 0xa, 21, ("\0"):rep(10), salt:sub(9), "mysql_native_password")
    local packet = ("<I3B"):pack(#payload, 0) .. payload
    local printed = greet(packet:sub(1, 8), packet:sub(9, -4), packet:sub(-3))
    assert.match("\ttrue\n$", printed)
  end)

  it("is no reason to forget why there is no connection", function()
    local r <close> = relay.start(s.host .. ":" .. s.port)
    r:refuse(true)
    local refused = { host = r.host, port = r.port, retries = 0, checkout_timeout = 1 }
    local pool = require("mypool").new(s:tcp_options(refused))
    local _, err, errno = pool:checkout()
    assert.is_true(errno == 2002 or errno == 2003, tostring(err))
    pool:close()
  end)

  it("is no greeting that is slow: one that comes byte by byte is waited for", function()
    local r <close> = relay.start(s.host .. ":" .. s.port)
    r:chunk(1)
    r:delay(1)
    local pool <const> = require("mypool").new(s:tcp_options { host = r.host, port = r.port, connect_timeout = 60 })
    local began = cqueues.monotime()
    assert.equal(1, pool:value "SELECT 1")
    assert.is_true(cqueues.monotime() - began < 60)
    pool:close()
  end)
end)
