-- Nothing of one borrower reaches the next: every row of spec/matrix/leaks.lua.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local isolation = require "spec.matrix.isolation"
local leaks = require "spec.matrix.leaks"
local mypool = require "mypool"
local pools = require "spec.support.pools"

local world = fixture.started(isolation.start)

-- Of the specs below, for doc/servers.md.
local matrix = os.getenv "MYPOOL_MATRIX" and assert(io.open(os.getenv "MYPOOL_MATRIX", "w"))

local function note(row, verdict)
  if matrix then
    matrix:write(verdict, "\t", row.name, "\n")
    matrix:flush()
  end
end

local function wanted(row)
  if row.exception then
    return "leaks"
  end
  return (row.connection == "discarded" or dialect.lacks "COM_RESET_CONNECTION") and "replaced" or "clean"
end

local function describe_outcome(row, verdict, seen, clean)
  return ("%s: %s; the next borrower sees %s instead of %s"):format(row.name, verdict, seen, clean)
end

for _, transport in ipairs(isolation.transports) do
  describe("over " .. transport .. ", the next borrower finds no trace of", function()
    leaks.each(function(row)
      it(row.name .. (row.exception and " (an exception: it does)" or ""), function()
        local lacks = leaks.lacks(row, world.observer) or transport == "tls" and dialect.lacks "TLS"
        if lacks then
          return pending(lacks)
        end
        local verdict, seen, clean = isolation.measure(world, row, "mypool", transport)
        note(row, verdict)
        assert.equal(wanted(row), verdict, describe_outcome(row, verdict, seen, clean))
      end)
    end)
  end)
end

describe("after all that", function()
  it("no transaction is left behind in the server", function()
    assert(world.observer:query "DO SLEEP(0.2)")
    assert.equal("0", world.observer:value "SELECT COUNT(*) FROM information_schema.innodb_trx")
    local spare = world.spare.observer
    assert.equal("0", spare:value "SELECT COUNT(*) FROM information_schema.innodb_trx")
  end)
end)

-- Otherwise a row would prove nothing.
describe("on a connection that nobody cleans well, the probe sees", function()
  leaks.each(function(row)
    if row.plain == false or row.leaks == false then
      return
    end
    it(row.name, function()
      local lacks = leaks.lacks(row, world.observer)
      if lacks then
        return pending(lacks)
      end
      local treatment = row.leaks or "reuse"
      local verdict, seen = isolation.measure(world, row, treatment, "socket")
      assert.is_true(
        verdict == "leaks" or verdict == "breaks" or (treatment ~= "reuse" and verdict == "fails"),
        ("%s after %s: %s"):format(verdict, treatment, seen)
      )
    end)
  end)
end)

describe("the matrix", function()
  it("has at least 75 rows, each with a name of its own", function()
    local count, names = 0, {}
    leaks.each(function(row)
      count = count + 1
      assert.is_nil(names[row.name], row.name)
      names[row.name] = true
    end)
    assert.is_true(count >= 75)
  end)

  it("is the one that doc/why/isolation.md shows", function()
    local file = assert(io.open("doc/why/isolation.md"))
    local page = file:read "a"
    file:close()
    leaks.each(function(row)
      assert.truthy(page:find("| " .. row.name .. " |", 1, true), row.name .. " is missing: make doc")
    end)
  end)
end)

-- ---- every variable that there is ----

-- Some other value than `current`: candidates for SET.
local function other_values(variable)
  local kind, current = variable.VARIABLE_TYPE, variable.SESSION_VALUE
  if kind == "BOOLEAN" then
    return { current == "ON" and "OFF" or "ON" }
  elseif kind:find "INT" or kind == "DOUBLE" then
    local number, block = tonumber(current) or 0, tonumber(variable.NUMERIC_BLOCK_SIZE) or 0
    block = math.max(block, 1)
    return { number + block, number - block, tonumber(variable.NUMERIC_MIN_VALUE) or 1, number + 100 * block }
  end
  local values = { "'utf8mb4_bin'", "'latin2'", "'+05:00'", "'de_DE'", "'MyISAM'", "''", "'1'" }
  for value in (variable.ENUM_VALUE_LIST or ""):gmatch "[^,]+" do
    if value ~= current then
      table.insert(values, 1, "'" .. value .. "'")
    end
  end
  return values
end

local function value_of(conn, name)
  return (conn:value("SELECT @@session." .. name))
end

-- Returns whether some SET was accepted and took effect.
local function change(conn, variable)
  local before = value_of(conn, variable.VARIABLE_NAME)
  for _, value in ipairs(other_values(variable)) do
    local number = math.type(value) == "float" and ("%.6f"):format(value) or tostring(value)
    if
      conn:query(("SET SESSION %s = %s"):format(variable.VARIABLE_NAME, number))
      and value_of(conn, variable.VARIABLE_NAME) ~= before
    then
      return true
    end
  end
  return false
end

-- Those that differ from moment to moment, and those of a replica, whatever their scope is called.
local exempt = {}
for name in ("TIMESTAMP RAND_SEED1 RAND_SEED2 LAST_GTID MAX_RELAY_LOG_SIZE SQL_SLAVE_SKIP_COUNTER"):gmatch "%S+" do
  exempt[name] = true
end

describe("a session variable", function()
  after_each(pools.close)

  it("is as it was for the next borrower, whichever it is", function()
    dialect.needs("a list of session variables", pending)
    local pool, conn = pools.lend(isolation.options(world, {}, "socket"))
    local id = conn:id()
    local variables = assert(conn:query(dialect.session_variables))
    conn:release()
    local changed, last = 0, nil
    for _, variable in ipairs(variables) do
      local name = variable.VARIABLE_NAME
      conn = assert(pool:checkout())
      if last ~= "PROFILING" then -- after which there are texts that no command drops
        assert.equal(id, conn:id(), "the connection was lost before " .. name)
      end
      id, last = conn:id(), name
      local before = value_of(conn, name)
      local took_effect = not exempt[name] and change(conn, variable)
      conn:release()
      if took_effect then
        changed = changed + 1
        conn = assert(pool:checkout())
        assert.equal(before, value_of(conn, name), name)
        conn:release()
      end
    end
    assert.is_true(changed > 120, "only " .. changed .. " could be changed at all")
  end)
end)

-- ---- by which way ----

describe("a used session", function()
  after_each(pools.close)

  it("is reset and lent again; where the server cannot, it is closed, of which reset_refused tells once", function()
    local told = {}
    local options = isolation.options(world, {}, "socket")
    options.max_size = 1
    function options.on_event(event)
      told[#told + 1] = event
    end
    local pool = pools.new(options)
    for _ = 1, 6 do
      pools.dirty(pool, "SET @mine = 7")
      assert.is_nil((pool:value "SELECT @mine"))
    end
    local stats = pool:stats()
    if dialect.has "COM_RESET_CONNECTION" then
      assert.same({ {}, 1 }, { told, stats.opened })
    else
      assert.same({ { "reset_refused" }, 12 }, { told, stats.discarded + stats.resets_failed })
    end
  end)
end)

-- ---- all together ----

describe("8 connections in 10,000 loans that dirty them at random", function()
  local seed = tonumber(os.getenv "MYPOOL_SEED") or 1
  local handles, loans = 8, 10000

  after_each(pools.close)

  local function rows_that_go_together()
    local rows = {}
    leaks.each(function(row)
      local special = row.alone or row.loan or row.exception or row.connection or row.account or row.database ~= nil
      if not special and not leaks.lacks(row, world.observer) then
        rows[#rows + 1] = row
      end
    end)
    return rows
  end

  it("are clean at every checkout, and none is lost", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    math.randomseed(seed)
    local env = isolation.environment(world)
    local options = isolation.options(world, {}, "socket")
    options.max_size = handles -- or a slow answer to a reset would open another one
    local pool = pools.new(options)
    local rows, clean, left_by, lent = rows_that_go_together(), {}, {}, {}

    local function assert_clean(conn, row)
      local seen = row.probe(conn, env)
      if seen ~= clean[row] then
        error(("seed %d: %s: %s instead of %s"):format(seed, row.name, seen, clean[row]), 0)
      end
    end

    -- One row is sure; those after it may be refused, such as SET TRANSACTION within one.
    local function make_dirty(conn)
      local mine = { rows[math.random(#rows)] }
      mine[1].dirty(conn, env)
      for i = 2, math.random(3) do
        local row = rows[math.random(#rows)]
        if not pcall(row.dirty, conn, env) then
          break
        end
        mine[i] = row
      end
      left_by[conn:id()] = mine
    end

    local function borrow(place)
      local conn = assert(pool:checkout())
      lent[place] = conn
      local left = left_by[conn:id()]
      if left then
        assert_clean(conn, left[math.random(#left)])
      end
      make_dirty(conn)
    end

    for _, row in ipairs(rows) do
      local fresh = mypool.new(isolation.options(world, {}, "socket"))
      clean[row] = row.clean or fresh:with(function(conn)
        return row.probe(conn, env)
      end)
      fresh:close()
    end
    for place = 1, handles do
      borrow(place)
    end
    for _ = 1, (loans - handles) // 2 do
      local one, other = math.random(handles), math.random(handles - 1)
      other = other < one and other or other + 1
      lent[one]:release()
      lent[other]:release()
      borrow(one)
      borrow(other)
    end
    for _, row in ipairs(rows) do
      for place = 1, handles do
        lent[place]:release()
      end
      for place = 1, handles do
        lent[place] = assert(pool:checkout())
        assert_clean(lent[place], row)
      end
    end
    for place = 1, handles do
      lent[place]:release()
    end
    local stats = pool:stats()
    assert.same({ handles, 0, 0 }, { stats.opened, stats.closed, stats.resets_failed }, "seed " .. seed)
  end)
end)
