-- The values of a function that has failed: nil, error, errno, sqlstate; under LuaJIT, whose assert raises the last of
-- its arguments, nil and the error. Between the functions of mypool a failure travels as nil and an error.

local core = require "mypool.core"
local is_error = require "mypool.is_error"
core.internal()

local failure = {}

-- Values that a function of the program's returned behind nil, when they are more than an error.
local Returned = {}

local unpack = table.unpack or unpack -- luacheck: ignore

-- Packs what a function of the program's returned behind nil into one value that travels.
function failure.of_program(err, ...)
  if select("#", ...) == 0 or is_error(err) then
    return err
  end
  return setmetatable({ n = 1 + select("#", ...), err, ... }, Returned)
end

-- The values of a public function that fails with the error.
function failure.values(err)
  if type(err) == "table" and getmetatable(err) == Returned then
    return nil, unpack(err, 1, err.n)
  end
  return core.failure(err)
end

-- The same for a method whose other failures are the program's, which are never raised: raises the error where the
-- pool, or the pool of the connection, says so.
function failure.of(owner, err)
  if core.raises(owner) then
    error((select(2, failure.values(err))), 0)
  end
  return failure.values(err)
end

-- The same for a call of this statement, with its options or without: it did not come to be sent.
function failure.of_statement(err, sql)
  core.add_sql(err, type(sql) == "table" and rawget(sql, 1) or sql)
  return failure.values(err)
end

return failure
