-- What a program leaves behind that ends with loans out, or loads mypool anew: nothing.

local mypool = require "mypool"
local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"

local s = fixture.server()

describe("a program that loads mypool again, as busted does for each file,", function()
  local function load_again()
    for name in pairs(package.loaded) do
      if name:find "^mypool%f[.%z]" then
        package.loaded[name] = nil
      end
    end
    return require "mypool"
  end

  it("goes on with what the first one made, and leaves none of it open", function()
    do
      local pool = mypool.new(s:options { max_size = 2 })
      local conn = assert(pool:checkout())
      local again = load_again()
      assert.are_not.equal(mypool, again)
      assert.equal("a", (conn:value("SELECT ?", again.binary "a")))
      assert.equal(1, (pool:value("SELECT 1 FROM DUAL WHERE 1 IN (?)", mypool.list { 1, 2 })))
      local other = pools.new(s:options { max_size = 1 })
      local _, err = other:query "no SQL"
      assert.is_true(mypool.is_error(err) and again.is_error(err))
      conn:release()
      pools.close()
    end
    collectgarbage()
    collectgarbage()
    s:await_empty()
  end)
end)

describe("a process that ends with loans out", function()
  local ways = {
    ["by os.exit()"] = { "os.exit(true)", 0 },
    ["by os.exit(true, true)"] = { "os.exit(true, true)", 0 },
    ["by os.exit(3, true)"] = { "os.exit(3, true)", 3 },
    ["by coming to its end"] = { "", 0 },
    ["by an error"] = { "error 'the end'", 1 },
  }

  local function ends_well(text, status, expected)
    local printed, _, code = program(([[
local mypool = require "mypool"
local options = { socket = %q, user = "app", password = "secret", max_size = 4 }
%s
io.stdout:write("said\n")
io.stdout:flush()
%s]]):format(s.socket, text, expected))
    assert.equal(status, code, printed)
    assert.matches("^said\n", printed)
    s:await_empty()
    return printed
  end

  for name, way in pairs(ways) do
    it("ends well " .. name, function()
      ends_well([[
pool = mypool.new(options)
a = assert(pool:checkout())
b = assert(pool:checkout())
assert(a:query "START TRANSACTION")
c = assert(pool:checkout())
c:query "SET @a = 1"
c:release()]], way[2], way[1])
    end)

    it("ends well in the middle of an operation " .. name, function()
      ends_well([[
options.wait = function(fd, seconds)
  if busy then coroutine.yield() else require("mypool.core").poll(fd, seconds) end
end
pool = mypool.new(options)
a = assert(pool:checkout())
busy = true
thread = coroutine.create(function() a:query "SELECT SLEEP(0.3)" end)
assert(coroutine.resume(thread))
opening = coroutine.create(function() pool:checkout() end)
assert(coroutine.resume(opening))
third = coroutine.wrap(function() pool:with(coroutine.yield) end)
third()]], way[2], way[1])
    end)

    it("ends well in the middle of a block that releases " .. name, function()
      ends_well([[
pool = mypool.new(options)
local a <close> = assert(pool:checkout())
local tx <close> = assert(pool:begin())
tx:query "SET @a = 1"]], way[2], way[1])
    end)
  end

  it("may use a connection in a finalizer that runs at the end", function()
    local printed = ends_well([[
pool = mypool.new(options)
a = assert(pool:checkout())
last = setmetatable({}, { __gc = function() print(pcall(a.query, a, "SELECT 1")) print(pcall(pool.ping, pool)) end })]],
      0, "os.exit(true, true)")
    assert.is_truthy(printed)
  end)

  it("ends well in the other order of finalizers", function()
    ends_well([[
last = setmetatable({}, { __gc = function() pcall(a.query, a, "SELECT 1") pcall(pool.ping, pool) pcall(pool.close, pool)
  print(pcall(tostring, pool), pcall(tostring, a)) end })
pool = mypool.new(options)
a = assert(pool:checkout())]], 0, "os.exit(true, true)")
  end)
end)
