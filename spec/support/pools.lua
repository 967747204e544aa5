-- Pools that end with the spec that made them: after_each(pools.close).

local mypool = require "mypool"

local pools = {}
local made = {}

-- A pool with these options, to be closed by pools.close.
function pools.new(options)
  local pool = mypool.new(options)
  made[#made + 1] = pool
  return pool
end

function pools.close()
  for i, pool in ipairs(made) do
    pool:close()
    made[i] = nil
  end
end

return pools
