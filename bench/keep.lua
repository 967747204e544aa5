-- Results in a file: plain tables of numbers, strings and booleans, as Lua.

local keep = {}

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function text_of(value, indent)
  if type(value) ~= "table" then
    return ("%q"):format(value)
  end
  local lines = {}
  for _, key in ipairs(sorted_keys(value)) do
    lines[#lines + 1] = ("%s[%q] = %s,\n"):format(indent .. "  ", key, text_of(value[key], indent .. "  "))
  end
  return "{\n" .. table.concat(lines) .. indent .. "}"
end

function keep.write(path, results)
  local file <close> = assert(io.open(path, "w"))
  file:write("return ", text_of(results, ""), "\n")
end

function keep.read(path)
  return assert(loadfile(path, "t", {}))()
end

return keep
