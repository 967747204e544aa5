-- The option errors = "raise": the classes of such a pool have the same methods, but that those which fail with nil and
-- an error raise it. Within mypool failures are returned all the same: the other classes' functions are called there.

local core = require "mypool.core"
core.internal()

local raising = {}

local function check(first, ...)
  local err = ...
  if first == nil and err ~= nil then
    error(err, 0)
  end
  return first, ...
end

-- A method that raises what `method` returns behind nil.
local function of(method)
  return function(...)
    return check(method(...))
  end
end

-- Fills `class` with the methods of another one, those that are listed as raising ones.
function raising.fill(class, methods, failing)
  for name, method in pairs(methods) do
    class[name] = method
  end
  for name in failing:gmatch "[%w_]+" do
    class[name] = of(methods[name])
  end
  return setmetatable(class, getmetatable(methods))
end

return raising
