-- One statement for many rows: prepared once, its rows sent in a few large packets. All rows take
-- effect or none, for it runs in a transaction, or behind a savepoint of the one that is open.

local array = require "mypool.array"
local core = require "mypool.core"
local failure = require "mypool.failure"
local run = require "mypool.run"
local transaction = require "mypool.transaction"
local values = require "mypool.values"
core.internal()

local List, null, add_row = core["mypool.list"], core.null, core.row

-- So much travels together: enough to hide the round trip, little enough for max_allowed_packet.
local BATCH_ROWS, BATCH_BYTES = 1000, 1024 * 1024
local errnos = core.errno
local RESULT, VALUE = core.shapes.RESULT, core.shapes.VALUE
local raw = { raw = true }

local unpack = table.unpack or unpack -- luacheck: ignore

-- ---- where the rows come from ----

-- An iterator over the rows of an array.
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

-- `count`: rows read; `ended`: no more calls; `failed`: an error came in the place of a row, which is `failure`.
local function source_of(rows)
  if type(rows) == "table" then
    rows = each_of(rows)
  elseif type(rows) ~= "function" then
    core.raise(("bad argument 'rows' to 'execute_many' (array or function expected, got %s)"):format(type(rows)))
  end
  return { next_row = rows, count = 0 }
end

-- Copies the values of a row into the batch, for the program may use its table again. Returns their size, or
-- nil at the end of the rows.
local function take(source, batch, row, ...)
  if row == nil then
    source.ended = true
    source.failed, source.failure = (...) ~= nil, failure.of_program(...)
    return nil
  end
  local rows, parameters = batch.rows, batch.parameters
  batch.rows = rows + 1
  return add_row(batch.cells, row, parameters, rows * parameters, batch.first + rows)
end

-- Rows that travel together, the first of which is number `first`: their values, one behind the other, stand in
-- `cells` behind the first `at`.
local function next_batch(source, parameters)
  local batch = { first = source.count + 1, rows = 0, cells = {}, at = 0, parameters = parameters }
  local next_row, bytes = source.next_row, 0
  while batch.rows < BATCH_ROWS and bytes < BATCH_BYTES do
    local more = take(source, batch, next_row())
    if not more then
      break
    end
    bytes = bytes + more
  end
  source.count = source.count + batch.rows
  return batch
end

-- So many rows of a batch, behind the first `skipped`.
local function part_of(batch, skipped, rows)
  local parameters = batch.parameters
  local at = batch.at + skipped * parameters
  return { first = batch.first + skipped, rows = rows, cells = batch.cells, at = at, parameters = parameters }
end

-- ---- what a statement returned ----

-- Notes in an error which rows it is about.
local function blame(batch, err)
  if batch.rows == 1 then
    err.row = batch.first
  else
    err.first_row, err.last_row = batch.first, batch.first + batch.rows - 1
  end
  return nil, err
end

-- The number of affected rows; or nil and an error. With RETURNING there is a row for each that was
-- written; the last result of a CALL tells of all that it did.
local function affected_by(batch, result, ...)
  if not result then
    return blame(batch, (...))
  end
  local last = select("#", ...) > 0 and select(-1, ...) or result
  return last.affected_rows or #result
end

-- ---- without array binding ----

local function one_by_one(conn, statement, batch)
  local affected, parameters = 0, batch.parameters
  for i = 1, batch.rows do
    local at = batch.at + (i - 1) * parameters
    local more, err = affected_by(
      part_of(batch, i - 1, 1),
      run(
        conn,
        core.execute(conn, RESULT, nil, statement.id, statement.sql, unpack(batch.cells, at + 1, at + parameters))
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
local function list_of(batch, i)
  local list, nulls = {}, false
  local at = batch.at + (i - 1) * batch.parameters
  for j = 1, batch.parameters do
    list[j] = batch.cells[at + j]
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
local function as_parameter(conn, statement, batch)
  if batch.rows == 1 or not statement.text then
    return nil
  end
  local list, nulls = {}, false
  for i = 1, batch.rows do
    local row, has_null = list_of(batch, i)
    list[i] = row
    nulls = nulls or has_null
  end
  if not nulls or is_strict(conn, statement) then
    return setmetatable(list, List)
  end
end

local function send_unbound(conn, statement, batch)
  local list = as_parameter(conn, statement, batch)
  if not list then
    return one_by_one(conn, statement, batch)
  end
  return affected_by(batch, run(conn, core.query(conn, RESULT, nil, statement.text, list)))
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

local function send_bound(conn, statement, batch)
  local affected, err = affected_by(
    batch,
    run(conn, core.execute_many(conn, statement.id, batch.cells, batch.at, batch.rows, batch.first))
  )
  if not affected and is_refused(statement, err) then
    statement.unbound = true
    return send_unbound(conn, statement, batch)
  end
  statement.bound = affected ~= nil or statement.bound
  return affected, err
end

-- ---- all rows ----

local send

-- Rows that are larger than they looked go in two halves.
local function halve(conn, statement, batch)
  local middle = math.floor(batch.rows / 2)
  local affected, err = send(conn, statement, part_of(batch, 0, middle))
  if not affected then
    return nil, err
  end
  local more
  more, err = send(conn, statement, part_of(batch, middle, batch.rows - middle))
  if not more then
    return nil, err
  end
  return affected + more
end

-- Returns the number of affected rows, or nil and an error.
function send(conn, statement, batch)
  local way = statement.unbound and send_unbound or send_bound
  local affected, err = way(conn, statement, batch)
  local too_large = not affected and err.errno == errnos.PACKET_TOO_LARGE and err.executed == "no" and not err.fatal
  if too_large and batch.rows > 1 then
    return halve(conn, statement, batch)
  end
  return affected, err
end

local function send_all(conn, statement, source)
  local affected = 0
  repeat
    local batch = next_batch(source, statement.parameters)
    if source.failed then
      return failure.values(source.failure)
    elseif batch.rows > 0 then
      local more, err = send(conn, statement, batch)
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
