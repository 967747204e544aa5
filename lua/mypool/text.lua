-- Statements of the text protocol: methods that run one, by what they return of its result.

local core = require "mypool.core"
local options = require "mypool.options"
local run = require "mypool.run"
core.internal()

local query = core.query

local text = {}

-- A method function(conn, sql, ...); `sql` may be a table: { "SELECT …", timeout = 1 }.
function text.method(name, shape)
  return function(self, sql, ...)
    if type(sql) == "table" then
      return run(self, query(self, shape, sql, options.statement(sql, name), ...))
    end
    return run(self, query(self, shape, nil, sql, ...))
  end
end

return text
