-- One statement for many rows: prepared once, its rows sent in a few large packets. All rows take
-- effect or none, for it runs in a transaction, or behind a savepoint of the one that is open.

local core = require "mypool.core"
local run = require "mypool.run"
local transaction = require "mypool.transaction"
core.internal()

-- So much travels together: enough to hide the round trip, little enough for max_allowed_packet.
local BATCH_ROWS, BATCH_BYTES = 1000, 1024 * 1024
local TOO_LARGE, NOT_SUPPORTED = 1153, 1235

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

-- For servers without array binding. A row may be shorter than the statement has parameters: the
-- rest is NULL.
local function one_by_one(conn, id, batch)
  local parameters, affected = core.parameters(conn, id), 0
  for i = 1, #batch do
    local result, err, errno, sqlstate = run(conn, core.execute(conn, 0, nil, id, unpack(batch[i], 1, parameters)))
    if not result then
      return nil, err, errno, sqlstate
    end
    affected = affected + affected_by(result)
  end
  return affected
end

local send

-- Rows that are larger than they looked go in two halves.
local function halve(conn, id, batch, first)
  local middle = math.floor(#batch / 2)
  local left, right = { unpack(batch, 1, middle) }, { unpack(batch, middle + 1) }
  local affected, err, errno, sqlstate = send(conn, id, left, first)
  if not affected then
    return nil, err, errno, sqlstate
  end
  local more
  more, err, errno, sqlstate = send(conn, id, right, first + middle)
  if not more then
    return nil, err, errno, sqlstate
  end
  return affected + more
end

-- Sends rows, of which the first is number `first`. Returns the number of affected rows, or nil,
-- error, errno, sqlstate.
function send(conn, id, batch, first)
  local result, err, errno, sqlstate = run(conn, core.execute_many(conn, id, batch, first))
  if result then
    return affected_by(result)
  elseif errno == TOO_LARGE and err.executed == "no" and not err.fatal and #batch > 1 then
    return halve(conn, id, batch, first)
  elseif errno == NOT_SUPPORTED and err.executed == "no" then
    return one_by_one(conn, id, batch)
  end
  return nil, err, errno, sqlstate
end

local function send_all(conn, id, next_row)
  local affected, count = 0, 0
  local batch = next_batch(next_row)
  while #batch > 0 do
    local more, err, errno, sqlstate = send(conn, id, batch, count + 1)
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
  if core.parameters(conn, id) == 0 then
    core.close_prepared(conn, id)
    core.raise "bad argument 'sql' to 'execute_many' (it has no parameters)"
  end
  return finish(conn, id, pcall(in_transaction, conn, function()
    return send_all(conn, id, next_row)
  end))
end
