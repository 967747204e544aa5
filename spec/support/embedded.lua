-- The programs of build/spec that embed Lua, with the mypool under test. Under sanitizers they are asked for leaks,
-- which a program in lua5.4 cannot be: these end all that they began.

local quote = require "spec.support.quote"

local folder = assert(package.searchpath("mypool.core", package.cpath)):match "^(.*)/mypool/core%.so$"

-- Runs the program with these words; returns what it printed on both outputs, and whether it ended well.
return function(name, ...)
  local words = { quote(folder .. "/spec/" .. name) }
  for _, word in ipairs { ... } do
    words[#words + 1] = quote(tostring(word))
  end
  local command = ("LUA_PATH=%s LUA_CPATH=%s ASAN_OPTIONS=detect_leaks=1 %s 2>&1"):format(
    quote(package.path),
    quote(package.cpath),
    table.concat(words, " ")
  )
  local pipe = assert(io.popen(command))
  local printed = pipe:read "a"
  return printed, pipe:close() == true
end
