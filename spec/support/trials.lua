-- Random trials: a program of its own tries one seed after the other, says each, and in the end how many it tried.
--
--     trials { title = "random programs", module = "spec.programs.random_calls", counts = "(%d+) calls", seconds = 5,
--       given = { socket = s.socket } }
--
-- `column` is that of the ledger for a program that finds something wrong: "sessions_lost" unless said.
-- The module is a function that is called with what is given, and with `seed`, the first one, and `seconds`.
-- MYPOOL_SECONDS and MYPOOL_FIRST_SEED set these; MYPOOL_SEED is the only seed to be tried.

local assert = require "luassert"
local ledger = require "tools.ledger"
local program = require "spec.support.program"

local seconds = tonumber(os.getenv "MYPOOL_SECONDS")
local first_seed = math.tointeger(tonumber(os.getenv "MYPOOL_FIRST_SEED" or 20240229))

local function text_of(trial, limit)
  local fields = { ("seed = %d, seconds = %f"):format(first_seed, limit) }
  for name, value in pairs(trial.given) do
    fields[#fields + 1] = ("%s = %q"):format(name, value)
  end
  return ("require %q { %s }"):format(trial.module, table.concat(fields, ", "))
end

-- What comes behind the seed is one line that says what was wrong, or more.
local function last_seed(printed)
  return printed:match "seed (%d+)\n[^\n]*$" or printed:match ".*seed (%d+)" or "?"
end

return function(trial)
  local limit = seconds or trial.seconds
  local printed, ok, status = program(text_of(trial, limit), nil, nil, limit + 120)
  local count = tonumber(printed:match(trial.counts) or 0)
  local column = status == 1 and (trial.column or "sessions_lost") or "crashes"
  ledger.enter(trial.title, { faults = count, [column] = ok and 0 or 1 })
  assert.is_true(ok, ("MYPOOL_SEED=%s, status %s:\n%s"):format(last_seed(printed), status, printed:sub(-3000)))
  assert.is_true(count > 0)
end
