-- A program may run under any locale: its decimal mark, and what it takes for a letter, are not those of SQL.
-- `make test` puts the locales below build/locale.

local fixture = require "spec.support.fixture"
local program = require "spec.support.program"
local scripted_server = require "spec.servers.scripted_server"

local s = fixture.shared_server()

setup(function()
  s:sql "CREATE OR REPLACE TABLE app.wide (f FLOAT, d DOUBLE, m DOUBLE(255, 30), z DOUBLE(60, 10) ZEROFILL)"
  s:sql "INSERT INTO app.wide VALUES (1.5, 1.25e-30, 1e200, 0.5)"
end)

-- What the program prints under that locale.
local function run(locale, text)
  local head = "assert(os.setlocale %q, 'make test-c makes the locales')\nlocal mypool = require 'mypool'\n"
  head = head:format(locale)
  local printed, ok = program(head .. text, "LOCPATH=build/locale")
  assert.is_true(ok, printed)
  return printed
end

local everything = [[
  local pool = assert(mypool.new %q)
  local conn = assert(pool:checkout(0.5))

  local function show(...)
    for _, value in ipairs { ... } do
      local is_number = type(value) == "number"
      io.write(is_number and ("%%016x"):format(string.unpack("i8", string.pack("d", value))) or value, " ")
    end
    print()
  end

  local sql = "SELECT f, d, m, z, 1.25e-30, 12345678.9012345678e0, -1.5e300, 0.1e0 FROM wide"
  show(table.unpack(conn:one { sql, rows = "array" }))
  show(table.unpack(assert(conn:prepare(sql)):with({ rows = "array" }):one()))
  show(conn:value("SELECT ? = 2.5e0", 2.5), conn:value("SELECT CONCAT(?)", 0.1), conn:value("SELECT ?", 1e-7))
  show(assert(conn:prepare "SELECT CONCAT(?)"):value(2.5))
  assert(conn:query "CREATE TEMPORARY TABLE texts (x VARCHAR(40))")
  assert(conn:execute_many("INSERT INTO texts VALUES (?)", { { 2.5 }, { "text" }, { -1.25e-30 } }))
  for row in conn:rows "SELECT x FROM texts" do
    show(row.x)
  end
  show(pool:value { "SELECT 0.5e0", timeout = 0.5 })
  conn:release()
  pool:close()]]

for _, locale in ipairs { "de_DE.UTF-8", "ps_AF.UTF-8" } do
  it("numbers are those of SQL under " .. locale, function()
    local text = everything:format(s:dsn "checkout_timeout=2.5&max_size=2")
    local expected = run("C", text)
    assert.equal(8, select(2, expected:gsub("\n", "")))
    assert.equal(expected, run(locale, text))
  end)

  it("a DSN has a decimal point under " .. locale, function()
    local printed = run(
      locale,
      [[print(pcall(mypool.new, "mariadb://localhost?checkout_timeout=0.5"))
        print(pcall(mypool.new, "mariadb://localhost?checkout_timeout=0,5"))]]
    )
    assert.match("^true\tmypool.pool.-\nfalse\t.*'checkout_timeout' %(positive number .* got '0,5'%)", printed)
  end)

  -- Lua reads its own numbers by the locale.
  it("every file of mypool's can be loaded under " .. locale, function()
    local printed = run(
      locale,
      [[for file in io.popen "find lua -name '*.lua'":lines() do
          print(assert(loadfile(file)) and file)
        end]]
    )
    assert.match("lua/mypool/transaction%.lua\n", printed)
  end)
end

-- Where i and I are no pair.
it("words are those of SQL under tr_TR.UTF-8", function()
  local printed = run(
    "tr_TR.UTF-8",
    ([[
      assert(("I"):lower() == "I")
      local dsn = "%s"
      local pool = assert(mypool.new(dsn))
      print(pool:value("SELECT seq FROM seq_1_to_3 limit ?", 1.0), pool:value("SELECT 7 LiMiT ?", 2.0))
      local failing = { "insert into missing values (1)", "INSERT INTO missing VALUES (1)", "with a as (x) select 1" }
      for _, sql in ipairs(failing) do
        print(select(2, pool:query(sql)).executed)
      end
      print(pool:transaction({ isolation = "SERIALIZABLE" }, function(tx)
        return tx:value "SELECT 8"
      end))
      pool:close()
      local options = require "mypool.dsn"(dsn)
      options.types = { BIGINT = tostring, Int = tostring }
      print(math.type(mypool.new(options):value "SELECT CAST(9 AS INTEGER)"))]]):format(((s:dsn())))
  )
  assert.equal("1\t7\nno\nno\nno\n8\nnil\n", printed)
end)

describe("a cell that is no number where a number must be", function()
  local LONG, DOUBLE, VAR_STRING = 3, 5, 253

  -- Asks for it in every way, and then whether the pool still serves.
  local text = [[
    local mypool = require "mypool"
    local pool = mypool.new { host = %q, port = %d, user = "anybody", password = "secret", max_size = 1 }
    local sql = "SELECT cell"
    local function stream(from)
      for row in assert(from:rows(sql)) do
        return row
      end
    end
    for _, ask in ipairs { pool.query, pool.one, pool.value } do
      local _, err = ask(pool, sql)
      print(err.kind, err.executed, err.fatal)
    end
    local _, err = pcall(stream, pool)
    print(err.kind, err.executed, err.fatal)
    local conn = assert(pool:checkout())
    print(select(2, conn:query(sql)).message)
    print(select(2, conn:query "SELECT 1").kind)
    conn:release()
    print(assert(pool:query "SET @a = 1") and pool:stats().lent)]]

  local function ask(kind, cell)
    local answer = { to = "^SELECT cell", row = { cell, "last" }, types = { kind, VAR_STRING } }
    local scripted = scripted_server.start { answers = { answer } }
    local printed, ok, status = program((text:format(scripted.host, scripted.port)))
    scripted:stop()
    assert.is_true(ok, tostring(status) .. "\n" .. printed)
    return printed
  end

  local refused = ("protocol\tyes\ttrue\n"):rep(4) .. "what came for a number is none\nlost\n0\n$"
  for name, cell in pairs {
    ["longer than a number can be"] = ("1"):rep(5000) .. ".5",
    ["a word"] = "soup",
    ["a number with a comma"] = "1,5",
    ["empty"] = "",
  } do
    it("is an error of kind protocol: " .. name, function()
      for _, kind in ipairs { LONG, DOUBLE } do
        assert.match(refused, ask(kind, cell))
      end
    end)
  end
end)
