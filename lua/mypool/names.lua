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

-- Without what people write one way or the other: capitals, `_`, `-`.
local function plain(name)
  return (names.lower(name):gsub("[_-]", ""))
end

local function sorted(known)
  local list = {}
  for name in pairs(known) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

-- One of the two is a part of the other: the longest such name, then the one that it begins with.
local function find_part(word, list)
  local best, best_rank
  for _, name in ipairs(list) do
    local candidate = plain(name)
    local short, long = word, candidate
    if #short > #long then
      short, long = long, short
    end
    local at = #short >= 4 and long:find(short, 1, true)
    local rank = at and 2 * #candidate + (at == 1 and 1 or 0)
    if rank and (not best or rank > best_rank) then
      best, best_rank = name, rank
    end
  end
  return best
end

local function find_near(word, list)
  local best, best_distance
  for _, name in ipairs(list) do
    local d = distance(word, plain(name))
    if d <= 2 and (not best or d < best_distance) then
      best, best_distance = name, d
    end
  end
  return best
end

-- Aliases as they are looked up, from a table of "what to write" = "names, that, mean it".
function names.aliases(given)
  local meant = {}
  for advice, list in pairs(given) do
    for alias in list:gmatch "[^,%s]+" do
      meant[plain(alias)] = advice
    end
  end
  return meant
end

-- The words of advice for a name that is an alias: a single name is put in quotes.
local function words(advice)
  if advice:find "^%l[%l_]*$" then
    return ("did you mean '%s'?"):format(advice)
  elseif advice:find "%a%s%a+%s%a" and not advice:find "^'" then
    return advice
  end
  return ("did you mean %s?"):format(advice)
end

-- What was meant by an unknown name, in words; nil: nothing is like it. `known` is a table by name.
local function guess(name, known, aliases)
  local word, list = plain(name), sorted(known)
  local alias = aliases and aliases[word]
  if alias then
    return words(alias)
  end
  for _, candidate in ipairs(list) do
    if plain(candidate) == word then
      return words(candidate)
    end
  end
  local found = find_part(word, list) or find_near(word, list)
  return found and words(found)
end

-- Raises at the caller's place for a key of `given` that is not one of `known`. `aliases`: as names.aliases returns
-- them, or nil.
function names.check(given, known, what, aliases)
  for name in pairs(given) do
    if type(name) ~= "string" then
      core.raise(("%s: names of options are strings, not %s"):format(what, type(name)))
    elseif known[name] == nil and #name > LONGEST then
      core.raise(("%s: unknown option '%s…'"):format(what, name:sub(1, LONGEST)))
    elseif known[name] == nil then
      local advice = guess(name, known, aliases) or "known: " .. table.concat(sorted(known), ", ")
      core.raise(("%s: unknown option '%s' (%s)"):format(what, name, advice))
    end
  end
end

-- Makes unknown fields of a class raise, at the caller's place, where they are an alias or, with five letters or more,
-- nearly the name of a method; others are nil. `methods` is the table that __index of the metatable names: whoever
-- calls a method that there is does not come by here.
function names.advise(class, methods, given)
  local aliases = names.aliases(given)
  return setmetatable(methods, {
    __index = function(_, name)
      if type(name) ~= "string" or #name > LONGEST then
        return nil
      end
      local alias = aliases[plain(name)]
      local near = not alias and #plain(name) >= 5 and find_near(plain(name), sorted(methods))
      if alias or near then
        core.raise(("%s has no '%s' (%s)"):format(class, name, words(alias or near)))
      end
    end,
  })
end

return names
