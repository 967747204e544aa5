-- Random programs whose coroutines are closed, or raised in, at any step: the next checkouts are served at once.
--
-- See closed_coroutines.lua for the programs, and trials.lua for how long, and how one is repeated.

local fixture = require "spec.support.fixture"
local trials = require "spec.support.trials"
local waiting_calls = require "spec.support.waiting_calls"

local s = fixture.server()

setup(function()
  waiting_calls.prepare(s)
end)

it("random programs whose coroutines end in the middle of calls leave every place free at once", function()
  trials {
    title = "coroutines ended in the middle",
    module = "spec.programs.closed_coroutines",
    counts = "%d+ programs, (%d+) coroutines ended",
    column = "slots_lost",
    seconds = 5,
    given = { socket = s.socket },
  }
end)
