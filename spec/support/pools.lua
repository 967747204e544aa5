-- Pools that end with the spec that made them: after_each(pools.close).

local assert = require "luassert"
local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local sleep = require "spec.support.sleep"

local pools = {}
local made = {}

-- A pool with these options, to be closed by pools.close.
function pools.new(options)
  local pool = mypool.new(options)
  made[#made + 1] = pool
  return pool
end

-- The same, and its first connection.
function pools.lend(options)
  local pool = pools.new(options)
  return pool, assert(pool:checkout())
end

-- What the pool tells of this one of its servers.
function pools.about(pool, s)
  for _, host in ipairs(pool:stats().hosts) do
    if host.host == s:address() then
      return host
    end
  end
end

-- A loan that leaves something behind. Returns the connection's number.
function pools.dirty(pool, sql)
  local conn = assert(pool:checkout())
  assert(conn:query(sql or "SET @who = 'me', time_zone = '+05:00'"))
  local id = conn:id()
  conn:release()
  return id
end

-- The session with the first number serves the next loan as well: wherever the server can reset it.
function pools.serves_again(id, next_id)
  if dialect.has "COM_RESET_CONNECTION" then
    assert.equal(id, next_id)
  end
end

-- So many sessions were enough: wherever the server can reset them.
function pools.has_opened(count, pool)
  if dialect.has "COM_RESET_CONNECTION" then
    assert.equal(count, pool:stats().opened)
  end
end

-- Borrows so many connections at a time, runs a statement on each that leaves something behind, or `sql`, and releases
-- them. Returns their ids in the order in which they will be lent.
function pools.fill(pool, count, sql)
  local conns, ids = {}, {}
  for i = 1, count do
    conns[i] = assert(pool:checkout())
    assert(conns[i]:query(sql or "SET @left_behind = 1"))
    ids[count + 1 - i] = conns[i]:id()
  end
  for i = 1, count do
    conns[i]:release()
  end
  return ids
end

-- Releases the connections, and gives the replies to their resets the time to come.
function pools.release(...)
  for _, conn in ipairs { ... } do
    conn:release()
  end
  sleep(0.05)
end

-- The statistics of a pool, whose sums agree.
function pools.stats(pool)
  local stats = pool:stats()
  assert.equal(stats.idle + stats.lent + stats.recovering + stats.opening, stats.size)
  assert.equal(stats.idle + stats.lent + stats.recovering, stats.opened - stats.closed)
  assert.equal(stats.closed, stats.stale + stats.expired + stats.retired + stats.discarded + stats.resets_failed)
  return stats
end

function pools.close()
  for i, pool in ipairs(made) do
    pool:close()
    made[i] = nil
  end
end

return pools
