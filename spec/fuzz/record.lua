-- Writes down what a real server sends to the client of spec/fuzz/client.c: record.lua PROGRAM FILE

local server = require "spec.servers.server"

local program, file = ...
local s = server.start()
s:sql "CREATE TABLE fuzzed (n INT, x VARCHAR(20))"
s:sql "DELIMITER //\nCREATE PROCEDURE fuzzed() BEGIN SELECT 1 AS a; SELECT 'two' AS b, seq FROM seq_1_to_3; END//"
local ok = os.execute(("%s record '%s' '%s'"):format(program, s.socket, file))
s:remove()
os.exit(ok == true)
