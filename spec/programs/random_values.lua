-- Random arguments: what a program passes when it is right, when it is nearly right, and when it is wrong.

local mypool = require "mypool"

local values = {}

local function one_of(list)
  return list[math.random(#list)]
end

values.one_of = one_of

-- True once in n times, on average.
function values.chance(n)
  return math.random(n) == 1
end

local chance = values.chance

-- ---- what no function expects ----

local function cyclic()
  local t = { 1, "two" }
  t[3], t.self = t, t
  return setmetatable(t, { __index = t })
end

-- A table whose every metamethod raises, __gc too.
local function hostile()
  local metatable = { __name = "hostile" }
  local events = { "index", "newindex", "len", "tostring", "eq", "lt", "call", "concat", "pairs", "close", "gc" }
  for _, event in ipairs(events) do
    metatable["__" .. event] = function()
      error("on purpose: __" .. event, 0)
    end
  end
  return setmetatable({}, metatable)
end

-- A table that lies about its length and its fields.
local function liar()
  return setmetatable({}, {
    __len = function()
      return one_of { -1, 3000, 3, "4", 0.5 }
    end,
    __index = function(_, key)
      return key
    end,
  })
end

local numbers = {
  0, -1, 1, 2, 3, 7.5, 0.001, 1e9, 1e300, -1e300, math.huge, -math.huge, 0 / 0,
  math.maxinteger, math.mininteger, 2 ^ 53, 2 ^ 63, 65536, 100001,
}

function values.number()
  return one_of(numbers)
end

function values.string()
  local n = math.random(6)
  if n == 1 then
    return ""
  elseif n == 2 then
    return ("x"):rep(math.random(70000))
  elseif n == 3 then
    return one_of { "\0", "a\0b", "\xff\xfe", "'", "\\", "`", "?", "ä€😀", "1", "0x10", "nil" }
  end
  local bytes = {}
  for i = 1, math.random(20) do
    bytes[i] = string.char(math.random(0, 255))
  end
  return table.concat(bytes)
end

-- `known` returns some object of the program: a pool, a connection, a result, …
function values.anything(known)
  return one_of {
    function() end,
    known,
    known,
    values.number,
    values.string,
    cyclic,
    hostile,
    liar,
    function()
      return chance(2)
    end,
    function()
      return {}
    end,
    function()
      return mypool.null
    end,
    function()
      return one_of { print, pcall, error, math.random, setmetatable, hostile, values.string }
    end,
    function()
      return coroutine.create(values.number)
    end,
    function()
      return one_of { io.stdout, _G }
    end,
    function()
      return { "SELECT ?", timeout = one_of { -1, 0 / 0, 0.01 }, rows = values.string(), [values.string()] = 1 }
    end,
  }()
end

-- ---- parameters of statements ----

function values.parameter(known)
  local n = math.random(12)
  if n <= 4 then
    return math.random(-5, 5)
  elseif n <= 6 then
    return values.string()
  elseif n == 7 then
    return values.number()
  elseif n == 8 then
    return nil
  elseif n == 9 then
    return mypool.binary(values.string())
  elseif n == 10 then
    return mypool.list { 1, "x", one_of { 2, mypool.null, mypool.list { 3 } } }
  elseif n == 11 then
    return mypool.ident(one_of { "n", "no such", "`", "a" })
  end
  return values.anything(known)
end

-- ---- statements: text, number of parameters ----

-- Those that take long end by query_timeout; nothing here reaches beyond the server's database app.
local statements = {
  { "SELECT 1 AS n", 0 },
  { "SELECT NULL, 1, 2.5, 1e3, 'text', NOW(), b'101', x'00ff', CAST(-1 AS UNSIGNED)", 0 },
  { "SELECT ? AS n", 1 },
  { "SELECT ?, ? /* ? */, '?'", 2 },
  { "SELECT n FROM t WHERE n IN (?) ORDER BY ?", 2 },
  { "SELECT n FROM t WHERE n = ? FOR UPDATE", 1 },
  { "SELECT seq, REPEAT('y', seq) FROM seq_1_to_300", 0 },
  { "SELECT seq FROM seq_1_to_5000", 0 },
  { "SELECT REPEAT('x', 300000)", 0 },
  { "SELECT * FROM kinds", 0 },
  { "INSERT INTO t VALUES (?)", 1 },
  { "INSERT INTO t (n) VALUES (?), (?)", 2 },
  { "UPDATE t SET n = n + 1 WHERE n = ?", 1 },
  { "DELETE FROM t WHERE n > ?", 1 },
  { "CALL two()", 0 },
  { "CALL half()", 0 },
  { "SELECT SLEEP(0.01)", 0 },
  { "SELECT SLEEP(1)", 0 },
  { "SELECT SLEEP(0.001) FROM seq_1_to_1000", 0 },
  { "SET @a = ?", 1 },
  { "SET autocommit = 0", 0 },
  { "SET NAMES gbk", 0 },
  { "SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'", 0 },
  { "USE other", 0 },
  { "BEGIN", 0 },
  { "COMMIT", 0 },
  { "ROLLBACK", 0 },
  { "SAVEPOINT a", 0 },
  { "CREATE OR REPLACE TEMPORARY TABLE changing SELECT 1 AS a", 0 },
  { "CREATE OR REPLACE TEMPORARY TABLE changing SELECT 'b' AS b, 2 AS c", 0 },
  { "SELECT * FROM changing", 0 },
  { "SELECT GET_LOCK('a', 0.01)", 0 },
  { "LOCK TABLES t WRITE", 0 },
  { "HANDLER t OPEN", 0 },
  { "PREPARE p FROM 'SELECT 1'", 0 },
  { "EXECUTE p", 0 },
  { "XA START 'x'", 0 },
  { "SHOW WARNINGS", 0 },
  { "KILL CONNECTION_ID()", 0 },
  { "KILL QUERY CONNECTION_ID()", 0 },
  { "SELECT no_such_column", 0 },
  { "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'on purpose'", 0 },
  { "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213", 0 },
  { "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t", 0 },
  { "SELECT 1; SELECT 2", 0 },
  { "SELECT 'unterminated ? ", 0 },
  { "nonsense ? ? ?", 3 },
  { "", 0 },
  { "?", 1 },
}

-- Returns a text and the parameters it needs, as a rule.
function values.statement(known)
  if chance(25) then
    return values.anything(known), { n = 0 }
  end
  local statement = one_of(statements)
  local count = chance(20) and math.random(0, 4) or statement[2]
  local parameters = { n = count }
  for i = 1, count do
    parameters[i] = values.parameter(known)
  end
  return statement[1], parameters
end

-- The options of one statement around its text, sometimes.
function values.with_options(sql, known)
  if not chance(4) then
    return sql
  elseif chance(10) then
    return { sql, [values.string()] = values.anything(known) }
  end
  return {
    sql,
    timeout = chance(3) and one_of { 0.001, 0.02, 0.5, chance(5) and -1 or nil } or nil,
    rows = chance(3) and one_of { "array", "table", chance(5) and "hash" or nil } or nil,
    max_result_bytes = chance(4) and one_of { 1, 1000, 2 ^ 53 } or nil,
    idempotent = chance(4) and chance(2) or nil,
  }
end

-- Rows for execute_many: an array, or a function; sometimes with what cannot be a row in it.
function values.many_rows(known)
  local rows = {}
  for i = 1, one_of { 0, 1, 3, 10, 1200 } do
    rows[i] = { math.random(-5, 5) }
  end
  if #rows > 0 and chance(4) then
    rows[math.random(#rows)] = one_of { { 1, 2, 3 }, {}, { values.parameter(known) }, values.anything(known) }
  end
  if chance(2) then
    return rows
  end
  local i, raises = 0, chance(6) and math.random(5)
  return function()
    i = i + 1
    return i ~= raises and rows[i] or i == raises and error("on purpose: next row", 0) or nil
  end
end

function values.begin_options(known)
  if chance(10) then
    return values.anything(known)
  end
  return {
    isolation = chance(3) and one_of { "read committed", "serializable", chance(4) and "none" or nil } or nil,
    read_only = chance(5) and chance(2) or nil,
    snapshot = chance(5) or nil,
    retries = chance(3) and one_of { 0, 1, chance(4) and -1 or 2 } or nil,
  }
end

return values
