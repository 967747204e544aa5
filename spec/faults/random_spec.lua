-- Random programs of API calls with random arguments: whatever a program does, mypool does not crash, says what
-- was wrong at the program's place, and loses neither sessions nor descriptors.
--
-- MYPOOL_SEED repeats one program, MYPOOL_SECONDS sets how long each mode is tried; see random_calls.lua.

local ledger = require "spec.support.ledger"
local program = require "spec.support.program"
local server = require "spec.support.server"

local seconds = tonumber(os.getenv "MYPOOL_SECONDS" or 5)
local first_seed = math.tointeger(tonumber(os.getenv "MYPOOL_FIRST_SEED" or 20240229))

local s

setup(function()
  s = server.start()
  s:sql "CREATE TABLE t (n INT)"
  s:sql [[CREATE TABLE kinds (a INT, b VARCHAR(20), c DOUBLE, d DECIMAL(10,2), e DATETIME, f BIT(5), g BLOB, h JSON)]]
  s:sql "INSERT INTO kinds VALUES (1, 'x', 2.5, 3.25, NOW(), b'1', 'bytes', '{}')"
  s:sql "INSERT INTO kinds VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
  s:sql "DELIMITER //\nCREATE PROCEDURE two() BEGIN SELECT 1 AS a; SELECT seq FROM seq_1_to_3000; END//"
  s:sql "DELIMITER //\nCREATE PROCEDURE half() BEGIN SELECT 1 AS a; SIGNAL SQLSTATE '45000'; END//"
end)

teardown(function()
  s:remove()
end)

local function last_seed(printed)
  return printed:match "seed (%d+)\n[^\n]*$" or printed:match ".*seed (%d+)" or "?"
end

for _, mode in ipairs { "plain", "cqueues", "own" } do
  it(("programs of random calls leave everything whole (%s)"):format(mode), function()
    local text = "require 'spec.support.random_calls' { socket = %q, mode = %q, seed = %d, seconds = %f }"
    local printed, ok, status = program(text:format(s.socket, mode, first_seed, seconds), nil, nil, seconds + 120)
    local calls = printed:match "%d+ programs, (%d+) calls"
    ledger.enter("random programs", {
      faults = tonumber(calls or 0),
      sessions_lost = (not ok and status == 1) and 1 or 0,
      crashes = (not ok and status ~= 1) and 1 or 0,
    })
    assert.is_true(ok, ("MYPOOL_SEED=%s, status %s:\n%s"):format(last_seed(printed), status, printed:sub(-3000)))
    assert.is_true(tonumber(calls) > 0)
  end)
end
