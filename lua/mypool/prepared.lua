-- Prepared statements: parsed once, their values sent as they are. They live as long as the loan
-- they were made in. On the network each costs a round trip more than conn:query, so they pay for
-- statements that run several times in a loan, or fetch many rows.

local core = require "mypool.core"
local names = require "mypool.names"
local options = require "mypool.options"
local raising = require "mypool.raising"
local rows = require "mypool.stream"
local run = require "mypool.run"
core.internal()

local execute, shapes = core.execute, core.shapes

local Statement = {}
core["mypool.statement"] = Statement
local metatable = { __index = Statement, __name = "mypool.statement", __metatable = false }
local raising_metatable = { __name = metatable.__name, __metatable = false }

local function make(conn, fields)
  return setmetatable(fields, core.raises(conn) and raising_metatable or metatable)
end

local function must_be_statement(self, what)
  if type(self) ~= "table" or getmetatable(self) ~= false or self.with ~= Statement.with then
    core.raise_self(self, what, "mypool.statement", "statement")
  end
end

local function must_be_open(self, what)
  must_be_statement(self, what)
  if self.closed then
    core.raise(("bad call of '%s' (this statement was closed)"):format(what))
  end
  return self.conn
end

local function method(name, shape)
  return function(self, ...)
    local conn = must_be_open(self, name)
    return run(conn, execute(conn, shape, self.options, self.id, self.sql, ...))
  end
end

-- statement:execute(...): the result, as of conn:query.
Statement.execute = method("execute", shapes.RESULT)

-- statement:one(...), statement:value(...): as of a connection.
Statement.one = method("one", shapes.ROW)
Statement.value = method("value", shapes.VALUE)

-- statement:rows(...): for row in … do, as of a connection.
function Statement:rows(...)
  local conn = must_be_open(self, "rows")
  return rows(conn, run(conn, execute(conn, shapes.STREAM, self.options, self.id, self.sql, ...)))
end

-- statement:with{ timeout =, rows = }: the same statement with these options.
function Statement:with(given)
  must_be_open(self, "with")
  options.check("with", given, options.of_prepared)
  return make(self.conn, { conn = self.conn, id = self.id, sql = self.sql, options = given, closed = false })
end

-- statement:close(): a second time does nothing.
function Statement:close()
  must_be_statement(self, "close")
  if not self.closed then
    self.closed = true
    core.close_prepared(self.conn, self.id)
  end
end

names.advise("mypool.statement", Statement, { execute = "query, exec" })

metatable.__close = Statement.close

function metatable.__tostring(self)
  return ("mypool.statement %d%s"):format(self.id, self.closed and " (closed)" or "")
end

raising_metatable.__close, raising_metatable.__tostring = metatable.__close, metatable.__tostring
raising_metatable.__index = raising.fill({}, Statement, "execute one value rows")

-- A statement from its number; nil, when preparing failed.
return function(conn, sql, id, ...)
  if not id then
    return id, ...
  end
  return make(conn, { conn = conn, id = id, sql = sql, options = false, closed = false })
end
