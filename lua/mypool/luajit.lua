-- For LuaJIT, whose assert raises the last of its arguments unless the second is a string: so that
-- assert(db:query(…)) raises the error, and not the SQLSTATE behind it, a failed call returns nil and
-- the error alone there. It has errno and sqlstate as fields.

local core = require "mypool.core"
core.internal()

-- As many values as there were: a second nil would be one too many for table.insert(t, db:value(…)).
local function short(...)
  local first, second = ...
  if first == nil and type(second) == "table" and getmetatable(second) == core.error_metatable then
    return nil, second
  end
  return ...
end

for _, name in ipairs { "pool", "connection", "transaction", "statement" } do
  local class = core["mypool." .. name]
  for method, fn in pairs(class) do
    class[method] = function(...)
      return short(fn(...))
    end
  end
end
