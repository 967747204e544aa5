-- Rows that keep coming: while they are read nothing waits, and yet time limits hold and others have their turn.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local scripted_server = require "spec.servers.scripted_server"
local schedulers = require "spec.support.schedulers"

local s = fixture.server()
local now = cqueues.monotime

setup(function()
  s:sql [[
    DELIMITER //
    CREATE PROCEDURE app.endless() BEGIN WHILE TRUE DO SELECT 1; END WHILE; END//
    CREATE PROCEDURE app.several() BEGIN SELECT 1; SELECT seq FROM seq_1_to_500; SELECT 2; END//]]
end)

after_each(pools.close)

local function busy(seconds)
  local till = now() + seconds
  while now() < till do -- luacheck: ignore
  end
end

local modes = { schedulers.plain(), schedulers.cqueues(), schedulers.luv() }

-- Faster than it can be read.
local rows = "SELECT seq FROM seq_1_to_20000000"

local function slow(value)
  busy(0.001)
  return value
end

local function refused()
  error "refused"
end

local function timed_out(err)
  assert.equal("timeout", type(err) == "table" and err.kind, tostring(err))
end

local readings = {
  ["a result"] = function(pool)
    return pool:query(rows)
  end,
  ["a prepared result"] = function(pool)
    local conn <close> = pool:checkout()
    return assert(conn:prepare(rows)):execute()
  end,
  ["a result with slow converters"] = function(pool)
    return pool:query "SELECT CAST(seq AS DECIMAL(20)) FROM seq_1_to_100000"
  end,
  ["what a converter refused"] = function(pool)
    return pool:query "SELECT seq, CURDATE() FROM seq_1_to_20000000"
  end,
  ["results without end"] = function(pool)
    return pool:query "CALL endless()"
  end,
  ["a stream"] = function(pool)
    return pcall(function()
      for _ in assert(pool:rows(rows)) do -- luacheck: ignore
      end
    end)
  end,
  ["a stream whose rows are taken slowly"] = function(pool)
    return pcall(function()
      for _ in assert(pool:rows "SELECT seq, REPEAT('x', 1000) FROM seq_1_to_1000000") do
        busy(0.001)
      end
    end)
  end,
}

for _, mode in ipairs(modes) do
  describe("a time limit in " .. mode.name, function()
    for name, read in pairs(readings) do
      it("holds while there comes " .. name, function()
        local pool = pools.new(s:options {
          max_size = 1,
          query_timeout = 0.2,
          wait = mode.wait,
          types = { decimal = slow, date = refused },
        })
        mode.run(function()
          local id = pool:value "SELECT CONNECTION_ID()"
          local started = now()
          local _, err = read(pool)
          timed_out(err)
          assert.is_true(now() - started < 5)
          pools.serves_again(id, assert(pool:value { "SELECT CONNECTION_ID()", timeout = 10 }))
        end)
      end)
    end
  end)
end

for _, mode in ipairs { modes[2], modes[3] } do
  describe("under " .. mode.name .. " others run", function()
    -- How often another coroutine runs while f does, which takes about half a second.
    local function turns(f)
      local count, done = 0, false
      mode.run(function()
        while not done do
          mode.sleep(0.001)
          count = count + 1
        end
      end, function()
        local ok, err = pcall(f)
        done = true
        assert(ok, err)
      end)
      return count
    end

    local function new(options)
      options.wait = mode.wait
      return pools.new(s:options(options))
    end

    it("while a large result is read", function()
      local pool = new {}
      local count = turns(function()
        assert.equal(200000, #assert(pool:query "SELECT seq, 'some text', 1.5 FROM seq_1_to_200000"))
      end)
      assert.is_true(count > 10, count)
    end)

    it("while converters work", function()
      local pool = new { types = { decimal = slow } }
      local count = turns(function()
        local result = assert(pool:query "SELECT CAST(seq AS DECIMAL(20)) AS n FROM seq_1_to_300")
        for i = 1, 300 do
          assert.equal(tostring(i), result[i].n)
        end
      end)
      assert.is_true(count > 30, count)
    end)

    it("while a stream is read, which loses no row by it", function()
      local pool = new {}
      local count = turns(function()
        local expected = 0
        for row in assert(pool:rows "SELECT seq FROM seq_1_to_200000") do
          expected = expected + 1
          assert(row.seq == expected)
        end
        assert.equal(200000, expected)
      end)
      assert.is_true(count > 10, count)
    end)
  end)
end

describe("rows that init SQL leaves to be passed over", function()
  local several = "CALL several()"

  it("are read at the connect and at each reset, however many, and of several results", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    for _, mode in ipairs(modes) do
      local pool = pools.new(s:options {
        max_size = 1,
        wait = mode.wait,
        init_sql = { "SELECT seq FROM seq_1_to_1000", several, "SET @here = 1" },
      })
      mode.run(function()
        local id = assert(pool:value "SELECT CONNECTION_ID()")
        for _ = 1, 3 do
          local row = assert(pool:one "SELECT CONNECTION_ID() AS id, @here AS here")
          assert.same({ id = id, here = 1 }, row)
        end
      end)
    end
  end)

  for _, mode in ipairs(modes) do
    it("end with the time limits when they do not end: of a reset and of a connect, in " .. mode.name, function()
      local flood = scripted_server.start { answers = { { to = "^SELECT flood", row = { "x" }, endless = 3 } } }
      local pool = pools.new(flood:options {
        max_size = 1,
        wait = mode.wait,
        connect_timeout = 0.4,
        checkout_timeout = 1,
        init_sql = { "SELECT flood" },
      })
      mode.run(function()
        assert(pool:query "DO 1")
        assert(pool:query "DO 1") -- it is the reset of this one that does not end, and then each connect
        local started = now()
        assert.is_nil((pool:query "DO 1"))
        assert.is_true(now() - started < 8)
        pool:close()
      end)
      flood:stop()
    end)
  end
end)
