-- What a connection tells the server of its program when it is opened.

local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"

describe("a connection", function()
  local s = fixture.server { options = { "--performance-schema=ON" } }
  local r = fixture.relay(s)
  after_each(pools.close)

  local function program_name(options)
    local pool = pools.new(s:options(options))
    return assert(pool:one(
      [[SELECT MAX(ATTR_VALUE) AS name FROM performance_schema.session_connect_attrs
        WHERE PROCESSLIST_ID = CONNECTION_ID() AND ATTR_NAME = 'program_name']]
    )).name
  end

  it("names its program as application_name, or as the pool is called", function()
    s:sql "GRANT SELECT ON performance_schema.* TO app"
    assert.equal("shop ä", program_name { application_name = "shop ä", name = "orders" })
    assert.equal("orders", program_name { name = "orders" })
    assert.not_equal("orders", program_name {})
  end)

  it("that stops statements names its program, too", function()
    local options = { host = r.host, port = r.port, max_size = 1, application_name = "the-shop" }
    local conn <close> = assert(pools.new(s:tcp_options(options)):checkout())
    r:record()
    assert.equal("timeout", select(2, conn:query { "SELECT SLEEP(60)", timeout = 0.1 }).kind)
    eventually(function()
      return r:heard():find("program_name", 1, true)
    end)
    assert.is_truthy(r:heard():find("the-shop", 1, true))
  end)

  it("takes a name of 1 to 64 bytes", function()
    for _, name in ipairs { "", ("x"):rep(65), "a\0b" } do
      mistake("bad option 'application_name' (string of 1 to 64 bytes expected", function()
        mypool.new { application_name = name }
      end)
    end
    assert.is_truthy(mypool.new("mariadb://app@db?application_name=" .. ("7"):rep(64)))
  end)
end)

describe("affected_rows", function()
  local s = fixture.shared_server()
  after_each(pools.close)

  it("counts rows that were changed; with found_rows those that were found, after resets too", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    s:sql "CREATE OR REPLACE TABLE app.found (n INT)"
    for found_rows, expected in pairs { [false] = 1, [true] = 2 } do
      local pool = pools.new(s:options { found_rows = found_rows, max_size = 1 })
      for _ = 1, 3 do
        local id = assert(pool:value "SELECT CONNECTION_ID()")
        s:sql "TRUNCATE app.found; INSERT INTO app.found VALUES (9), (2)"
        assert.equal(expected, assert(pool:query "UPDATE found SET n = 9").affected_rows)
        assert.equal(id, pool:value "SELECT CONNECTION_ID()")
      end
    end
  end)
end)
