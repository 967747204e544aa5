-- Random programs of API calls with random arguments: whatever a program does, mypool does not crash, says what
-- was wrong at the program's place, and loses neither sessions nor descriptors.
--
-- See random_calls.lua for the programs, and trials.lua for how long, and how one is repeated.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local trials = require "spec.support.trials"

local s = fixture.server()

setup(function()
  s:sql "CREATE TABLE t (n INT)"
  s:sql(([[CREATE TABLE kinds (a INT, b VARCHAR(20), c DOUBLE, d DECIMAL(10,2), e DATETIME, f BIT(5), g BLOB,
    h %s)]]):format(dialect.json))
  s:sql "INSERT INTO kinds VALUES (1, 'x', 2.5, 3.25, NOW(), b'1', 'bytes', '{}')"
  s:sql "INSERT INTO kinds VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
  s:sql "DELIMITER //\nCREATE PROCEDURE two() BEGIN SELECT 1 AS a; SELECT seq FROM seq_1_to_3000; END//"
  s:sql "DELIMITER //\nCREATE PROCEDURE half() BEGIN SELECT 1 AS a; SIGNAL SQLSTATE '45000'; END//"
end)

for _, mode in ipairs { "plain", "cqueues", "own" } do
  it(("programs of random calls leave everything whole (%s)"):format(mode), function()
    trials {
      title = "random programs",
      module = "spec.programs.random_calls",
      counts = "%d+ programs, (%d+) calls",
      seconds = 5,
      given = { socket = s.socket, mode = mode },
    }
  end)
end
