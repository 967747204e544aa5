-- The methods of a connection. Every function that talks to the server returns nil, error, errno,
-- sqlstate when the server or the network failed, and raises for a mistake of the caller's.

local core = require "mypool.core"
local failure = require "mypool.failure"
local bulk = require "mypool.bulk"
local names = require "mypool.names"
local prepared = require "mypool.prepared"
local raising = require "mypool.raising"
local rows = require "mypool.stream"
local run = require "mypool.run"
local text = require "mypool.text"
local transaction = require "mypool.transaction"
core.internal()

local query, ping, shapes = core.query, core.ping, core.shapes
local Connection = core["mypool.connection"]

local raw = { rows = "array", raw = true }

-- conn:query(sql, ...): the result, an array of rows; the further results of a CALL after it.
Connection.query = text.method("query", shapes.RESULT)

-- conn:one(sql, ...): the first row; nil when there is none.
Connection.one = text.method("one", shapes.ROW)

-- conn:value(sql, ...): the first cell of the first row; nil when there is none.
Connection.value = text.method("value", shapes.VALUE)

-- conn:rows(sql, ...): for row in … do: the rows one by one; see stream.lua.
local stream = text.method("rows", shapes.STREAM)
function Connection:rows(...)
  return rows(self, stream(self, ...))
end

-- conn:prepare(sql): a statement of the binary protocol; see prepared.lua.
function Connection:prepare(sql)
  return prepared(self, sql, run(self, core.prepare(self, sql, "prepare")))
end

-- conn:execute_many(sql, rows): runs a statement for each row: an array of parameters. `rows` is an
-- array of them, or a function that returns one after the other. All of it takes effect, or nothing;
-- see bulk.lua.
function Connection:execute_many(sql, many)
  return bulk(self, sql, many)
end

-- conn:warnings(): what the last statement warned of: an array of { level =, code =, message = }.
function Connection:warnings()
  core.held(self, "warnings")
  local found, err = run(self, query(self, shapes.RESULT, raw, "SHOW WARNINGS"))
  if not found then
    return failure.values(err)
  end
  local warnings = {}
  for i = 1, #found do
    warnings[i] = { level = found[i][1], code = found[i][2], message = found[i][3] }
  end
  return warnings
end

-- conn:ping(): true.
function Connection:ping()
  return run(self, ping(self))
end

-- conn:reset(): true; the session is as new, in the middle of the loan. An error costs the session.
function Connection:reset()
  return run(self, core.reset(self))
end

-- conn:begin([options]): a transaction; see transaction.lua.
function Connection:begin(given)
  core.held(self, "begin")
  return transaction.begin(self, "begin", given)
end

local function take(self)
  return self, false
end

local function pause(self, seconds)
  return run(self, core.pause(self, seconds))
end

-- conn:transaction([options,] fn): runs fn(tx) in a transaction; see transaction.lua.
function Connection:transaction(...)
  core.held(self, "transaction")
  return transaction.run(self, take, pause, ...)
end

names.advise("mypool.connection", Connection, {
  query = "execute, exec",
  ["result.insert_id"] = "last_insert_id",
  ["a parameter ? needs no escaping"] = "escape, quote",
  release = "close, put, set_keepalive",
  ["begin or transaction give what has it"] = "commit, rollback",
})

local failing = "query one value rows prepare execute_many begin warnings ping reset"
raising.fill(core["raising mypool.connection"], Connection, failing)

return Connection
