-- mypool under cqueues.

local concurrency = require "spec.support.concurrency"
local schedulers = require "spec.support.schedulers"

describe("under cqueues #slow", function()
  concurrency(schedulers.cqueues(), 1000)
end)
