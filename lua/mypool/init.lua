-- mypool: a pool of MariaDB and MySQL connections that are clean and alive when you get them.

local core = require "mypool.core"
core.internal()
local array = require "mypool.array"
local is_error = require "mypool.is_error"
local making = require "mypool.making"
local names = require "mypool.names"
require "mypool.connection"
require "mypool.pool"

local mypool = { _VERSION = "0.2.0" }

-- mypool.new(options), mypool.new(dsn [, options]): a pool, from a table, or a DSN
-- "mariadb://user:password@host:port/database?…" and what stands above it. Does no I/O. Raises for options that are
-- unknown or of the wrong type.
function mypool.new(...)
  if (...) == mypool then
    core.raise "bad call of 'new' (call it with a dot: mypool.new(…))"
  end
  return making.pool(...)
end

-- mypool.null: NULL among parameters and, as the option `null`, in results. Equal to ngx.null
-- and cjson.null.
mypool.null = core.null

local function wrapper(name, check)
  local class = core["mypool." .. name]
  return function(...)
    return setmetatable(check(...), class)
  end
end

local function raise_type(name, expected, value)
  core.raise(("bad argument to '%s' (%s expected, got %s)"):format(name, expected, type(value)))
end

-- mypool.list{ … }: values for IN (?). Raises for a hole: mypool.null is NULL in a list. An empty one raises
-- when it is used.
mypool.list = wrapper("list", function(values)
  if type(values) ~= "table" then
    raise_type("list", "array", values)
  end
  local length, hole, key = array.length(values)
  if hole then
    core.raise(("bad argument to 'list' (place %d is nil: for NULL write mypool.null)"):format(hole))
  elseif key then
    core.raise(("bad argument to 'list' (array expected, but it has the %s)"):format(key))
  end
  local copy = {}
  for i = 1, length do
    copy[i] = values[i]
  end
  return copy
end)

-- mypool.named{ name = value, … }: values for :name in a statement. What the statement does not name is ignored, so
-- that a row can be given; NULL is mypool.null.
mypool.named = wrapper("named", function(values)
  if type(values) ~= "table" then
    raise_type("named", "table", values)
  end
  local copy = {}
  for name, value in pairs(values) do
    copy[name] = value
  end
  return copy
end)

-- mypool.ident(name, ...): the name of a table, column or database; several are joined by dots.
mypool.ident = wrapper("ident", function(...)
  for i = 1, math.max(1, select("#", ...)) do
    local name = select(i, ...)
    if type(name) ~= "string" then
      raise_type("ident", "string", name)
    end
  end
  return { ... }
end)

-- mypool.binary(bytes): bytes that are no text.
mypool.binary = wrapper("binary", function(bytes)
  if type(bytes) ~= "string" then
    raise_type("binary", "string", bytes)
  end
  return { bytes }
end)

-- mypool.is_error(value): whether it is an error of mypool's.
mypool.is_error = is_error

return names.advise("mypool", mypool, {
  ["mypool.new"] = "connect, open",
  ["a parameter ? needs no escaping"] = "escape, quote",
})
