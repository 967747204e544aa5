-- Lua programs in processes of their own, with the mypool under test and with warnings on.

local quote = require "spec.support.quote"

-- Under sanitizers a child that loads mypool needs them as well. It may end as it likes, so it is not asked
-- for leaks.
local preload = os.getenv "MYPOOL_PRELOAD"
local sanitized = preload and ("ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=" .. quote(preload)) or ""

-- sanitized: the variables, for env, with which a child loads a mypool that is under sanitizers; else empty.
local program = { sanitized = sanitized }

-- Begins to run the program, and returns a function that waits for its end and returns what it printed on both
-- outputs, whether it ended well, and its exit status or signal. `environment` is like "NAME=value OTHER=value";
-- `before` is a command of the shell that runs it, such as "ulimit -n 1000". A program that has not ended after
-- `limit` seconds (300 unless told otherwise) is ended by a signal, with its children: its status is then 124.
function program.start(text, environment, before, limit)
  local command = ("%s%s env LUA_PATH=%s LUA_CPATH=%s %s %s ${LUA:-lua5.4} -W -e %s 2>&1"):format(
    before and before .. "; " or "",
    ("timeout --signal=ABRT --kill-after=10 %g"):format(limit or 300),
    quote(package.path),
    quote(package.cpath),
    sanitized,
    environment or "",
    quote(text)
  )
  local pipe = assert(io.popen(command))
  return function()
    local printed = pipe:read "a"
    local ok, how, status = pipe:close()
    return printed, ok == true, how == "signal" and status + 128 or status
  end
end

-- program(text, …): the same, to its end.
return setmetatable(program, {
  __call = function(_, ...)
    return program.start(...)()
  end,
})
