-- What a pool asks of each new connection, and what becomes of the connection when the answer is none.

local pools = require "spec.support.pools"
local scripted_server = require "spec.servers.scripted_server"
local settings = require "spec.servers.settings"

local s

after_each(function()
  pools.close()
  s:stop()
end)

local function new_pool(script)
  s = scripted_server.start(script)
  return pools.new(s:options { max_size = 1, retries = 0, checkout_timeout = 2 })
end

-- Returns the error of a checkout that leaves no connection behind.
local function assert_unopened(script)
  local pool = new_pool(script)
  local conn, err = pool:checkout()
  assert.is_nil(conn)
  assert.same({ "connect", "no" }, { err.kind, err.executed })
  assert.equal(0, pool:stats().size)
  return err
end

local function variables(changes)
  return { to = settings.question, row = settings.row(changes) }
end

local untold = "^cannot connect to .+: the server does not tell its variables$"

describe("a server that is asked for its variables", function()
  for _, name in ipairs {
    "sql_mode", "character_set_client", "character_set_connection", "wait_timeout", "max_allowed_packet",
    "connection_id", "roles",
  } do
    it("is not served when it has no " .. name, function()
      local err = assert_unopened { answers = { variables { [name] = false } } }
      assert.equal(2027, err.errno)
      assert.match(untold, err.message)
    end)
  end

  it("is not served when it answers with less", function()
    local all = settings.row()
    for length = 1, #all - 1 do
      local answer = { to = settings.question, row = table.move(all, 1, length, 1, {}) }
      assert.match(untold, assert_unopened({ answers = { answer } }).message)
      s:stop()
    end
  end)

  it("may have no init_connect, no collation and no role", function()
    local none = variables { init_connect = false, collation_connection = false, role = false, identity = false }
    local pool = new_pool { answers = { none } }
    assert.equal("1", (pool:value "SELECT CONNECTION_ID()"))
  end)

  for version, unknown in pairs {
    ["5.5.5-10.11.0-MariaDB"] = { "@@server_uuid" },
    ["8.0.36"] = { "APPLICABLE_ROLES", "@@tx_read_only", "@@server_uid" }, -- it counts roles elsewhere
    ["5.7.44"] = { "ROLE", "@@transaction_read_only", "@@server_uid" }, -- it has none
  } do
    it("is asked only what it knows, when it is of version " .. version, function()
      local answers = {}
      for i, word in ipairs(unknown) do
        answers[i] = { to = "^SELECT @@sql_mode.*" .. word, fails = true }
      end
      local pool = new_pool { version = version, answers = answers }
      assert.equal("1", (pool:value "SELECT CONNECTION_ID()"))
    end)
  end

  -- libmariadb reads on behind the end of the first.
  for _, version in ipairs { "10", "8", ".", "", "x.y.z", "99999999999999999999.1", "8.0" } do
    it(("is asked what any server knows, when its version is %q"):format(version), function()
      assert.equal("1", (new_pool({ version = version }):value "SELECT CONNECTION_ID()"))
    end)
  end

  for _, missing in ipairs { "@@server_uid", "@@innodb_rollback_on_timeout" } do
    it("is asked in another way when it does not know " .. missing, function()
      local pool = new_pool { answers = { { to = missing, fails = 1193 } } }
      assert.equal("1", (pool:value "SELECT CONNECTION_ID()"))
    end)
  end

  it("is asked once more after init_sql, and not served when it has no answer", function()
    local question = "^SELECT @@sql_mode, @@autocommit, @@character_set_client, @@wait_timeout, " ..
      "@@character_set_connection, @@tx_read_only$"
    for _, row in ipairs {
      { "" },
      { false, "1", "utf8mb4", "28800", "utf8mb4", "0" },
      { "", "1", false, "28800", "utf8mb4", "0" },
      { "", "1", "utf8mb4", "28800", false, "0" },
    } do
      s = scripted_server.start { answers = { { to = question, row = row } } }
      local pool = pools.new(s:options { max_size = 1, retries = 0, init_sql = "SET @a = 1" })
      local conn, err = pool:checkout()
      assert.is_nil(conn)
      assert.match(untold, err.message)
      s:stop()
    end
  end)
end)

describe("the role of an account on MySQL", function()
  -- The role after connect, as the server names it, and how a reset must not name it.
  for role, wrong in pairs { NONE = "^SET ROLE `", ["`a`@`%`,`b`@`%`"] = "^SET ROLE ``" } do
    it(("is %s again after a reset"):format(role), function()
      local pool = new_pool {
        version = "8.0.36",
        answers = { variables { role = role, roles = "1" }, { to = wrong, fails = true } },
      }
      for _ = 1, 3 do
        assert(pool:query "SET @a = 1")
      end
      assert.same({ 1, 0 }, { pool:stats().opened, pool:stats().resets_failed })
    end)
  end
end)

describe("a server with an init_connect is asked whom it exempts:", function()
  local with_init_connect = variables { init_connect = "SET @greeting = 5" }

  -- What a second loan finds of the first one's variable: init_connect is run again where it is in force.
  local function greeting_after_reset(grants, version)
    local pool = new_pool { version = version, answers = { with_init_connect, grants } }
    assert(pool:query "SET @greeting = 7")
    return (pool:value "SELECT @greeting")
  end

  it("an account with SUPER", function()
    assert.is_nil(greeting_after_reset { to = "^SHOW GRANTS", row = { "GRANT SUPER ON *.* TO `anybody`@`%`" } })
  end)

  it("since MariaDB 11.0 no account with SUPER, but one with CONNECTION ADMIN", function()
    for grant, greeting in pairs { SUPER = "5", ["SUPER, CONNECTION ADMIN"] = false } do
      local grants = { to = "^SHOW GRANTS", row = { ("GRANT %s ON *.* TO `anybody`@`%%`"):format(grant) } }
      assert.equal(greeting or nil, (greeting_after_reset(grants, "11.4.2-MariaDB")))
      s:stop()
    end
  end)

  it("no account without, or with the word elsewhere", function()
    for _, grant in ipairs { "GRANT USAGE ON *.* TO `anybody`@`%`", "GRANT SELECT ON *.* TO `SUPER`@`%`", false } do
      assert.equal("5", greeting_after_reset { to = "^SHOW GRANTS", row = { grant } })
      s:stop()
    end
  end)

  it("there is no connection when it refuses to say so", function()
    local grants = { to = "^SHOW GRANTS", fails = true }
    assert.equal(1105, assert_unopened({ answers = { with_init_connect, grants } }).errno)
  end)

  it("there is no connection when its answer breaks off", function()
    local grants = { to = "^SHOW GRANTS", row = { "GRANT USAGE ON *.* TO `anybody`@`%`" }, fails = true }
    assert.equal(1105, assert_unopened({ answers = { with_init_connect, grants } }).errno)
  end)
end)

describe("the audit", function()
  local own = { ["@@in_transaction"] = 1193, ["CURRENT_ROLE%(%)"] = 1305, ["@@transaction_isolation"] = 1193 }

  -- The answers of a server that knows none of these names.
  local function ignorant(...)
    local answers = {}
    for i, name in ipairs { ... } do
      answers[i] = { to = "^SELECT DATABASE.*" .. name, fails = own[name] }
    end
    answers[#answers + 1] = { to = "^SELECT DATABASE", row = { "app" } }
    return answers
  end

  it("asks each server for what that server has", function()
    for _, answers in ipairs {
      ignorant(), ignorant "@@in_transaction", ignorant("@@in_transaction", "CURRENT_ROLE%(%)"),
    } do
      s = scripted_server.start { answers = answers }
      local pool = pools.new(s:options { max_size = 1, audit = true, retries = 0 })
      for _ = 1, 3 do
        assert(pool:query "SET @a = 1")
      end
      assert.equal(1, pool:stats().opened)
      s:stop()
    end
  end)

  it("fails where a server has nothing of what it asks for", function()
    s = scripted_server.start { answers = { { to = "^SELECT DATABASE", fails = 1193 } } }
    local pool = pools.new(s:options { max_size = 1, audit = true, retries = 0 })
    local conn, err = pool:checkout()
    assert.is_nil(conn)
    assert.equal(1193, err.errno)
  end)
end)
