-- One statement for many rows: prepared once, its rows sent in a few large packets. All rows take
-- effect or none, for it runs in a transaction, or behind a savepoint of the one that is open.

local core = require "mypool.core"
local run = require "mypool.run"
local transaction = require "mypool.transaction"
core.internal()

-- So many rows travel together: enough to hide the round trip, few enough for max_allowed_packet.
local BATCH = 1000
local NOT_SUPPORTED = 5003 -- libmariadb: the server knows no array binding

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

local function next_batch(next_row, size)
  local batch = {}
  while #batch < size do
    local row = next_row()
    if row == nil then
      break
    end
    batch[#batch + 1] = row
  end
  return batch
end

-- Sends all batches; returns the number of affected rows and of rows, or nil, error, errno, sqlstate.
local function send(conn, id, next_row)
  local affected, count, size = 0, 0, BATCH
  local batch = next_batch(next_row, size)
  while #batch > 0 do
    local result, err, errno, sqlstate = run(conn, core.execute_many(conn, id, batch, count + 1))
    if not result then
      return nil, err, errno, sqlstate
    end
    affected = affected + result.affected_rows
    count = count + #batch
    batch = next_batch(next_row, size)
  end
  return { affected_rows = affected, rows = count }
end

local function one_by_one(conn, id, next_row)
  local affected, count = 0, 0
  for row in next_row do
    count = count + 1
    local parameters = core.parameters(conn, id)
    local result, err, errno, sqlstate =
      run(conn, core.execute(conn, 0, nil, id, (table.unpack or unpack)(row, 1, parameters))) -- luacheck: ignore
    if not result then
      return nil, err, errno, sqlstate
    end
    affected = affected + result.affected_rows
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

-- conn:execute_many(sql, rows): { affected_rows =, rows = }, or nil, error, errno, sqlstate.
return function(conn, sql, rows)
  local next_row = each(rows)
  local id, err, errno, sqlstate = run(conn, core.prepare(conn, sql))
  if not id then
    return nil, err, errno, sqlstate
  end
  if core.parameters(conn, id) == 0 then
    core.raise "bad argument 'sql' to 'execute_many' (it has no parameters)"
  end
  local function work()
    return send(conn, id, next_row)
  end
  local result
  result, err, errno, sqlstate = in_transaction(conn, work)
  if not result and errno == NOT_SUPPORTED and type(rows) == "table" then
    next_row = each(rows)
    result, err, errno, sqlstate = in_transaction(conn, function()
      return one_by_one(conn, id, next_row)
    end)
  end
  core.close_prepared(conn, id)
  return result, err, errno, sqlstate
end
