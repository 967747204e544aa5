-- Whether a pool came out of a fault whole: every slot can be had, and every session is live and clean.
--
--   local whole = require "spec.support.whole"
--   whole(pool, max_size)   -- under a scheduler: from one of its coroutines

local assert = require "luassert"
local dialect = require "spec.servers.dialect"

local function assert_balanced(stats)
  assert.same({ 0, 0 }, { stats.lent, stats.waiting })
  assert.equal(stats.opened - stats.closed, stats.idle + stats.recovering)
end

-- Borrows `size` connections at once, asks each of them, and gives them back. Returns the statistics. A connect whose
-- waiter has given up may still be on its way in the beginning.
return function(pool, size)
  local conns = {}
  assert_balanced(pool:stats())
  for i = 1, size do
    conns[i] = assert(pool:checkout())
    assert.equal(i, (assert(conns[i]:value("SELECT ?", i))))
    assert.is_nil((conns[i]:value "SELECT @left_behind"))
    assert.is_false(conns[i]:in_transaction())
  end
  for i = 1, size do
    conns[i]:release()
  end
  local stats = pool:stats()
  assert_balanced(stats)
  assert.equal(0, stats.opening)
  if dialect.has "COM_RESET_CONNECTION" then
    assert.equal(size, stats.idle)
  end
  return stats
end
