-- Deaths in the pool: one dead session makes the pool look at all its idle ones before it lends any of them.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"
local whole = require "spec.support.whole"

local s = fixture.server()
fixture.table(s, "runs", "n INT")

after_each(pools.close)

-- Borrows so many connections, uses and releases them. Returns their ids in the order in which they will be lent.
local function fill(pool, count)
  local ids = pools.fill(pool, count)
  os.execute "sleep 0.05" -- the resets are answered
  assert.equal(count, pool:stats().idle)
  return ids
end

local function rows()
  return math.tointeger(s:sql("SELECT COUNT(*) FROM app.runs")[1])
end

local function enter(faults)
  ledger.enter("server: deaths in the pool", { faults = faults, statements = 1, lost = 1 - rows() })
  assert.equal(1, rows())
end

local modes = { schedulers.plain(), schedulers.cqueues() }

for _, mode in ipairs(modes) do
  for _, way in ipairs { "options", "tcp_options" } do
    local name = ("%s over %s"):format(mode.where, way)

    local function new()
      return pools.new(s[way](s, { max_size = 10, wait = mode.wait }))
    end

    describe(name, function()
      it("all ten idle ones that were killed are found by the first checkout, which opens one", function()
        local pool = new()
        mode.run(function()
          s:kill_sessions(fill(pool, 10))
          local conn = assert(pool:checkout())
          local stats = pool:stats()
          assert.same({ 10, 10, 1, 0 }, { stats.stale, stats.closed, stats.size, stats.idle })
          assert.is_true(stats.retries <= 1, stats.retries)
          assert.equal(11, stats.opened)
          assert(conn:query "INSERT INTO runs VALUES (1)")
          conn:release()
          enter(10)
          whole(pool, 10)
          assert.equal(10, pool:stats().stale)
        end)
      end)

      it("a dead one that would be lent first uncovers the others, and a live one is lent", function()
        dialect.needs("COM_RESET_CONNECTION", pending)
        local pool = new()
        mode.run(function()
          local ids = fill(pool, 10)
          s:kill_sessions { ids[1], ids[4], ids[7], ids[10] }
          local conn = assert(pool:checkout())
          assert.equal(ids[2], conn:id())
          local stats = pool:stats()
          assert.same({ 4, 5, 10 }, { stats.stale, stats.idle, stats.opened })
          assert(conn:query "INSERT INTO runs VALUES (1)")
          conn:release()
          enter(4)
          whole(pool, 10)
        end)
      end)

      it("a session that dies between its checkout and its first statement uncovers them, too", function()
        dialect.needs("COM_RESET_CONNECTION", pending)
        local pool = new()
        mode.run(function()
          local ids = fill(pool, 10)
          local conn = assert(pool:checkout())
          s:kill_sessions(ids)
          assert(conn:query "INSERT INTO runs VALUES (1)")
          local stats = pool:stats()
          assert.same({ 9, 1, 11, 1 }, { stats.stale, stats.retries, stats.opened, stats.size })
          conn:release()
          enter(10)
          whole(pool, 10)
        end)
      end)

      it("idle ones are closed shortly before the server's wait_timeout would end them", function()
        s:sql "SET GLOBAL wait_timeout = 2"
        local pool = new()
        mode.run(function()
          fill(pool, 3)
          s:sql "SET GLOBAL wait_timeout = 28800"
          os.execute "sleep 1.85" -- past nine tenths of it
          local idle = pool:stats().idle
          assert(pool:query "INSERT INTO runs VALUES (1)")
          local stats = pool:stats()
          assert.equal(3, idle)
          assert.equal(3, stats.expired + stats.stale)
          enter(0)
          whole(pool, 10)
        end)
      end)
    end)
  end
end
