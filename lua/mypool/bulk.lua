-- One statement for many rows: prepared once, its rows sent in a few large packets. All rows take
-- effect or none, for it runs in a transaction, or behind a savepoint of the one that is open.

local array = require "mypool.array"
local core = require "mypool.core"
local failure = require "mypool.failure"
local run = require "mypool.run"
local transaction = require "mypool.transaction"
local values = require "mypool.values"
core.internal()

local List, null, add_row = core["mypool.list"], core.null, core.batch_add
local errnos = core.errno
local RESULT, VALUE = core.shapes.RESULT, core.shapes.VALUE
local raw = { raw = true }

-- ---- where the rows come from ----

-- An iterator over the rows of an array that is not as simple as core.length wants it.
local function each_of(rows)
  local length, hole, key = array.length(rows)
  if hole then
    core.raise(("bad row %d (table expected, got nil, with further rows behind it)"):format(hole))
  elseif key and rows[1] == nil then
    core.raise(("bad row 1 (there is none, but the %s: rows are an array of arrays)"):format(key))
  elseif key then
    core.raise(("bad argument 'rows' to 'execute_many' (array expected, but it has the %s)"):format(key))
  end
  local i = 0
  return function()
    i = i + 1
    if i <= length then
      return rows[i] or false -- what the program took away meanwhile is no end
    end
  end
end

-- `count`: rows read; `ended`: no more calls; `failed`: an error came in the place of a row, which is `failure`. An
-- array of so many rows is read in C.
local function source_of(rows)
  local length
  if type(rows) == "table" then
    length = core.length(rows)
  elseif type(rows) ~= "function" then
    core.raise(("bad argument 'rows' to 'execute_many' (array or function expected, got %s)"):format(type(rows)))
  end
  if length then
    return { array = rows, length = length, count = 0 }
  end
  return { next_row = type(rows) == "table" and each_of(rows) or rows, count = 0 }
end

-- Copies the values of a row into the batch, for the program may use its table again. Returns the batch and whether
-- it is full; nothing at the end of the rows.
local function take(source, batch, row, ...)
  if row ~= nil then
    return add_row(batch, row)
  end
  source.ended = true
  source.failed, source.failure = (...) ~= nil, failure.of_program(...)
end

-- The next batch of rows that a function returns, and how many they are.
local function read(source, parameters)
  local next_row, rows = source.next_row, 0
  local batch = core.batch(parameters, source.count + 1)
  local more, full
  while not full do
    more, full = take(source, batch, next_row())
    if not more then
      break
    end
    batch, rows = more, rows + 1
  end
  return batch, rows
end

-- Rows that travel together, the first of which is number `first`: so many of those in `batch`, behind the first
-- `skipped`.
local function next_part(source, parameters)
  local first, batch, rows = source.count + 1, nil, 0
  if source.next_row then
    batch, rows = read(source, parameters)
  elseif source.count < source.length then
    batch = core.batch(parameters, first, source.length - source.count)
    rows = core.batch_fill(batch, source.array)
  end
  source.count = source.count + rows
  source.ended = source.ended or source.count == source.length
  return { first = first, rows = rows, batch = batch, skipped = 0 }
end

-- So many rows of a part, behind the first `skipped`.
local function part_of(part, skipped, rows)
  return { first = part.first + skipped, rows = rows, batch = part.batch, skipped = part.skipped + skipped }
end

-- ---- what a statement returned ----

-- Notes in an error which rows it is about.
local function blame(part, err)
  if part.rows == 1 then
    err.row = part.first
  else
    err.first_row, err.last_row = part.first, part.first + part.rows - 1
  end
  return nil, err
end

-- The number of affected rows; or nil and an error. With RETURNING there is a row for each that was
-- written; the last result of a CALL tells of all that it did.
local function affected_by(part, result, ...)
  if not result then
    return blame(part, (...))
  end
  local last = select("#", ...) > 0 and select(-1, ...) or result
  return last.affected_rows or #result
end

-- ---- without array binding ----

local function one_by_one(conn, statement, part)
  local affected = 0
  for i = 1, part.rows do
    local more, err = affected_by(
      part_of(part, i - 1, 1),
      run(
        conn,
        core.execute(conn, RESULT, nil, statement.id, statement.sql, core.batch_row(part.batch, part.skipped + i))
      )
    )
    if not more then
      return nil, err
    end
    affected = affected + more
  end
  return affected
end

-- A row as a list, and whether it has a NULL.
local function list_of(part, i)
  local list, nulls = { core.batch_row(part.batch, part.skipped + i) }, false
  for j = 1, #list do
    nulls = nulls or list[j] == null
  end
  return setmetatable(list, List), nulls
end

-- In another mode, and in a table without transactions, NULL becomes 0 or '' in a column that is NOT
-- NULL, if its row is one of several; alone it is refused.
local function is_strict(conn, statement)
  if statement.strict == nil then
    statement.strict = run(conn, core.query(conn, VALUE, raw, "SELECT @@sql_mode LIKE '%STRICT%'")) == 1
  end
  return statement.strict
end

-- The rows as one parameter, or nil if each has to go by itself.
local function as_parameter(conn, statement, part)
  if part.rows == 1 or not statement.text then
    return nil
  end
  local list, nulls = {}, false
  for i = 1, part.rows do
    local row, has_null = list_of(part, i)
    list[i] = row
    nulls = nulls or has_null
  end
  if not nulls or is_strict(conn, statement) then
    return setmetatable(list, List)
  end
end

local function send_unbound(conn, statement, part)
  local list = as_parameter(conn, statement, part)
  if not list then
    return one_by_one(conn, statement, part)
  end
  return affected_by(part, run(conn, core.query(conn, RESULT, nil, statement.text, list)))
end

-- ---- with it ----

-- True when nothing ran, as this statement cannot be had for many rows at once: libmariadb refuses that where the
-- server does not know it, the server for this statement, or while its binlog_format is STATEMENT.
local function is_refused(statement, err)
  local errno = err.errno
  if statement.bound then
    return false
  end
  return errno == errnos.NOT_PREPARED
    or errno == errnos.NOT_IN_BINLOG
    or (errno == errnos.NOT_SUPPORTED_YET and err.executed == "no")
end

local function send_bound(conn, statement, part)
  local affected, err = affected_by(
    part,
    run(conn, core.execute_many(conn, statement.id, part.batch, part.skipped, part.rows))
  )
  if not affected and is_refused(statement, err) then
    statement.unbound = true
    return send_unbound(conn, statement, part)
  end
  statement.bound = affected ~= nil or statement.bound
  return affected, err
end

-- ---- all rows ----

local send

-- Rows that are larger than they looked go in two halves.
local function halve(conn, statement, part)
  local middle = math.floor(part.rows / 2)
  local affected, err = send(conn, statement, part_of(part, 0, middle))
  if not affected then
    return nil, err
  end
  local more
  more, err = send(conn, statement, part_of(part, middle, part.rows - middle))
  if not more then
    return nil, err
  end
  return affected + more
end

-- Returns the number of affected rows, or nil and an error.
function send(conn, statement, part)
  local way = statement.unbound and send_unbound or send_bound
  local affected, err = way(conn, statement, part)
  local too_large = not affected and err.errno == errnos.PACKET_TOO_LARGE and err.executed == "no" and not err.fatal
  if too_large and part.rows > 1 then
    return halve(conn, statement, part)
  end
  return affected, err
end

local function send_all(conn, statement, source)
  local affected = 0
  repeat
    local part = next_part(source, statement.parameters)
    if source.failed then
      return failure.values(source.failure)
    elseif part.rows > 0 then
      local more, err = send(conn, statement, part)
      if not more then
        err.sql = nil -- it may be of a statement that the program did not give
        return failure.of_statement(err, statement.sql)
      end
      affected = affected + more
    end
  until source.ended
  return { affected_rows = affected, rows = source.count }
end

-- `last`: with it the loan ends.
local function in_transaction(conn, last, fn)
  if conn:in_transaction() then
    return transaction.within(conn, fn)
  end
  return transaction.run(conn, function()
    return conn, false, nil, last
  end, nil, { retries = 0 }, fn)
end

local function finish(conn, id, sql, ok, ...)
  local done, err = ...
  if ok and done then
    core.end_many(conn, sql, done.affected_rows)
  else
    core.end_many(conn, sql, nil, ok and err or done)
  end
  core.close_prepared(conn, id)
  if not ok then
    error((...), 0)
  end
  return ...
end

-- conn:execute_many(sql, rows): { affected_rows =, rows = }, or nil, error, errno, sqlstate. A function that
-- returned nil, error in the place of a row has failed: then these are returned. `last`: the connection goes back to
-- the pool behind it.
return function(conn, sql, rows, last)
  local source = source_of(rows)
  local id, err = run(conn, core.prepare(conn, sql, "execute_many"))
  if not id then
    return failure.values(err)
  end
  local parameters = core.parameters(conn, id)
  if parameters == 0 then
    core.close_prepared(conn, id)
    core.raise "bad argument 'sql' to 'execute_many' (it has no parameters)"
  end
  local statement = { id = id, sql = sql, parameters = parameters, text = values(sql) }
  core.begin_many(conn)
  return finish(conn, id, sql, pcall(in_transaction, conn, last, function()
    return send_all(conn, statement, source)
  end))
end
