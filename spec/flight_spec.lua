-- The flight: all that a reset sends at once, however long it is.

local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local server = require "spec.support.server"

local s

setup(function()
  s = server.start { options = { "--max-allowed-packet=64M" } }
  s:sql "CREATE TABLE app.victim (a INT); INSERT INTO app.victim VALUES (1)"
end)

teardown(function()
  s:remove()
end)

after_each(pools.close)

describe("a statement that does not fit into one packet", function()
  local LONGEST = 2 ^ 24 - 3

  -- A statement of so many bytes. A reader that takes its length for `length % 2 ^ 24` finds a command in the value.
  local function statement(length)
    local command = "\3DELETE FROM victim"
    local packet = ("<I3B"):pack(#command, 0) .. command
    local head = "SET @x = '"
    local before = math.max(0, length + 1 - 2 ^ 24)
    local text = head .. ("z"):rep(before - #head) .. packet
    return text .. ("y"):rep(length - #text - 1) .. "'"
  end

  for _, more in ipairs { 1, 2, 3, 100, 2 ^ 24 } do
    it(("is refused in on_connect, with %d bytes too many"):format(more), function()
      local text, refusal = statement(LONGEST + more)
      local pool = pools.new(s:options {
        max_size = 1,
        on_connect = function(conn)
          local ok, err = conn:query(text)
          refusal = err
          return ok, err
        end,
      })
      local value, err = pool:value "SELECT LENGTH(@x)"
      assert.is_nil(value)
      assert.equal(refusal, err)
      assert.truthy(err.message:find("on_connect", 1, true), err.message)
      assert.same({ "server", 1153, "no" }, { err.kind, err.errno, err.executed })
      assert.same({ false, false }, { err.retryable, err.fatal })
      assert.equal("1", s:sql("SELECT COUNT(*) FROM app.victim")[1])
    end)

    it(("is refused as init_sql, with %d bytes too many"):format(more), function()
      local text = statement(LONGEST + more):gsub("\0", "0")
      for _, init_sql in ipairs { text, { "SET @y = 1", text } } do
        mistake("'init_sql' (statements of less than 16 MiB, not one of ", function()
          mypool.new(s:options { init_sql = init_sql })
        end)
      end
    end)
  end

  it("may run later in the loan", function()
    local pool = pools.new(s:options { max_size = 1, on_connect = function() end })
    local conn <close> = assert(pool:checkout())
    assert(conn:query(statement(LONGEST + 100)))
    assert.equal(LONGEST + 100 - #"SET @x = ''", conn:value "SELECT LENGTH(@x)")
  end)
end)
