-- Unknown names: which known one was meant.

local core = require "mypool.core"
core.internal()

-- Levenshtein's distance between two words.
local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

local names = {}

-- The word in small letters: those of ASCII, whatever the locale takes for a pair.
function names.lower(word)
  return (word:gsub("[A-Z]", function(letter)
    return string.char(letter:byte() + 32)
  end))
end

local LONGEST = 60 -- none of ours is half as long, and the time of a comparison grows with the length

-- The name among the keys of `known` that is nearest to `name`.
function names.nearest(name, known)
  local best, best_distance
  for candidate in pairs(known) do
    local d = distance(name, candidate)
    if not best or d < best_distance or (d == best_distance and candidate < best) then
      best, best_distance = candidate, d
    end
  end
  return best
end

-- Raises at the caller's place for a key of `given` that is not one of `known`.
function names.check(given, known, what)
  for name in pairs(given) do
    if type(name) ~= "string" then
      core.raise(("%s: names of options are strings, not %s"):format(what, type(name)))
    elseif known[name] == nil and #name > LONGEST then
      core.raise(("%s: unknown option '%s…'"):format(what, name:sub(1, LONGEST)))
    elseif known[name] == nil then
      core.raise(("%s: unknown option '%s' (did you mean '%s'?)"):format(what, name, names.nearest(name, known)))
    end
  end
end

return names
