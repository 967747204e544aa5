-- INSERT … VALUES (?, …) as a statement for many rows. Taken for one is only what surely is: with a
-- comment, a string or a SELECT before its values, say, it is not.

local names = require "mypool.names"

local function is_table(words)
  local name = words:gsub("^%s+ignore%s", " "):gsub("^%s+into%s", " "):gsub("%s*%b()%s*$", "")
  return name:find "^%s*[^%s()]+%s*$"
end

-- With RETURNING each row has a result.
local function is_tail(text)
  local update = text:find "^%s*on%s+duplicate%s+key%s+update%s"
  return text:find "^%s*$" or update and not text:find "%?" and not text:find "returning"
end

-- Returns `sql` with one placeholder for all rows, or nil. The server has prepared it and found
-- parameters: they are the only question marks there are, and so not within a name.
return function(sql)
  local verb, words, before, after, tail =
    names.lower(sql):match "^%s*(%a+)(%s[%w%s_$.,`()]-)%f[%w_]values?()%s*%([?,%s]+%)()(.*)$"
  if (verb == "insert" or verb == "replace") and is_table(words) and is_tail(tail) then
    return sql:sub(1, before - 1) .. "?" .. sql:sub(after)
  end
end
