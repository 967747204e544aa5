-- What a pool asks of each new connection, and what becomes of the connection when the answer is none.

local pools = require "spec.support.pools"
local scripted_server = require "spec.support.scripted_server"

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

-- init_connect, wait_timeout, max_allowed_packet, collation_connection, the role in force, how many there are.
local function variables(changes)
  local row = { "", "28800", "16777216", "utf8mb4_general_ci", false, "0" }
  for i, value in pairs(changes) do
    row[i] = value
  end
  return { to = "^SELECT @@init_connect", row = row }
end

describe("a server that is asked for its variables", function()
  local names = { [2] = "wait_timeout", [3] = "max_allowed_packet", [6] = "the number of roles" }

  for i, name in pairs(names) do
    it("is not served when it has no " .. name, function()
      local err = assert_unopened { answers = { variables { [i] = false } } }
      assert.equal(2027, err.errno)
      assert.equal("the server does not tell its variables", err.message)
    end)
  end

  it("is not served when it answers with less", function()
    for length = 1, 5 do
      local answer = variables {}
      answer.row = table.move(answer.row, 1, length, 1, {})
      assert.equal("the server does not tell its variables", assert_unopened({ answers = { answer } }).message)
      s:stop()
    end
  end)

  it("may have no init_connect, no collation and no role", function()
    local pool = new_pool { answers = { variables { [1] = false, [4] = false, [5] = false } } }
    assert.equal("1", (pool:value "SELECT CONNECTION_ID()"))
  end)

  for version, unknown in pairs {
    ["5.5.5-10.11.0-MariaDB"] = "^nothing",
    ["8.0.36"] = "APPLICABLE_ROLES", -- it counts roles elsewhere
    ["5.7.44"] = "ROLE", -- it has none
  } do
    it("is asked only what it knows, when it is of version " .. version, function()
      local answers = { { to = "^SELECT @@init_connect.*" .. unknown, fails = true } }
      local pool = new_pool { version = version, answers = answers }
      assert.equal("1", (pool:value "SELECT CONNECTION_ID()"))
    end)
  end
end)

describe("the role of an account on MySQL", function()
  -- The role after connect, as the server names it, and how a reset must not name it.
  for role, wrong in pairs { NONE = "^SET ROLE `", ["`a`@`%`,`b`@`%`"] = "^SET ROLE ``" } do
    it(("is %s again after a reset"):format(role), function()
      local pool = new_pool {
        version = "8.0.36",
        answers = { variables { [5] = role, [6] = "1" }, { to = wrong, fails = true } },
      }
      for _ = 1, 3 do
        assert(pool:query "SET @a = 1")
      end
      assert.same({ 1, 0 }, { pool:stats().opened, pool:stats().resets_failed })
    end)
  end
end)

describe("a server with an init_connect is asked whom it exempts:", function()
  local with_init_connect = variables { "SET @greeting = 5" }

  -- What a second loan finds of the first one's variable: init_connect is run again where it is in force.
  local function greeting_after_reset(grants)
    local pool = new_pool { answers = { with_init_connect, grants } }
    assert(pool:query "SET @greeting = 7")
    return (pool:value "SELECT @greeting")
  end

  it("an account with SUPER", function()
    assert.is_nil(greeting_after_reset { to = "^SHOW GRANTS", row = { "GRANT SUPER ON *.* TO `anybody`@`%`" } })
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
