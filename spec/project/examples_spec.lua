-- The programs of examples/ do what they say, each in a process of its own.

local fixture = require "spec.support.fixture"
local quote = require "spec.support.quote"

local s = fixture.server()

-- The command that runs an example, with its two outputs as one.
local function command(words)
  return ("env DATABASE_URL=%s LUA_PATH=%s LUA_CPATH=%s timeout --kill-after=10 300 %s 2>&1"):format(
    quote(s:dsn()),
    quote(package.path),
    quote(package.cpath),
    words
  )
end

-- What it printed, and its status.
local function run(words)
  local pipe = assert(io.popen(command(words)))
  local printed = pipe:read "a"
  local _, _, status = pipe:close()
  return printed, status
end

local function example(name)
  return "${LUA:-lua5.4} -W examples/" .. name
end

local function count(sql)
  return tonumber(s:sql(sql)[1])
end

describe("the importer", function()
  local path = os.tmpname()

  teardown(function()
    os.remove(path)
    os.remove(path .. ".rejects")
  end)

  local function write(lines)
    local file <close> = assert(io.open(path, "w"))
    file:write("sku,name,price,stock\n", table.concat(lines, "\n"), "\n")
  end

  local function read(name)
    local file <close> = assert(io.open(name))
    return file:read "a"
  end

  it("imports all rows but those that are rejected, and says which and why", function()
    local lines = {}
    for i = 1, 3500 do
      lines[i] = ('s%d,"tea, no. %d",%d.50,%d'):format(i, i, i % 100, i)
    end
    lines[7] = "s7,tea,cheap,1"
    lines[1200] = "s1200,tea,1.50,-1"
    lines[1300] = 's1300,"a ""name"" of\ntwo lines",1.50,3'
    lines[3499] = "s3499,tea"
    write(lines)
    for _ = 1, 2 do
      local printed, status = run(example "importer.lua " .. quote(path))
      assert.equal(0, status, printed)
      assert.truthy(printed:find("3497 rows imported, 3 rejected\n$"), printed)
      assert.truthy(printed:find("^999 rows imported, 1 rejected\n"), printed) -- progress
      assert.equal(3497, count "SELECT COUNT(*) FROM products")
    end
    assert.same({ "a \"name\" of\\ntwo lines" }, s:sql "SELECT name FROM products WHERE sku = 's1300'")
    assert.same({ "tea, no. 3500\t0.50\t3500" }, s:sql "SELECT name, price, stock FROM products WHERE sku = 's3500'")
    local rejects = read(path .. ".rejects")
    assert.truthy(rejects:find("line 8: Incorrect decimal value: '<parameter>'", 1, true), rejects)
    assert.truthy(rejects:find("line 1201: Out of range value for column 'stock'", 1, true), rejects)
    assert.truthy(rejects:find("line 3501: 4 fields expected", 1, true), rejects)
    assert.truthy(rejects:find("  s3499,tea\n", 1, true), rejects)
  end)
end)

describe("the report", function()
  it("sums up five million rows in little memory #slow", function()
    s:sql [[CREATE VIEW sales AS SELECT ELT(seq % 3 + 1, 'north', 'south', 'west') AS region, seq % 1000 AS cents
      FROM seq_1_to_5000000]]
    local printed, status = run(example "report.lua")
    assert.equal(0, status, printed)
    local number, sum, median = printed:match "south +(%d+) +([%d.]+) +([%d.]+)"
    assert.same({ "1666667", "8325000.00", "4.99" }, { number, sum, median })
    assert.is_true(tonumber(printed:match "([%d.]+) MB") < 5, printed)
  end)
end)

describe("the suite", function()
  it("passes, and leaves nothing behind", function()
    local printed, status = run '${LUA:-lua5.4} "$(command -v busted)" --ignore-lua examples/suite'
    assert.equal(0, status, printed)
    assert.truthy(printed:find("2 successes / 0 failures / 0 errors", 1, true), printed)
    assert.equal(0, count "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME IN ('stock', 'orders')")
  end)
end)
