-- lua/mypool.d.lua, which editors read, has what the module has at run time, and nothing else.

local core = require "mypool.core"
local fixture = require "spec.support.fixture"
local mypool = require "mypool"
local pools = require "spec.support.pools"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local text = read "lua/mypool.d.lua"

-- Names in order, joined, of which duplicates would show.
local function joined(names)
  table.sort(names)
  return table.concat(names, " ")
end

local function keys(values)
  local names = {}
  for name in pairs(values) do
    names[#names + 1] = name
  end
  return joined(names)
end

local function fields(class)
  local names = {}
  local block = text:match("%-%-%-@class mypool%." .. class .. "\n(.-)\n\n")
  for name in assert(block, class):gmatch "%-%-%-@field ([%a_]+)%??%s" do
    names[#names + 1] = name
  end
  return joined(names)
end

local function methods(class, separator)
  local names = {}
  for name in text:gmatch("\nfunction " .. class .. (separator or ":") .. "([%a_]+)%(") do
    names[#names + 1] = name
  end
  return joined(names)
end

-- What a message says is known, in the place of an option that is not.
local function known(f)
  local _, message = pcall(f)
  local names = {}
  for name in message:match("%(known: ([^)]*)%)"):gmatch "[%a_]+" do
    names[#names + 1] = name
  end
  return joined(names)
end

describe("mypool.d.lua", function()
  local s = fixture.shared_server()
  after_each(pools.close)

  it("has the methods of each class", function()
    for class, name in pairs {
      Pool = "mypool.pool",
      Connection = "mypool.connection",
      Transaction = "mypool.transaction",
      Statement = "mypool.statement",
    } do
      assert.equal(keys(core[name]), methods(class))
      if core["raising " .. name] then
        assert.equal(keys(core["raising " .. name]), methods(class))
      end
    end
    local names = { "_VERSION", "null" }
    for name in methods("mypool", "%."):gmatch "%S+" do
      names[#names + 1] = name
    end
    assert.equal(keys(mypool), joined(names))
  end)

  it("has the options of a pool, of its reader, of TLS, of a statement and of a transaction", function()
    local pool = pools.new(s:options())
    local wrong = { frobnicate = 1 }
    assert.equal(
      known(function()
        mypool.new(wrong)
      end),
      fields "Options"
    )
    assert.equal(
      known(function()
        pool:reader(wrong)
      end),
      fields "ReaderOptions"
    )
    assert.equal(
      known(function()
        mypool.new { tls = wrong }
      end),
      fields "TlsOptions"
    )
    assert.equal(
      known(function()
        pool:query { "SELECT 1", frobnicate = 1 }
      end),
      fields "StatementOptions"
    )
    assert.equal(
      known(function()
        pool:begin(wrong)
      end),
      fields "TransactionOptions"
    )
  end)

  it("has the fields of errors, statistics and results", function()
    local pool = pools.new(s:options())
    assert.equal(keys(pool:stats()), fields "Stats")
    local _, err = pool:query "SELECT * FROM missing"
    local of_rows = "first_row last_row row"
    local found = {}
    for name in (keys(err) .. " " .. of_rows):gmatch "%S+" do
      found[#found + 1] = name
    end
    assert.equal(joined(found), fields "Error")
    local rows, change = pool:query "SELECT 1", pool:query "DO 0"
    for name in fields("Result"):gmatch "%S+" do
      assert.is_true(rows[name] ~= nil or change[name] ~= nil or name == "info", name)
    end
    local stream <close> = assert(pool:rows "SELECT 1")
    for name in fields("Stream"):gmatch "%S+" do
      assert.is_table(stream[name])
    end
    assert.equal("close", methods "Stream")
  end)
end)
