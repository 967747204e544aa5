-- Waits for what happens by itself a little later, and raises when it has not after ten seconds.
--
--     eventually(function() return done end)
--     eventually(function() return done end, scheduler.sleep)   -- lets other coroutines run meanwhile

local block = require "spec.support.sleep"

return function(condition, sleep)
  sleep = sleep or block
  for _ = 1, 1000 do
    if condition() then
      return
    end
    sleep(0.01)
  end
  error("waited in vain", 2)
end
