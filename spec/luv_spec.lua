-- mypool under luv.

local concurrency = require "spec.support.concurrency"
local schedulers = require "spec.support.schedulers"

describe("under luv #slow", function()
  concurrency(schedulers.luv(), 100)
end)
