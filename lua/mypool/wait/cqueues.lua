-- mypool under cqueues: mypool.new { wait = require "mypool.wait.cqueues", … }

local cqueues = require "cqueues"

local adapter = {}

-- Lets other coroutines of the controller run until `fd` is readable; returns true then, and
-- nothing after `seconds` (nil: no limit).
function adapter.wait(fd, seconds)
  local readable = { pollfd = fd, events = "r" }
  if cqueues.poll(readable, seconds) == readable then
    return true
  end
end

-- cqueues remembers descriptors by number.
adapter.forget = cqueues.cancel

return adapter
