-- Random SQL texts with placeholders, quoted as a session of a given sql_mode and charset reads them, or at random;
-- and random values, most of them such as break out of quotes where they stand in the wrong ones.

local mypool = require "mypool"

local random_sql = {}

local function one_of(list)
  return list[math.random(#list)]
end

local function chance(n)
  return math.random(n) == 1
end

-- ---- values ----

-- What calls canary(), once it is run as SQL, whatever quotes it has been put into.
local attacks = {
  "canary()",
  ", canary()",
  ", canary() -- ",
  "', canary(), '",
  "', canary() -- ",
  '", canary(), "',
  '", canary() -- ',
  "`, canary(), `",
  "` , canary() -- ",
  "\\', canary() -- ",
  "\\', canary(), '",
  '\\", canary() -- ',
  "\\\\', canary() -- ",
  "''', canary() -- ",
  "*/, canary() -- ",
  "*/, canary(), /*",
  "\n, canary() -- ",
  "\n, canary(), '",
  "'\n, canary() # ",
  "表', canary() -- ",
  "表` , canary() -- ",
  "é\\', canary() -- ",
  "\xBF', canary() -- ",
  "\x81\\', canary() -- ",
}

local pieces = { "'", '"', "`", "\\", "?", "\\'", "''", "--", "-- ", "#", "/*", "*/", "/*!", "a", "B", " ", ",", "\n",
  "\0", "é", "表", "ß", "😀", "1", "%", "_", "!", "C:\\dir", ";", ":" } -- fmt

local function text()
  local parts = {}
  for i = 1, math.random(0, 6) do
    parts[i] = one_of(pieces)
  end
  return table.concat(parts)
end

-- A value, and whether it is text.
function random_sql.value()
  local n = math.random(20)
  if n <= 8 then
    return one_of(attacks)
  elseif n <= 15 then
    return text()
  elseif n == 16 then
    return math.random(-9, 9)
  elseif n == 17 then
    return one_of { 0.5, 2.0, -1e300, 1e15, 1 / 3 }
  elseif n == 18 then
    return mypool.null
  elseif n == 19 then
    return "!#$%&()*+,-./:;\\" .. text() -- no sign is left
  end
  return mypool.binary(text())
end

-- ---- texts ----

-- Characters whose second byte is a backslash or a back-tick, and others, by charset; those of UTF-8 for the rest.
local characters = {
  gbk = { "\xD5\x5C", "\x81\x60", "\xC4\xE3", "\x81\x5C" },
  sjis = { "\x95\x5C", "\x83\x60", "\x93\xFA", "\xB1" },
  cp932 = { "\x83\x5C", "\x83\x60", "\x93\xFA", "\xB1" },
  big5 = { "\xA5\x5C", "\xA5\x60", "\xA4\xA4" },
  latin1 = { "\xE9", "\xFC", "\xDF" },
}
local utf8_characters = { "é", "表", "誠", "ä" }

-- Between quotes: something that says nothing there, by the reading of the session.
local function inside(state, quote)
  local n, escapes = math.random(12), state.escapes and (quote == "'" or (quote == '"' and not state.ansi))
  if n == 1 then
    return quote .. quote
  elseif n <= 3 then
    return escapes and "\\" .. one_of { quote, "\\", "'", "n", '"' } or (quote == "`" and "b" or "\\")
  elseif n <= 6 then
    return one_of(characters[state.charset] or utf8_characters)
  elseif n <= 8 then
    return "?"
  end
  return one_of { "a", "-- ", "#", "/*", "*/", quote == "'" and '"' or "'", " ", "x", "%" }
end

local function quoted(state, quote)
  local parts = { quote }
  for _ = 1, math.random(0, 4) do
    parts[#parts + 1] = inside(state, quote)
  end
  if quote == "`" or state.ansi and quote == '"' then
    parts[#parts + 1] = one_of { "e", one_of(characters[state.charset] or utf8_characters) }
  end
  return table.concat(parts) .. quote
end

local function garbage()
  local parts = {}
  for i = 1, math.random(1, 5) do
    parts[i] = one_of { "'", '"', "\\", "?", "a", "\x95\\", "\xD5", "\\'", "''", "`", "表", "-- ", "*/", "/*", "\n" }
  end
  return one_of { "'", '"', "`" } .. table.concat(parts) .. one_of { "'", '"', "`" }
end

local comments = { " /* ? ' \" ` */ ", " -- it's ?\n ", " # \"?`\n ", " /*! */ ", " /*!999999 , 1 */ ",
  " /*M!100100 */ ", " /*! /* ' */ */ ", "--\t`\n", " " } -- fmt

local places = { "?", "HEX(?)", "CONCAT(COLLATION(?), CHARSET(?))", "COERCIBILITY(?)", "CONCAT(?, '')", "? = ?",
  "HEX(CONCAT(?, 'x'))", "? IN (?, ?)", "COALESCE(?, ?)", "LENGTH(?)", "? LIKE ?", "/*!HEX(?)*/", "?+0" } -- fmt

local function item(state)
  local n = math.random(10)
  if n <= 4 then
    return one_of(places)
  elseif n <= 6 then
    return quoted(state, "'")
  elseif n == 7 then
    return quoted(state, '"')
  elseif n == 8 then
    return "1 AS " .. quoted(state, state.ansi and one_of { "`", '"' } or "`")
  end
  return chance(3) and garbage() or quoted(state, "'")
end

-- A statement for a session in this state: charset, escapes (not NO_BACKSLASH_ESCAPES), ansi (ANSI_QUOTES).
function random_sql.statement(state)
  local items = { one_of(places) }
  for i = 1, math.random(2, 12) do
    items[i] = item(state)
    if i > 1 then
      items[i] = one_of { ", ", "," } .. (chance(5) and one_of(comments) or "") .. items[i]
    end
  end
  return "SELECT " .. table.concat(items) .. (chance(8) and one_of { " -- ?", " # '", " /* ? */" } or "")
end

-- What a program may run in between, with or without success.
function random_sql.between()
  return one_of {
    "SELECT 1", "SELECT missing", "SELECT 'unterminated", "DO 1", "SIGNAL SQLSTATE '45000'", "SHOW WARNINGS",
    "SELECT 1 FROM seq_1_to_3 WHERE seq / 0 = (SELECT seq FROM seq_1_to_2)", "CALL change_mode_and_fail('')",
  } -- fmt
end

random_sql.one_of, random_sql.chance = one_of, chance

return random_sql
