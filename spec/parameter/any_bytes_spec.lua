-- Properties of scanner and encoder, against the server: whatever the bytes of a parameter, whatever the
-- sql_mode and the charset of the connection, it arrives unchanged and changes nothing around it.
--
-- The cases are random and the same in each run; MYPOOL_SEED sets another seed, and a failure tells it.

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"

local seed = math.tointeger(tonumber(os.getenv "MYPOOL_SEED" or 20240229))
local PER_STATEMENT = 250

local sql_modes = dialect.known_modes {
  "",
  "NO_BACKSLASH_ESCAPES",
  "ANSI_QUOTES",
  "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
  "ANSI",
  "TRADITIONAL",
  "ORACLE",
  "MSSQL",
  "POSTGRESQL",
  "DB2",
  "MAXDB",
  "PIPES_AS_CONCAT,IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,NO_BACKSLASH_ESCAPES",
}
local charsets = { "utf8mb4", "latin1", "gbk", "sjis", "big5" }

-- Bytes that a wrong encoding trips over are likelier than others.
local special = { "'", "\\", '"', "`", "?", "\0", "\n", "\26", "*/", "/*", "-- ", "#", ";", "%", "_", "\\'", "x'" }
local characters = { "ä", "€", "😀", "表", "許", "誠", "\u{2019}", "\u{7F}", "\u{7FF}", "\u{FFFF}", "\u{10FFFF}" }
local leads = { "\xBF", "\x81", "\x95", "\xA1", "\xFE", "\x9F", "\xE0", "\xF0\x9F", "\xC0\xA7", "\xED\xA0\x80" }

local function one_of(list)
  return list[math.random(#list)]
end

local pieces = {
  function()
    return one_of(special)
  end,
  function()
    return one_of(characters)
  end,
  function()
    return one_of(leads)
  end,
  function()
    return string.char(math.random(0, 255))
  end,
  function()
    return string.char(math.random(32, 126))
  end,
}

-- Some are text throughout, some ASCII, the others anything.
local function any_string()
  local which = math.random(4)
  local parts = {}
  for i = 1, math.random(0, 7) do
    if which == 1 then
      parts[i] = math.random(2) == 1 and one_of(special) or one_of(characters)
    elseif which == 2 then
      parts[i] = math.random(2) == 1 and one_of(special) or pieces[5]()
    else
      parts[i] = one_of(pieces)()
    end
  end
  return table.concat(parts)
end

local hex_digits = {}
for byte = 0, 255 do
  hex_digits[string.char(byte)] = ("%02X"):format(byte)
end

local function hex(bytes)
  return (bytes:gsub(".", hex_digits))
end

describe("any string", function()
  local s = fixture.shared_server()
  local conn, cases

  setup(function()
    cases = 0
  end)

  after_each(pools.close)

  local function fail(what, value, got)
    error(("%s: %q became %s (MYPOOL_SEED=%d)"):format(what, value, tostring(got), seed), 0)
  end

  local function strings()
    local values = {}
    for i = 1, PER_STATEMENT do
      values[i] = any_string()
    end
    return values
  end

  -- Each place among the others, with what trips a wrong scan between them.
  local between = { ",", ", ", " ,/* ? ' */", ",# ? '\n", ",-- ? \"\n", ",/*! */", ",\t", ",/*M! */" }

  local function statement(place)
    local parts = { "SELECT " }
    for i = 1, PER_STATEMENT do
      parts[#parts + 1] = place
      parts[#parts + 1] = i < PER_STATEMENT and one_of(between) or ""
    end
    return table.concat(parts)
  end

  local function assert_arrive(what)
    local values = strings()
    local row, err = conn:one({ statement "HEX(?)", rows = "array" }, table.unpack(values))
    if not row then
      fail(what, table.concat(values), err)
    end
    for i, value in ipairs(values) do
      if row[i] ~= hex(value) then
        fail(what, value, row[i])
      end
    end
    cases = cases + #values
  end

  -- The server's own word on what it has got: text, if it is UTF-8, else bytes.
  local function assert_kind(what)
    local values = strings()
    local row = assert(conn:one({ statement "CHARSET(?)", rows = "array" }, table.unpack(values)))
    for i, value in ipairs(values) do
      local expected = utf8.len(value) and "text" or "binary"
      local kind = row[i] == "binary" and "binary" or "text"
      if expected ~= kind then
        fail(what .. ": kind", value, row[i])
      end
    end
    cases = cases + #values
  end

  -- As a member of a list, in an executable comment, beside itself.
  local function assert_equal_to_itself(what)
    local values, sql, parameters = strings(), { "SELECT 1" }, {}
    for i = 1, #values, 5 do
      sql[#sql + 1] = ", ? IN (?), /*!999999 ? , */ /*! HEX(?) = HEX( */ ? /*! ) */"
      local list = mypool.list { "other", values[i], 7 }
      for _, value in ipairs { values[i], list, values[i + 1], values[i], values[i] } do
        parameters[#parameters + 1] = value
      end
    end
    local row, err = conn:one({ table.concat(sql), rows = "array" }, table.unpack(parameters))
    if not row then
      fail(what, table.concat(values), err)
    end
    for i = 1, #row do
      if row[i] ~= 1 then
        fail(what .. ": itself", values[(i - 2) // 2 * 5 + 1], row[i])
      end
    end
    cases = cases + #parameters
  end

  for _, charset in ipairs(charsets) do
    it("arrives unchanged under every sql_mode, with " .. charset, function()
      math.randomseed(seed)
      conn = assert(pools.new(s:options { charset = charset }):checkout())
      for _, mode in ipairs(sql_modes) do
        assert(conn:query("SET sql_mode = ?", mode))
        local what = ("charset %s, sql_mode '%s'"):format(charset, mode)
        for _ = 1, 20 do
          assert_arrive(what)
        end
        assert_kind(what)
        assert_equal_to_itself(what)
      end
    end)

    it("arrives unchanged after SET NAMES " .. charset, function()
      math.randomseed(seed + 1)
      conn = assert(pools.new(s:options()):checkout())
      assert(conn:query("SET NAMES " .. charset))
      for _ = 1, 20 do
        assert_arrive("SET NAMES " .. charset)
        assert_kind("SET NAMES " .. charset)
      end
    end)
  end

  it("comes back as it was given, from columns of text and of bytes", function()
    math.randomseed(seed + 2)
    conn = assert(pools.new(s:options()):checkout())
    assert(conn:query "CREATE TEMPORARY TABLE kept (id INT PRIMARY KEY, b BLOB, t TEXT CHARACTER SET utf8mb4)")
    for round = 0, 15 do
      local values, rows = strings(), {}
      for i, value in ipairs(values) do
        rows[i] = mypool.list { round * PER_STATEMENT + i, value, utf8.len(value) and value or mypool.null }
      end
      assert(conn:query("INSERT INTO kept VALUES ?", mypool.list(rows)))
      local found = assert(conn:query("SELECT b, t FROM kept WHERE id > ? ORDER BY id", round * PER_STATEMENT))
      for i, value in ipairs(values) do
        if found[i].b ~= value or found[i].t ~= (utf8.len(value) and value or nil) then
          fail("kept", value, found[i].b)
        end
      end
      cases = cases + 2 * #values
    end
  end)

  it("arrives the same as a parameter of a prepared statement", function()
    math.randomseed(seed + 3)
    conn = assert(pools.new(s:options()):checkout())
    local sql = "SELECT " .. ("HEX(?),"):rep(PER_STATEMENT - 1) .. "HEX(?)"
    local prepared = assert(conn:prepare(sql)):with { rows = "array" }
    for _ = 1, 40 do
      local values = strings()
      local row = assert(prepared:one(table.unpack(values)))
      for i, value in ipairs(values) do
        if row[i] ~= hex(value) then
          fail("prepared", value, row[i])
        end
      end
      cases = cases + #values
    end
  end)

  it("is a name, where it can be one", function()
    math.randomseed(seed + 4)
    for _, mode in ipairs { "", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES" } do
      conn = assert(pools.new(s:options()):checkout())
      assert(conn:query("SET sql_mode = ?", mode))
      for _ = 1, 20 do
        local names, sql = {}, {}
        while #names < PER_STATEMENT do
          local name = any_string()
          -- No name holds a NUL, what is no UTF-8 or, for this server, a character beyond the 65,536th; and at
          -- its ends the server cuts blanks and control characters.
          if name ~= "" and utf8.len(name) and not name:find "[%c \xF0-\xF4]" then
            names[#names + 1] = mypool.ident(name)
            sql[#sql + 1] = "1 AS ?"
          end
        end
        local result, err = conn:query("SELECT " .. table.concat(sql, ","), table.unpack(names))
        if not result then
          fail("names", names[1][1], err)
        end
        for i, name in ipairs(names) do
          if result.columns[i] ~= name[1] then
            fail("name", name[1], result.columns[i])
          end
        end
        cases = cases + #names
      end
    end
  end)

  it("is any number too", function()
    math.randomseed(seed + 5)
    conn = assert(pools.new(s:options()):checkout())
    for _ = 1, 24 do
      local numbers = {}
      while #numbers < PER_STATEMENT do
        local bits = math.random(0)
        local number = #numbers % 2 == 0 and bits or (string.unpack("<d", string.pack("<i8", bits)))
        if #numbers % 20 == 1 then -- subnormal
          number = string.unpack("<d", string.pack("<i8", bits & 0xFFFFFFFFFFFFF))
        end
        if number == number and number ~= math.huge and number ~= -math.huge then
          numbers[#numbers + 1] = number
        end
      end
      local row = assert(conn:one({ statement "?", rows = "array" }, table.unpack(numbers)))
      for i, number in ipairs(numbers) do
        if row[i] ~= number or math.type(row[i]) ~= math.type(number) then
          fail("number", number, row[i])
        end
      end
      cases = cases + #numbers
    end
  end)

  it("was tried in at least 100,000 cases", function()
    assert.is_true(cases >= 100000, cases .. " cases")
  end)
end)
