-- A table of what Lua can write, and of such tables, as Lua reads it.
local function source_of(value)
  if type(value) ~= "table" then
    return ("%q"):format(value)
  end
  local fields = {}
  for name, field in pairs(value) do
    fields[#fields + 1] = ("[%q] = %s"):format(name, source_of(field))
  end
  return "{ " .. table.concat(fields, ", ") .. " }"
end

return source_of
