-- True for an error of mypool's.

local core = require "mypool.core"
core.internal()

local error_metatable = core.error_metatable

return function(value)
  return type(value) == "table" and getmetatable(value) == error_metatable
end
