-- Mistakes of the caller's: raised as a string that begins with the place of the mistake.

local assert = require "luassert"

-- Asserts that f, which must not end in a tail call, raises a message with `text` at a line of its own.
-- Returns the message.
return function(text, f)
  local ok, message = pcall(f)
  assert.is_false(ok, "nothing was raised")
  assert.is_string(message)
  assert.is_truthy(message:find(text, 1, true), ("%q is not in %q"):format(text, message))
  local file, line = message:match "^(.-):(%d+): "
  local own = debug.getinfo(f, "S")
  line = math.tointeger(line) or 0
  assert.equal(own.short_src, file, message)
  assert.is_true(line >= own.linedefined and line <= own.lastlinedefined, "not the place of the mistake: " .. message)
  return message
end
