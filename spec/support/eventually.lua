-- Waits for what happens by itself a little later, and raises when it has not after ten seconds, or so many.
--
--     eventually(function() return done end)
--     eventually(function() return done end, scheduler.sleep)   -- lets other coroutines run meanwhile

local block = require "spec.support.sleep"

return function(condition, sleep, seconds)
  sleep = sleep or block
  for _ = 1, 100 * (seconds or 10) do
    if condition() then
      return
    end
    sleep(0.01)
  end
  error("waited in vain", 2)
end
