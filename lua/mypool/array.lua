-- Tables of the program's that are read as arrays. `#` of one with holes may be any number before a hole.

local core = require "mypool.core"
core.internal()

local array = {}

local LONGEST = 60

-- A key as messages name it.
local function name_of(key)
  if type(key) == "string" then
    return ("key '%s'"):format(#key > LONGEST and key:sub(1, LONGEST) .. "…" or key)
  end
  return "key " .. (type(key) == "number" and tostring(key) or "of type " .. type(key))
end

local function is_index(key)
  return type(key) == "number" and key >= 1 and key % 1 == 0
end

-- The number of values. For a table that is no array: nil and the position of its first hole, or nil, nil and
-- words that name a key.
function array.length(values)
  local last = #values
  for key in pairs(values) do
    if not is_index(key) then
      return nil, nil, name_of(key)
    end
    last = math.max(last, key)
  end
  for i = 1, last do
    if values[i] == nil then
      return nil, i
    end
  end
  return last
end

return array
