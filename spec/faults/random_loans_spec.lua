-- Loans of random statements, a hundred kinds of them, over each way to a server: every answer is the answer to its own
-- question, whatever the loans before have left unread, undone or unfinished.
--
-- The loans are random and the same in each run; MYPOOL_SEED sets another seed, and a failure tells it. MYPOOL_CYCLES
-- sets how many there are over each way: 300 of them in `make test`, 20,000 with MYPOOL_THOROUGH.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local must = require "spec.support.must"
local pools = require "spec.support.pools"
local tls = require "spec.servers.tls"

local seed = math.tointeger(tonumber(os.getenv "MYPOOL_SEED" or 20240229))
local wanted = math.tointeger(tonumber(os.getenv "MYPOOL_CYCLES" or os.getenv "MYPOOL_THOROUGH" and 20000 or 300))

local s = fixture.server { tls = true }

setup(function()
  s:sql [[
    CREATE TABLE app.triples (id INT PRIMARY KEY, v INT) ENGINE = InnoDB;
    INSERT INTO app.triples SELECT seq, 3 * seq FROM seq_1_to_1000;
    CREATE TABLE app.written (n INT PRIMARY KEY) ENGINE = InnoDB;
    DELIMITER //
    CREATE PROCEDURE app.give(n INT) BEGIN SELECT n; END//
    CREATE PROCEDURE app.give_three(n INT) BEGIN SELECT n; SELECT seq FROM seq_1_to_30; SELECT n + 1; END//
    CREATE PROCEDURE app.give_out(IN a INT, OUT b INT) BEGIN SET b = a + 1; END//
    CREATE PROCEDURE app.give_all(IN a INT, OUT b INT, INOUT c INT) BEGIN SELECT a; SET b = a + 1, c = c * 2; END//
    CREATE PROCEDURE app.fail_late(n INT) BEGIN SELECT n; SIGNAL SQLSTATE '45000'; END//]]
end)

after_each(pools.close)

-- ---- the kinds of statement: functions of a connection and a number ----

local kinds = {}

local function is(expected, value)
  if value ~= expected and tonumber(value) ~= expected then
    error(("%s instead of %s"):format(tostring(value), tostring(expected)), 0)
  end
end

-- Questions of one value, and the answer for a number from 1 to 1000.
local questions = {
  ["SELECT ?"] = function(n)
    return n
  end,
  ["SELECT ? + 1"] = function(n)
    return n + 1
  end,
  ["SELECT CONCAT('n', ?)"] = function(n)
    return "n" .. n
  end,
  ["SELECT LENGTH(REPEAT('x', 50 * ?))"] = function(n)
    return 50 * n
  end,
  ["SELECT COUNT(*) FROM seq_1_to_1000 WHERE seq <= ?"] = function(n)
    return n
  end,
  ["SELECT v FROM triples WHERE id = ?"] = function(n)
    return 3 * n
  end,
  ["SELECT v FROM triples WHERE id >= ? ORDER BY id"] = function(n)
    return 3 * n
  end,
  ["SELECT MAX(id) FROM triples WHERE id <= ? FOR UPDATE"] = function(n)
    return n
  end,
  ["SELECT IF(? > 0, NULL, 1)"] = function()
    return nil
  end,
  ["SELECT v FROM triples WHERE id = -?"] = function()
    return nil
  end,
  ["CALL give(?)"] = function(n)
    return n
  end,
  ["CALL give_three(?)"] = function(n)
    return n
  end,
}

-- Of the first row its only value.
local function only(row)
  return row and select(2, next(row))
end

local function first_of(stream)
  return only(stream())
end

local ways = {
  value = function(conn, sql, n)
    return (conn:value(sql, n))
  end,
  one = function(conn, sql, n)
    return only((conn:one(sql, n)))
  end,
  query = function(conn, sql, n)
    return only(must(conn:query(sql, n))[1])
  end,
  ["rows, left at the first"] = function(conn, sql, n)
    local stream = must(conn:rows(sql, n))
    local answer = first_of(stream)
    stream:close()
    return answer
  end,
  ["rows to the end"] = function(conn, sql, n)
    local answer
    for row in must(conn:rows(sql, n)) do
      answer = answer or only(row)
    end
    return answer
  end,
  prepared = function(conn, sql, n)
    return (must(conn:prepare(sql)):value(n))
  end,
  ["prepared, executed twice"] = function(conn, sql, n)
    local statement = must(conn:prepare(sql))
    must(statement:execute(1))
    return only(must(statement:execute(n))[1])
  end,
}

for sql, answer in pairs(questions) do
  for name, way in pairs(ways) do
    kinds[("%s by %s"):format(sql, name)] = function(conn, n)
      is(answer(n), way(conn, sql, n))
    end
  end
end

local function fails(errno, result, err)
  assert(result == nil, "it succeeded")
  is(errno, err.errno)
end

local others = {
  ["a prepared CALL with an OUT parameter"] = function(conn, n)
    local out = must(must(conn:prepare "CALL give_out(?, ?)"):execute(n, 0))
    is(n + 1, out[1].b)
  end,
  ["a prepared CALL with OUT and INOUT parameters"] = function(conn, n)
    local given, out, last = must(conn:prepare "CALL give_all(?, ?, ?)"):execute(n, 0, n)
    is(n, given[1].a)
    is(n + 1, out[1].b)
    is(2 * n, out[1].c)
    is(0, last.affected_rows)
  end,
  ["a prepared CALL with OUT parameters, executed again and again"] = function(conn, n)
    local statement <close> = must(conn:prepare "CALL give_all(?, ?, ?)")
    for i = n, n + 3 do
      local given, out = statement:execute(i, 0, i)
      is(i, given[1].a)
      is(i + 1, out[1].b)
    end
  end,
  ["the first value of a prepared CALL with OUT parameters"] = function(conn, n)
    is(n, (must(conn:prepare "CALL give_all(?, ?, ?)"):value(n, 0, n)))
  end,
  ["the rows of a prepared CALL with OUT parameters"] = function(conn, n)
    local answers = {}
    for row in must(conn:prepare "CALL give_out(?, ?)"):rows(n, 0) do
      answers[#answers + 1] = row.b
    end
    is(n + 1, answers[1])
  end,
  ["a CALL that fails behind a result"] = function(conn, n)
    fails(1644, conn:query("CALL fail_late(?)", n))
  end,
  ["a prepared CALL that fails behind a result"] = function(conn, n)
    fails(1644, must(conn:prepare "CALL fail_late(?)"):execute(n))
  end,
  ["a syntax error"] = function(conn, n)
    fails(1064, conn:query("SELECT SELECT ?", n))
  end,
  ["a statement that cannot be prepared"] = function(conn)
    fails(1146, conn:prepare "SELECT * FROM missing WHERE n = ?")
  end,
  ["a duplicate key"] = function(conn, n)
    fails(1062, conn:query("INSERT INTO triples VALUES (?, 0)", n))
  end,
  ["a duplicate key, prepared"] = function(conn, n)
    fails(1062, must(conn:prepare "INSERT INTO triples VALUES (?, 0)"):execute(n))
  end,
  ["a transaction"] = function(conn, n)
    is(n, conn:transaction(function(tx)
      must(tx:query("DELETE FROM written WHERE n = ?", n))
      must(tx:query("INSERT INTO written VALUES (?)", n))
      return tx:value("SELECT n FROM written WHERE n = ?", n)
    end))
  end,
  ["a transaction that is rolled back"] = function(conn, n)
    local tx = must(conn:begin())
    must(tx:query("UPDATE triples SET v = 0 WHERE id = ?", n))
    is(0, (tx:value("SELECT v FROM triples WHERE id = ?", n)))
    must(tx:rollback())
  end,
  ["many rows at once"] = function(conn, n)
    must(conn:query "CREATE TEMPORARY TABLE IF NOT EXISTS many (n INT)")
    must(conn:query "DELETE FROM many")
    must(conn:execute_many("INSERT INTO many VALUES (?)", { { n }, { n + 1 }, { n + 2 } }))
    is(3 * n + 3, (conn:value "SELECT SUM(n) FROM many"))
  end,
  ["a lock by name"] = function(conn, n)
    is(1, (conn:value("SELECT GET_LOCK(CONCAT('lock ', CONNECTION_ID(), ?), 0)", n)))
  end,
  ["a temporary table in front of another"] = function(conn)
    must(conn:query "CREATE TEMPORARY TABLE IF NOT EXISTS written (n INT)")
    is(0, (conn:value "SELECT COUNT(*) FROM written"))
    must(conn:query "DROP TEMPORARY TABLE written")
  end,
  ["warnings"] = function(conn)
    must(conn:query "SELECT CAST('x' AS SIGNED)")
    is(1, #must(conn:warnings()))
  end,
  ["a ping"] = function(conn)
    must(conn:ping())
  end,
  ["another charset, and a text in it"] = function(conn)
    must(conn:query "SET NAMES latin1")
    is("E9", (conn:value("SELECT HEX(CONVERT(? USING latin1))", "\u{e9}")))
    must(conn:query "SET NAMES utf8mb4")
  end,
}
for name, kind in pairs(others) do
  kinds[name] = kind
end

-- ---- loans ----

local names = {}
for name in pairs(kinds) do
  names[#names + 1] = name
end
table.sort(names)

-- What a loan may end with, and leave to the next.
local endings = {
  nothing = function() end,
  ["a user variable"] = function(conn, n)
    must(conn:query("SET @mine = ?", n))
  end,
  ["an open transaction"] = function(conn, n)
    must(conn:query "START TRANSACTION")
    must(conn:query("UPDATE triples SET v = -1 WHERE id = ?", n))
  end,
  ["an unread result"] = function(conn)
    must(conn:rows "SELECT seq FROM seq_1_to_1000")
  end,
  ["an unread result of a prepared statement"] = function(conn, n)
    local stream = must(conn:prepare "SELECT seq + ? FROM seq_1_to_1000"):rows(n)
    stream()
  end,
  ["another mode"] = function(conn)
    must(conn:query "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
  end,
}
local ending_names = {}
for name in pairs(endings) do
  ending_names[#ending_names + 1] = name
end
table.sort(ending_names)

local function run(name, kind, conn, n)
  local ok, message = pcall(kind, conn, n)
  if not ok then
    error(("%s: %s (MYPOOL_SEED=%d, number %d)"):format(name, tostring(message), seed, n), 0)
  end
end

local function borrow(pool)
  local conn = must(pool:checkout())
  is(nil, (conn:value "SELECT @mine"))
  for _ = 1, math.random(4) do
    local name, n = names[math.random(#names)], math.random(1000)
    run(name, kinds[name], conn, n)
    run("a question after " .. name, function()
      is(n, (conn:value("SELECT ?", n)))
    end, conn, n)
  end
  local name = ending_names[math.random(#ending_names)]
  run("leaving " .. name, endings[name], conn, math.random(1000))
  conn:release()
end

local transports = {
  ["a unix socket"] = function()
    return s:options { max_size = 2 }
  end,
  TCP = function()
    return s:tcp_options { max_size = 2 }
  end,
  TLS = function()
    return s:tcp_options { max_size = 2, tls = { ca = tls.ca } }
  end,
}

-- Where the server knows how to reset sessions.
local function assert_kept(stats)
  if dialect.has "COM_RESET_CONNECTION" then
    assert.equal(0, stats.resets_failed)
    assert.is_true(stats.opened < wanted)
  end
end

for transport, options in pairs(transports) do
  it(("%d loans of %d kinds of statement over %s get no wrong answer"):format(wanted, #names, transport), function()
    dialect.needs(transport, pending)
    math.randomseed(seed)
    local pool = pools.new(options())
    for _ = 1, wanted do
      borrow(pool)
    end
    local stats = pool:stats()
    assert.equal(0, stats.lent)
    assert_kept(stats)
  end)
end

-- On MySQL the packet behind the row of the OUT parameters does not say that the OK of the CALL follows.
it(("%d prepared CALLs with OUT parameters on one connection leave it in step"):format(wanted), function()
  local pool = pools.new(s:options { max_size = 1 })
  for n = 1, wanted do
    local conn = must(pool:checkout())
    others["a prepared CALL with OUT and INOUT parameters"](conn, n)
    if n % 2 == 0 then
      others["the first value of a prepared CALL with OUT parameters"](conn, n)
    end
    conn:release()
    is(n, (pool:value("SELECT ?", n)))
  end
  assert_kept(pool:stats())
end)
