-- A connection: the handle of one loan, from checkout to release.

local core = require "mypool.core"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local program = require "spec.support.program"
local server = require "spec.servers.server"

local methods = {
  query = { "SELECT 1" },
  one = { "SELECT 1" },
  value = { "SELECT 1" },
  ping = {},
  begin = {},
  transaction = { print },
  id = {},
  in_transaction = {},
}

describe("a connection", function()
  local s = fixture.shared_server()
  local pool, conn

  before_each(function()
    pool, conn = pools.lend(s:options { max_size = 2 })
  end)

  after_each(pools.close)

  it("queries, gives one row, gives one value, and pings", function()
    assert.same({ { a = 1, b = "x" } }, conn:query "SELECT 1 AS a, 'x' AS b")
    assert.same({ a = 1, b = "x" }, conn:one "SELECT 1 AS a, 'x' AS b")
    assert.equal(1, conn:value "SELECT 1 AS a, 'x' AS b")
    assert.is_true(conn:ping())
  end)

  it("keeps its state from one statement to the next", function()
    assert(conn:query "SET @a = 5")
    assert(conn:query "CREATE TEMPORARY TABLE t (n INT)")
    assert(conn:query "INSERT INTO t VALUES (@a)")
    assert.equal(5, conn:value "SELECT n FROM t")
  end)

  it("says the server's id of its session", function()
    assert.equal(conn:value "SELECT CONNECTION_ID()", conn:id())
    assert.equal("integer", math.type(conn:id()))
  end)

  it("says whether it is in a transaction", function()
    assert.is_false(conn:in_transaction())
    assert(conn:query "START TRANSACTION")
    assert.is_true(conn:in_transaction())
    assert(conn:query "COMMIT")
    assert.is_false(conn:in_transaction())
  end)

  it("is shown with its id, and as released", function()
    assert.equal(("mypool.connection (id %d)"):format(conn:id()), tostring(conn))
    conn:release()
    assert.equal("mypool.connection (released)", tostring(conn))
  end)

  it("has a sealed metatable, as the pool has", function()
    assert.is_false(getmetatable(conn))
    assert.is_false(getmetatable(pool))
    assert.is_false(pcall(setmetatable, conn, {}))
    assert.is_false(pcall(function()
      conn.query = print
    end))
    assert.is_nil(conn.nonexistent)
  end)

  it("raises when a method is given something else as self", function()
    local tx <close> = assert(pool:begin())
    for name, arguments in pairs(methods) do
      for _, self in ipairs { {}, "conn", 7, true, pool, tx, io.stdout } do
        mistake(("bad argument 'self' to '%s' (mypool.connection expected, got "):format(name), function()
          conn[name](self, table.unpack(arguments))
        end)
      end
      mistake(("to '%s' (mypool.connection expected, got nil: call it with a colon"):format(name), function()
        conn[name](nil, table.unpack(arguments))
      end)
    end
    for _, name in ipairs { "release", "discard" } do
      for _, self in ipairs { {}, "conn", pool, tx } do
        mistake(("bad argument 'self' to '%s' (mypool.connection expected, got "):format(name), function()
          conn[name](self)
        end)
      end
    end
    mistake("got mypool.pool)", function()
      conn.query(pool, "SELECT 1")
    end)
  end)

  it("takes a string as SQL, or a table of a string and options", function()
    for _, sql in ipairs { 7, true, print, {}, { 7 }, { {} }, conn } do
      for _, name in ipairs { "query", "one", "value" } do
        mistake(("bad argument 'sql' to '%s' (string expected, got "):format(name), function()
          conn[name](conn, sql)
        end)
      end
    end
    assert.equal(1, conn:value { "SELECT 1" })
    assert.equal(1, conn:value { "SELECT 1", timeout = 5, idempotent = true, rows = "array" })
  end)

  it("raises for options of a statement that are unknown or wrong", function()
    local wrong = {
      ["query: unknown option 'timout' (did you mean 'timeout'?)"] = { "SELECT 1", timout = 1 },
      ["query: bad option 'timeout' (positive number of seconds expected, got 0)"] = { "SELECT 1", timeout = 0 },
      ["query: bad option 'timeout' (positive number of seconds expected, got '1')"] = { "SELECT 1", timeout = "1" },
      ["query: bad option 'idempotent' (boolean expected, got 1)"] = { "SELECT 1", idempotent = 1 },
      ["query: bad option 'rows' ('table' or 'array' expected, got 'list')"] = { "SELECT 1", rows = "list" },
      ["query: names of options are strings, not number"] = { "SELECT 1", 5 },
    }
    for message, sql in pairs(wrong) do
      mistake(message, function()
        conn:query(sql)
      end)
    end
    assert.equal(1, conn:value "SELECT 1")
  end)

  it("is as good as before after a mistake", function()
    assert(conn:query "SET @a = 5")
    mistake("wrong number of parameters", function()
      conn:query("SELECT ?", 1, 2)
    end)
    assert.equal(5, conn:value "SELECT @a")
  end)

  describe("that is released", function()
    it("gives its session back, and may be released again", function()
      conn:release()
      conn:release()
      conn:discard()
      assert.same({ 1, 0 }, { pool:stats().idle, pool:stats().lent })
      local other <close> = pool:checkout()
      conn:release()
      conn:discard()
      assert.same({ 0, 1 }, { pool:stats().idle, pool:stats().lent })
      assert.is_true(other:ping())
    end)

    it("returns nothing", function()
      assert.equal(0, select("#", conn:release()))
      assert.equal(0, select("#", conn:release()))
      assert.equal(0, select("#", pool:checkout():discard()))
    end)

    it("raises when it is used, and names the place of the release", function()
      conn:release() -- this line
      local line = debug.getinfo(1, "l").currentline - 1
      for name, arguments in pairs(methods) do
        local message = mistake(("bad call of '%s' (this connection was released at "):format(name), function()
          conn[name](conn, table.unpack(arguments))
        end)
        assert.is_truthy(message:find(("handle_spec.lua:%d)"):format(line), 1, true), message)
      end
    end)

    it("takes { reset = false }, and then leaves the session as it is", function()
      local id = conn:id()
      conn:query "SET @a = 5"
      conn:release { reset = false }
      local other = pool:checkout()
      assert.equal(id, other:id())
      assert.equal(5, other:value "SELECT @a")
      other:release { reset = true }
      other = pool:checkout()
      assert.is_nil(other:value "SELECT @a")
      other:release {}
    end)

    it("takes no other options", function()
      for _, wrong in ipairs { { rest = true }, { true }, { reset = 1 }, { reset = "yes" }, 7, "reset" } do
        mistake("to 'release' (", function()
          conn:release(wrong)
        end)
      end
      assert.is_true(conn:ping())
    end)
  end)

  describe("that is discarded", function()
    it("closes its session", function()
      conn:discard()
      assert.same({ 0, 0, 1 }, { pool:stats().size, pool:stats().idle, pool:stats().discarded })
      conn:release()
      mistake("bad call of 'query' (this connection was released at ", function()
        conn:query "SELECT 1"
      end)
    end)
  end)

  describe("in a to-be-closed variable", function()
    it("is released at the end of the block", function()
      do
        local c <close> = assert(pool:checkout())
        assert.equal(2, pool:stats().lent)
        assert.is_true(c:ping())
      end
      assert.equal(1, pool:stats().lent)
      assert.same({ 0, 1 }, { pool:stats().discarded, pool:stats().idle })
    end)

    it("is released when an error leaves the block", function()
      local kept
      assert.is_false(pcall(function()
        local c <close> = assert(pool:checkout())
        kept = c
        error "x"
      end))
      assert.equal(1, pool:stats().lent)
      mistake("bad call of 'query' (this connection was released", function()
        kept:query "SELECT 1"
      end)
    end)

    it("bears a release before the end of the block", function()
      local c <close> = assert(pool:checkout())
      c:release()
    end)
  end)
end)

describe("a connection that is forgotten", function()
  local s = fixture.shared_server()

  after_each(pools.close)

  local function forgetful(body)
    return ([[
local mypool = require "mypool"
local pool = mypool.new %q
%s]]):format(s:dsn "max_size=1", body)
  end

  it("gives its slot back when it is collected, with a warning that says where it was checked out", function()
    local printed, ok = program(forgetful [[
do
  local conn = assert(pool:checkout())
  conn:query "SET @a = 5"
end
collectgarbage()
print(pool:stats().lent, pool:stats().idle, pool:value "SELECT @a")]])
    assert.is_true(ok, printed)
    local warning = "Lua warning: mypool: a connection checked out at (command line):4 was never released"
    assert.equal(warning .. "\n0\t1\tnil\n", printed)
  end)

  it("is not warned about when it was released, or closed", function()
    local printed, ok = program(forgetful [[
pool:checkout():release()
pool:checkout():discard()
do local conn <close> = pool:checkout() end
pool:with(function() end)
pool:query "SELECT 1"
collectgarbage()
print "fine"]])
    assert.is_true(ok, printed)
    assert.equal("fine\n", printed)
  end)

  it("is not warned about when its checkout failed", function()
    local printed, ok = program(forgetful [[
local conn <close> = pool:checkout()
assert(not pool:checkout())
collectgarbage()
print "fine"]])
    assert.is_true(ok, printed)
    assert.equal("fine\n", printed)
  end)
end)

describe("a userdata of another kind", function()
  it("is not taken for a connection, even with the metatable of one", function()
    local pool = pools.new(server.shared():options { max_size = 1 })
    local conn <close> = assert(pool:checkout())
    local foreign, query, disguise = io.tmpfile(), conn.query, debug.getmetatable(conn)
    local own = debug.getmetatable(foreign)
    debug.setmetatable(foreign, disguise)
    local ok, message = pcall(query, foreign, "SELECT 1")
    disguise.__gc(foreign)
    debug.setmetatable(foreign, own)
    assert.is_false(ok)
    assert.match("bad argument 'self' to 'query' (mypool.connection expected, got mypool.connection)", message, 1, true)
    foreign:close()
  end)
end)

describe("mypool.is_error", function()
  it("knows mypool's errors, and nothing else", function()
    local pool = pools.new { socket = "/nonexistent", retries = 0 }
    assert.is_true(mypool.is_error(select(2, pool:checkout())))
    for _, value in ipairs { {}, "error", 7, pool, print } do
      assert.is_false(mypool.is_error(value))
    end
    assert.is_false(mypool.is_error(nil))
    pools.close()
  end)
end)

describe("a wait function", function()
  it("that uses the connection it waits for is told so", function()
    local conn, busy
    local function wait(fd, seconds)
      if conn and not busy then
        busy = true
        conn:query "SELECT 2"
      end
      return core.poll(fd, seconds)
    end
    local pool = pools.new(server.shared():options { wait = wait })
    conn = assert(pool:checkout())
    mistake("this connection was used or released within the wait function", function()
      local _ = conn:query "DO SLEEP(0.01)"
    end)
    conn:release()
    conn = nil
    assert.equal(1, pool:value "SELECT 1")
    pools.close()
  end)
end)

describe("a finalizer of the program's", function()
  it("that runs in the middle of a call can neither use nor end the connection of that call", function()
    local s = server.shared()
    local printed, ok, status = program(([[
      warn "@off"
      local mypool = require "mypool"
      local pool = mypool.new { socket = %q, user = "app", password = "secret", database = "app", max_size = 2 }
      local actions, refused = { "release", "discard", "query", "ping", "id" }, 0
      for i = 1, 600 do
        collectgarbage("incremental", 100, 400, 6)
        local conn = assert(pool:checkout())
        local action, made = actions[i %% #actions + 1], false
        setmetatable({}, { __gc = function()
          if not made then
            made = true
            local _, why = pcall(conn[action], conn, action == "query" and "SELECT 1" or nil)
            refused = refused + (tostring(why):find "in the middle of a call" and 1 or 0)
          end
        end })
        for k = 1, i %% 40 do
          local _ = { k }
        end
        pcall(function()
          if i %% 3 == 0 then
            conn:execute_many("DO ? + ?", { { 1, "a" }, { 2, "b" } })
          elseif i %% 3 == 1 then
            conn:query("SELECT seq, REPEAT('z', 30) FROM seq_1_to_100")
          else
            for row in conn:rows "SELECT seq, REPEAT('z', 30) FROM seq_1_to_100" do
              row.x = {}
            end
          end
        end)
        made = true
        pcall(conn.release, conn)
      end
      local stats = pool:stats()
      print(refused > 0, stats.lent, stats.opened - stats.closed - stats.idle)]]):format(s.socket))
    assert.is_true(ok, tostring(status) .. "\n" .. printed)
    assert.equal("true\t0\t0\n", printed)
  end)
end)
