-- No value is run as SQL: also where the text around it reads differently under another sql_mode or charset than
-- the one that the client believes in.

local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local changes = require "spec.support.mode_changes"
local fixture = require "spec.support.fixture"
local mistake = require "spec.support.mistake"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"

-- Values that are SQL once they stand within the wrong quotes, or behind none.
local attacks = {
  ", USER() AS stolen -- ",
  "', USER() AS stolen -- ",
  '", USER() AS stolen -- ',
  "`, USER() AS stolen -- ",
  "\\', USER() AS stolen -- ",
  "表', USER() AS stolen -- ",
  "\n, USER() AS stolen -- ",
}

local function hex(bytes)
  return (bytes:gsub(".", function(byte)
    return ("%02X"):format(byte:byte())
  end))
end

describe("a parameter", function()
  local s = fixture.server()

  setup(function()
    local conn <close> = assert(mypool.new(s:options()):checkout())
    changes.prepare(conn)
  end)

  after_each(pools.close)

  -- The statement has one parameter, which comes back as `got`; that the statement is wrong for the session, and
  -- fails, is as good, but not if it must work.
  local function assert_safe(conn, what, sql, must_work)
    for _, attack in ipairs(attacks) do
      local row, err = conn:one(sql, attack)
      assert.is_nil(row and row.stolen, what .. ": the parameter was run as SQL")
      if row and not (row.got_hex and attack:find "[\x80-\xFF]") then -- in another charset it is other text
        assert.equal(row.got_hex and hex(attack) or attack, row.got_hex or row.got, what)
      elseif row then
        assert.is_string(row.got_hex)
      else
        assert.is_false(must_work or false, ("%s: %s"):format(what, tostring(err)))
        assert.equal("server", err.kind, what)
      end
    end
  end

  -- Each reads well under one mode only.
  local escaped = [[SELECT 'What\'s up?' AS title, ? AS got]]
  local letters = [[SELECT 'C:\' AS title, ? AS got, 'really?' AS b]]

  for before, texts in pairs { [""] = { escaped, letters }, NO_BACKSLASH_ESCAPES = { letters, escaped } } do
    local other = before == "" and "NO_BACKSLASH_ESCAPES" or ""

    it("is safe in a session of sql_mode '" .. before .. "' whatever seemed to change that", function()
      local pool = pools.new(s:options { max_size = 1, init_sql = { ("SET sql_mode = '%s'"):format(before) } })
      for _, change in ipairs(changes.of_mode) do
        local conn <close> = assert(pool:checkout())
        for _ = 1, 2 do
          changes.make(conn, change, other)
          local mode = assert(conn:value "SELECT @@sql_mode")
          changes.make(conn, change, other)
          assert_safe(conn, change, texts[1], mode == before)
          assert_safe(conn, change, texts[2], mode == other)
          changes.make(conn, change, before)
          assert_safe(conn, change .. " and back", texts[2])
          conn:query("SET sql_mode = '" .. before .. "'")
          assert_safe(conn, change .. " and set back", texts[1], true)
        end
      end
    end)
  end

  it("is safe at once behind an error, which may hide a change", function()
    local conn = assert(pools.new(s:options()):checkout())
    conn:query "SELECT missing"
    assert_safe(conn, "an error", escaped, true)
    conn:query "SET sql_mode = 'NO_BACKSLASH_ESCAPES', max_statement_time = 'x'"
    assert_safe(conn, "half a SET", escaped)
  end)

  -- A character whose second byte is a backslash; one whose second byte is a back-tick, where there is one.
  local characters = {
    sjis = { "\x95\x5C", "\x81\x60" },
    cp932 = { "\x83\x5C", "\x81\x60" },
    gbk = { "\xD5\x5C", "\x81\x60" },
    big5 = { "\xA5\x5C", "\xA4\x60" },
  }

  local function texts_of(charset)
    local first, second = characters[charset][1], characters[charset][2]
    return {
      ("SELECT '%s' AS a, 'really?' AS b, HEX(?) AS got_hex"):format(first),
      ([[SELECT '\%s', 'it\'s' AS b, HEX(?) AS got_hex, 'really?' AS c]]):format(first),
      ("SELECT 1 AS `a%s`, '`?' AS b, HEX(?) AS got_hex"):format(second),
      ("SELECT 1 AS a%s, '`?' AS b, HEX(?) AS got_hex"):format(second),
      ([[SELECT "%s" AS a, "really?" AS b, HEX(?) AS got_hex]]):format(first),
    }
  end

  for charset in pairs(characters) do
    it("is safe with " .. charset .. ", by the option", function()
      local conn = assert(pools.new(s:options { charset = charset }):checkout())
      for i, sql in ipairs(texts_of(charset)) do
        assert_safe(conn, charset .. " " .. i, sql, i == 1 or i == 5)
      end
    end)

    for _, off in ipairs { false, true } do
      it(("is safe with %s by every spelling%s"):format(charset, off and ", untold" or ""), function()
        dialect.needs(off and "session tracking", pending)
        local pool = pools.new(s:options { max_size = 1 })
        for _, change in ipairs(changes.of_charset) do
          local conn <close> = assert(pool:checkout())
          if off then
            assert(conn:query(changes.off))
          end
          changes.make(conn, change, charset)
          for i, sql in ipairs(texts_of(charset)) do
            assert_safe(conn, change .. " " .. i, sql)
            changes.make(conn, change, charset)
          end
        end
      end)
    end
  end

  it("is safe where text in UTF-8 goes to a server that takes it for gbk", function()
    local conn = assert(pools.new(s:options()):checkout())
    assert(conn:query "SET @@character_set_client = gbk")
    assert_safe(conn, "gbk", [[SELECT '表\', HEX(?) AS got_hex]], true)
    mistake("wrong number of parameters (the statement has 0, got 1: placeholders are written ?", function()
      conn:query("SELECT 1 AS `表`, ? AS got, 1 AS `b`", "` , USER() AS stolen -- ")
    end)
    for _, attack in ipairs { "` , USER() AS stolen -- ", "表` , USER() AS stolen -- " } do
      local ok, row = pcall(conn.one, conn, "SELECT 1 AS ?, ? AS got", mypool.ident "表", attack)
      assert.is_true(not ok or not row or row.stolen == nil)
    end
    mistake("bad parameter 1 (not a name that can be quoted)", function()
      conn:query("SELECT 1 AS ?", mypool.ident "表")
    end)
  end)

  it("is safe behind a name that ends in a backslash, under ANSI_QUOTES", function()
    local conn = assert(pools.new(s:options()):checkout())
    assert(conn:query [[CREATE TEMPORARY TABLE t AS SELECT 1 AS "a", 2 AS `a\`, 3 AS `b?`]])
    assert(conn:query "SET sql_mode = 'ANSI_QUOTES'")
    assert_safe(conn, "ANSI_QUOTES", [[SELECT "a\", "b?", ? AS got FROM t]], true)
    assert.same({ 2, "x" }, conn:one({ [[SELECT "a\", ? FROM t]], rows = "array" }, "x"))
    assert(conn:query "SET sql_mode = ''")
    assert.same({ 'a", ? FROM t' }, conn:one { [[SELECT "a\", ? FROM t"]], rows = "array" })
    assert.same({ 'it"s', "x" }, conn:one({ [[SELECT "it\"s", ?]], rows = "array" }, "x"))
  end)

  it("is not put where it cannot be told whether a comment is one", function()
    local conn = assert(pools.new(s:options { charset = "latin1" }):checkout())
    mistake("bad argument 'sql' (what is quoted in it cannot be told for sure", function()
      conn:query("SELECT 1 --\xA0?\n, 'a' AS got", "\n, USER() AS stolen -- ")
    end)
    mistake("bad argument 'sql' (what is quoted in it cannot be told for sure", function()
      conn:query("/*!999999 it's */ SELECT 'really?', ?", mypool.ident("', USER() AS stolen -- "))
    end)
    assert.equal(1, (conn:value "SELECT 1"))
    assert.equal(5, (conn:value("SELECT 1--?", 4)))
  end)

  it("is not in a statement of on_connect that may read differently at a reset", function()
    dialect.needs("COM_RESET_CONNECTION", pending)
    local pool = pools.new(s:options {
      on_connect = function(conn)
        assert(conn:query("SET @a = ?, @b = 'it''s'", "C:\\dir"))
        mistake("bad argument 'sql' (what is quoted in it cannot be told for sure", function()
          conn:query("SET @a = 'it\\'s', @b = ?", "', @c = USER() -- ")
        end)
      end,
      max_size = 1,
    })
    assert.equal("C:\\dir", pool:value "SELECT @a")
    s:sql "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'"
    local conn <close> = assert(pool:checkout())
    assert.equal("C:\\dir", conn:value "SELECT @a")
    assert(conn:reset())
    assert.equal("NO_BACKSLASH_ESCAPES", conn:value "SELECT @@sql_mode")
    assert.equal("C:\\dir", conn:value "SELECT @a")
    s:sql "SET GLOBAL sql_mode = DEFAULT"
  end)

  describe("for whose place the session is asked", function()
    local function selects(conn)
      return (conn:one { "SHOW SESSION STATUS LIKE 'Com_select'", rows = "array" })[2] + 0
    end

    it("costs a question only where the text may read in two ways", function()
      local conn = assert(pools.new(s:options()):checkout())
      for sql, asked in pairs {
        ["SELECT ?"] = 0,
        ["SELECT 'it''s', \"a\", ? -- it's"] = 0,
        [ [[SELECT 'it\'s', ?]] ] = 0,
        [ [[SELECT 'C:\\', "C:\\", "a\nb", ?]] ] = 0,
        ["SELECT 1 AS `café`, 'Zürich', '表', ?"] = 0,
        ["SELECT /*! 1, */ ?"] = 0,
        ["SELECT ?, '表\\''"] = 0,
        [ [[SELECT "it\"s", ?]] ] = 1,
        ["SELECT '\xC3\xA8\\'', ?"] = 0, -- no charset takes this for one character and a half
        ["SELECT '表\\'', ?"] = 1,
        ["SELECT 1 AS `表`, ?"] = 1,
      } do
        local before = selects(conn)
        assert(conn:query(sql, "C:\\dir"))
        assert.same({ sql, 1 + asked }, { sql, selects(conn) - before })
      end
      local before = selects(conn)
      conn:query "SELECT missing"
      assert(conn:query([[SELECT 'it\'s', ?]], 1))
      assert.equal(before + 3, selects(conn))
    end)

    it("is raised for at the place of the call, when the session has answered", function()
      local conn = assert(pools.new(s:options()):checkout())
      mistake("wrong number of parameters (the statement has 1, got 2)", function()
        conn:query([[SELECT "it\"s", ?]], 1, 2)
      end)
      mistake("bad parameter 1 (a table has no SQL form: mypool.list", function()
        conn:query([[SELECT "it\"s", ?]], {})
      end)
      assert.equal(1, (conn:value "SELECT 1"))
      assert.is_false(conn:in_transaction())
      assert.same({ "it\"s", 1 }, conn:one({ [[SELECT "it\"s", ?]], rows = "array" }, 1))
    end)

    it("may be any that a statement can have, and as many", function()
      local conn = assert(pools.new(s:options()):checkout())
      local sql, values = { [[SELECT "it\"s"]] }, {}
      for i = 1, 300 do
        sql[i + 1], values[i] = "?", i % 3 > 0 and i or nil
      end
      local row = assert(conn:one({ table.concat(sql, ", "), rows = "array" }, table.unpack(values, 1, 300)))
      assert.equal(299, row[300])
      assert.is_nil(row[301])
      local count = [[SELECT COUNT(*) FROM seq_1_to_9 WHERE "\"" = '"' AND seq IN (?)]]
      assert.equal(2, conn:value(count, mypool.list { 2, 3 }))
      local seen = 0
      for r in assert(conn:rows([[SELECT seq, "\"" FROM seq_1_to_9 WHERE seq > ?]], 2)) do
        seen = seen + r.seq
      end
      assert.equal(42, seen)
    end)

    it("is asked for anew when the first session is gone", function()
      local pool = pools.new(s:options { max_size = 1, init_sql = { "SET sql_mode = 'NO_BACKSLASH_ESCAPES'" } })
      assert(pool:value "SELECT 1")
      s:kill_sessions(s:sessions())
      assert.same({ title = "C:\\", b = "really?", got = "x" }, pool:one(letters, "x"))
    end)
  end)

  local modes = { schedulers.plain(), schedulers.cqueues(), schedulers.luv() }

  it("is not sent any more when its connection was released before the session had answered", function()
    local waits, conn = 0, nil
    local pool = pools.new(s:options {
      wait = function(fd, seconds)
        waits = waits + 1
        return coroutine.yield(fd, seconds)
      end,
      max_size = 1,
    })
    local ok, message
    local task = coroutine.create(function()
      conn = assert(pool:checkout())
      waits = 0
      ok, message = pcall(conn.query, conn, [[SET @a = "\"", @b = ?]], 1)
    end)
    repeat
      assert(coroutine.resume(task))
      if waits == 1 and conn and conn:is_held() then
        conn:release()
      end
    until coroutine.status(task) == "dead"
    assert.is_false(ok)
    assert.match("released", message)
    assert.same({ 0, 1 }, { pool:stats().lent, pool:stats().size })
  end)

  for _, mode in ipairs(modes) do
    it("costs its question within the time of the statement, " .. (mode.wait and mode.name or mode.where), function()
      local r = relay.start(s)
      local pool = pools.new(s:tcp_options { host = r.host, port = r.port, wait = mode.wait, max_size = 1 })
      mode.run(function()
        local conn = assert(pool:checkout())
        assert.same({ 'it"s', "x" }, conn:one({ [[SELECT "it\"s", ?]], rows = "array" }, "x"))
        r:hold()
        local row, err = conn:one({ [[SELECT "it\"s", ?]], timeout = 0.3 }, "x")
        assert.is_nil(row)
        assert.equal("timeout", err.kind)
        assert.equal("no", err.executed)
        conn:release()
      end)
      pools.close()
      r:stop()
    end)
  end
end)
