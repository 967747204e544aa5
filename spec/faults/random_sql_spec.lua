-- Random SQL texts and values in sessions of any sql_mode and charset, by whatever way these came: what mypool sends
-- means to the server what the same text and values mean when they are prepared. Nothing of a value is ever run.
--
-- The cases are random and the same in each run; MYPOOL_SEED sets another seed, and a failure tells it. There are
-- some in `make test` and 400,000 with MYPOOL_THOROUGH; MYPOOL_CYCLES sets how many.

local mypool = require "mypool"
local dialect = require "spec.servers.dialect"
local changes = require "spec.support.mode_changes"
local fixture = require "spec.support.fixture"
local random_sql = require "spec.support.random_sql"

local one_of, chance = random_sql.one_of, random_sql.chance
local seed = math.tointeger(tonumber(os.getenv "MYPOOL_SEED" or 20240229))
local wanted = math.tointeger(tonumber(os.getenv "MYPOOL_CYCLES" or os.getenv "MYPOOL_THOROUGH" and 400000 or 8000))

local sql_modes = dialect.known_modes {
  "", "", "NO_BACKSLASH_ESCAPES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "ANSI",
  "TRADITIONAL", "ORACLE", "MSSQL", "EMPTY_STRING_IS_NULL", "EMPTY_STRING_IS_NULL,NO_BACKSLASH_ESCAPES",
  "PIPES_AS_CONCAT,IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE", "POSTGRESQL,NO_BACKSLASH_ESCAPES",
} -- fmt
local charsets = { "utf8mb4", "utf8mb4", "utf8mb3", "latin1", "gbk", "sjis", "cp932", "big5" }
local collations = dialect.known_collations {
  "utf8mb4_unicode_ci",
  "utf8mb4_bin",
  "utf8mb4_uca1400_ai_ci",
  "utf8mb4_nopad_bin",
}

describe("a random statement", function()
  local s = fixture.server()
  local pools, made, cases, counts
  local history -- of the changes of the loan
  local utf8_throughout -- the loan's session has had no other charset
  local collation -- of the pool; for a parameter it is not once a charset of the same name was set

  local function close_pools()
    for _, pool in pairs(pools) do
      pool:close()
    end
    pools, made = {}, 0
  end

  setup(function()
    local conn <close> = assert(mypool.new(s:options()):checkout())
    changes.prepare(conn)
    assert(conn:query "CREATE FUNCTION canary() RETURNS INT BEGIN SET @hit = 1; RETURN 1; END")
    pools, made, cases = {}, 0, 0
    counts = { agreed = 0, refused = 0, wrong_both = 0, doubtful = 0 }
  end)

  teardown(function()
    close_pools()
  end)

  local function pool_of(options)
    collation = options.collation
    local key = ("%s %s %s"):format(options.charset, options.collation, options.init_sql[1])
    if not pools[key] then
      if made == 50 then
        close_pools()
      end
      made = made + 1
      options.max_size = 1
      pools[key] = mypool.new(s:options(options))
    end
    return pools[key]
  end

  local function random_pool()
    local charset = one_of(charsets)
    return pool_of {
      charset = charset,
      collation = charset == "utf8mb4" and chance(2) and one_of(collations) or nil,
      init_sql = { chance(2) and "DO 1" or ("SET sql_mode = '%s'"):format(one_of(sql_modes)) },
    }
  end

  -- Statements that change something, or seem to; each means the same when it is run a second time.
  local function random_changes()
    local list = {}
    if chance(12) then
      list[#list + 1] = { changes.off, "" }
    end
    for _ = 1, math.random(0, 2) do
      list[#list + 1] = { one_of(changes.of_mode), one_of(sql_modes) }
      if chance(5) then
        list[#list + 1] = { one_of(changes.of_charset), one_of(charsets), of_charset = true }
      end
      if chance(4) then
        list[#list + 1] = { random_sql.between(), "" }
      end
    end
    return list
  end

  local function make(conn, list)
    for _, change in ipairs(list) do
      utf8_throughout = utf8_throughout and not change.of_charset
      if change.of_charset and (collation or dialect.has_other_default_collation) then
        collation = "lost"
      end
      history[#history + 1] = change[1]:gsub("%%s", change[2])
      changes.make(conn, change[1], change[2])
    end
  end

  local function state_of(conn)
    local row = assert(conn:one [[SELECT @@sql_mode AS mode, @@character_set_client AS charset,
      @@character_set_connection AS connection, @hit AS hit]])
    return {
      escapes = not row.mode:find "NO_BACKSLASH_ESCAPES",
      ansi = row.mode:find "ANSI_QUOTES" ~= nil,
      empty_is_null = row.mode:find "EMPTY_STRING_IS_NULL" ~= nil,
      charset = row.charset,
      connection = row.connection,
      utf8_throughout = utf8_throughout,
      mode = row.mode,
      hit = row.hit,
    }
  end

  -- How many placeholders the server finds in the text, and what the prepared statement returns; nil: none can be
  -- prepared.
  local function by_the_server(conn, sql)
    local prepared = conn:prepare(sql)
    if not prepared then
      return nil
    end
    local _, message = pcall(prepared.execute, prepared, table.unpack({}, 1, 200))
    return tonumber(message:match "the statement has (%d+)"), prepared
  end

  -- Values that mean the same either way.
  local function is_comparable(value, state)
    local text = type(value) == "table" and value[1] or value
    if value == mypool.null and dialect.lacks "a prepared NULL" then
      return false
    elseif text == "" then
      return not state.empty_is_null -- as a parameter it is NULL
    elseif type(value) ~= "string" then
      return not dialect.takes_text_only -- to a prepared statement NULL may be text, and a number what it is used as
    elseif collation == "lost" then
      return false
    elseif state.charset ~= state.connection and text:find "\\" then
      return false -- the server converts parameters, but no ASCII literals; sjis has another backslash
    elseif text:find "^!#%$%%&%(%)%*%+,%-%./:;\\" then
      return false -- hex, for want of a sign
    elseif dialect.takes_text_only and not utf8.len(text) then
      return false
    elseif text:find "[\x80-\xFF]" then
      return state.utf8_throughout and not (text:find "[\xF0-\xF4]" and state.charset == dialect.utf8mb3)
    end
    return true
  end

  local function values_for(count, state)
    local values, comparable = {}, true
    for i = 1, count do
      local value = random_sql.value()
      values[i] = value
      comparable = comparable and is_comparable(value, state)
    end
    return values, comparable
  end

  local function same(a, b)
    if #a ~= #b then
      return false, "columns", #a, #b
    end
    for i = 1, #a do
      local alike = dialect.takes_text_only or math.type(a[i]) == math.type(b[i])
      if a[i] ~= b[i] or not alike then
        return false, i, a[i], b[i]
      end
    end
    return true
  end

  local function fail(what, trial, ...)
    local lines = { ("%s (MYPOOL_SEED=%d, case %d)"):format(what, seed, cases) }
    table.move(history, 1, #history, #lines + 1, lines)
    lines[#lines + 1] = ("  true: %s, %s"):format(trial.state.charset, trial.state.mode)
    lines[#lines + 1] = ("  %q"):format(trial.sql)
    for i, value in ipairs(trial.values or {}) do
      lines[#lines + 1] = ("  %d: %s"):format(i, type(value) == "string" and ("%q"):format(value) or tostring(value))
    end
    for i = 1, select("#", ...) do
      lines[#lines + 1] = "  > " .. tostring((select(i, ...)))
    end
    error(table.concat(lines, "\n"), 0)
  end

  -- Sent with as many values as the client finds places, whatever that comes to.
  local function send_anyhow(conn, trial)
    local ok, message = pcall(conn.query, conn, trial.sql, table.unpack({}, 1, 200))
    local count = not ok and tonumber(message:match "the statement has (%d+)")
    trial.values = values_for(count or 1, trial.state)
    make(conn, trial.changes)
    pcall(conn.query, conn, trial.sql, table.unpack(trial.values))
    counts.wrong_both = counts.wrong_both + 1
    cases = cases + math.max(count or 1, 1)
  end

  local function compare(conn, trial, prepared, count)
    local comparable
    trial.values, comparable = values_for(count, trial.state)
    make(conn, trial.changes)
    local ok, row, err = pcall(conn.one, conn, { trial.sql, rows = "array" }, table.unpack(trial.values, 1, count))
    cases = cases + math.max(count, 1)
    if not ok then
      if row:find("cannot be told for sure", 1, true) then
        counts.doubtful = counts.doubtful + 1
        return
      end
      fail("raised", trial, row)
    end
    local expected, expected_err = prepared:with({ rows = "array" }):one(table.unpack(trial.values, 1, count))
    if comparable and (row == nil) ~= (expected == nil) then
      fail("only one fails", trial, err, expected_err)
    elseif comparable and row then
      local equal, where, got, right = same(row, expected)
      if not equal then
        fail("differs at " .. where, trial, got, right)
      end
    end
    counts[row and "agreed" or "refused"] = counts[row and "agreed" or "refused"] + 1
  end

  local function try(conn)
    local trial = { changes = random_changes() }
    make(conn, trial.changes)
    trial.state = state_of(conn)
    trial.sql = random_sql.statement(chance(8) and { escapes = chance(2), ansi = chance(2), charset = one_of(charsets) }
      or trial.state)
    local count, prepared = by_the_server(conn, trial.sql)
    if count then
      compare(conn, trial, prepared, count)
      prepared:close()
    else
      send_anyhow(conn, trial)
    end
    if state_of(conn).hit ~= nil then
      fail("A VALUE WAS RUN AS SQL", trial)
    end
  end

  it(("means the same as a prepared one, in %d cases"):format(wanted), function()
    math.randomseed(seed)
    while cases < wanted do
      local conn = assert(random_pool():checkout())
      history = {}
      utf8_throughout = state_of(conn).charset:find "^utf8" ~= nil
      for _ = 1, 8 do
        try(conn)
      end
      conn:release()
    end
    if os.getenv "MYPOOL_THOROUGH" or os.getenv "MYPOOL_CYCLES" then
      local text = "\n%d cases: %d statements agreed, %d failed both ways, %d could not be prepared, %d raised\n"
      io.stderr:write(text:format(cases, counts.agreed, counts.refused, counts.wrong_both, counts.doubtful))
    end
    assert.is_true(counts.agreed > wanted / 40, "too few statements that are valid")
  end)
end)
