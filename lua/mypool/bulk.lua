-- One statement for many rows: prepared once, its rows sent in a few large packets. All rows take
-- effect or none, for it runs in a transaction, or behind a savepoint of the one that is open.

local core = require "mypool.core"
local run = require "mypool.run"
local transaction = require "mypool.transaction"
local values = require "mypool.values"
core.internal()

local List, null = core["mypool.list"], core.null

-- So much travels together: enough to hide the round trip, little enough for max_allowed_packet.
local BATCH_ROWS, BATCH_BYTES = 1000, 1024 * 1024
local TOO_LARGE, NOT_SUPPORTED = 1153, 1235
local VALUE, raw = 2, { raw = true }

local unpack = table.unpack or unpack -- luacheck: ignore

-- An iterator over the rows, from an array or a function.
local function each(rows)
  if type(rows) == "function" then
    return rows
  elseif type(rows) ~= "table" then
    core.raise(("bad argument 'rows' to 'execute_many' (array or function expected, got %s)"):format(type(rows)))
  end
  local i = 0
  return function()
    i = i + 1
    return rows[i]
  end
end

local function size_of(row)
  local bytes = 0
  if type(row) == "table" then
    for i = 1, #row do
      local value = row[i]
      bytes = bytes + (type(value) == "string" and #value or 8)
    end
  end
  return bytes
end

local function next_batch(next_row)
  local batch, count, bytes = {}, 0, 0
  while count < BATCH_ROWS and bytes < BATCH_BYTES do
    local row = next_row()
    if row == nil then
      break
    end
    count = count + 1
    batch[count] = row
    bytes = bytes + size_of(row)
  end
  return batch
end

-- A statement with RETURNING has rows instead: one for each that it wrote.
local function affected_by(result)
  return result.affected_rows or #result
end

-- ---- servers without array binding: rows that core.execute_many has checked ----

-- A row may be shorter than the statement has parameters: the rest is NULL.
local function one_by_one(conn, statement, batch)
  local affected = 0
  for i = 1, #batch do
    local result, err, errno, sqlstate =
      run(conn, core.execute(conn, 0, nil, statement.id, unpack(batch[i], 1, statement.parameters)))
    if not result then
      return nil, err, errno, sqlstate
    end
    affected = affected + affected_by(result)
  end
  return affected
end

-- A row as a list, and whether it has a NULL.
local function list_of(row, parameters)
  local list, nulls = {}, false
  for i = 1, parameters do
    local value = row[i]
    list[i] = value == nil and null or value
    nulls = nulls or list[i] == null
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

-- The rows as one parameter, or nil if each has to go by itself. It is a copy: the program may change
-- its rows while the mode is asked for.
local function as_parameter(conn, statement, batch)
  if #batch == 1 or not statement.text then
    return nil
  end
  local list, nulls = {}, false
  for i = 1, #batch do
    local row, has_null = list_of(batch[i], statement.parameters)
    list[i] = row
    nulls = nulls or has_null
  end
  if not nulls or is_strict(conn, statement) then
    return setmetatable(list, List)
  end
end

-- ---- all rows ----

local send

-- Rows that are larger than they looked go in two halves.
local function halve(conn, statement, batch, first)
  local middle = math.floor(#batch / 2)
  local left, right = { unpack(batch, 1, middle) }, { unpack(batch, middle + 1) }
  local affected, err, errno, sqlstate = send(conn, statement, left, first)
  if not affected then
    return nil, err, errno, sqlstate
  end
  local more
  more, err, errno, sqlstate = send(conn, statement, right, first + middle)
  if not more then
    return nil, err, errno, sqlstate
  end
  return affected + more
end

-- Sends rows, of which the first is number `first`. Returns the number of affected rows, or nil,
-- error, errno, sqlstate.
function send(conn, statement, batch, first)
  local result, err, errno, sqlstate = run(conn, core.execute_many(conn, statement.id, batch, first))
  if not result and errno == NOT_SUPPORTED and err.executed == "no" then
    local list = as_parameter(conn, statement, batch)
    if not list then
      return one_by_one(conn, statement, batch)
    end
    result, err, errno, sqlstate = run(conn, core.query(conn, 0, nil, statement.text, list))
  end
  if result then
    return affected_by(result)
  elseif errno == TOO_LARGE and err.executed == "no" and not err.fatal and #batch > 1 then
    return halve(conn, statement, batch, first)
  end
  return nil, err, errno, sqlstate
end

local function send_all(conn, statement, next_row)
  local affected, count = 0, 0
  local batch = next_batch(next_row)
  while #batch > 0 do
    local more, err, errno, sqlstate = send(conn, statement, batch, count + 1)
    if not more then
      return nil, err, errno, sqlstate
    end
    affected = affected + more
    count = count + #batch
    batch = next_batch(next_row)
  end
  return { affected_rows = affected, rows = count }
end

local function in_transaction(conn, fn)
  if conn:in_transaction() then
    return transaction.within(conn, fn)
  end
  return transaction.run(function()
    return conn, false
  end, nil, { retries = 0 }, fn)
end

local function finish(conn, id, ok, ...)
  core.close_prepared(conn, id)
  if not ok then
    error((...), 0)
  end
  return ...
end

-- conn:execute_many(sql, rows): { affected_rows =, rows = }, or nil, error, errno, sqlstate.
return function(conn, sql, rows)
  local next_row = each(rows)
  local id, err, errno, sqlstate = run(conn, core.prepare(conn, sql))
  if not id then
    return nil, err, errno, sqlstate
  end
  local parameters = core.parameters(conn, id)
  if parameters == 0 then
    core.close_prepared(conn, id)
    core.raise "bad argument 'sql' to 'execute_many' (it has no parameters)"
  end
  local statement = { id = id, parameters = parameters, text = values(sql) }
  return finish(conn, id, pcall(in_transaction, conn, function()
    return send_all(conn, statement, next_row)
  end))
end
