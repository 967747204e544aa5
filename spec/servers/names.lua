-- Names for programs of specs, whatever the machine's own resolver knows:
--
--     program(text, names { ["db.test"] = { "127.0.0.8", "127.0.0.9" }, seconds = 2 })
--
-- They take so many seconds to be looked up.

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."

-- Returns the environment of such a program.
return function(known)
  local list = {}
  for name, addresses in pairs(known) do
    if name ~= "seconds" then
      list[#list + 1] = name .. "=" .. table.concat(addresses, ",")
    end
  end
  local preload = os.getenv "MYPOOL_PRELOAD"
  local library = folder .. "/../../build/spec/names.so"
  return ("LD_PRELOAD='%s%s' MYPOOL_NAMES='%s' MYPOOL_NAMES_SECONDS=%d"):format(
    preload and preload .. ":" or "",
    library,
    table.concat(list, " "),
    known.seconds or 0
  )
end
