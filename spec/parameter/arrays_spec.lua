-- Tables of the program's that are read as arrays: none is cut at a hole, and none loses a key.

local mistake = require "spec.support.mistake"
local mypool = require "mypool"
local pools = require "spec.support.pools"
local server = require "spec.servers.server"

-- Each way to write down the values at the places whose bits are set in `mask`, as tables whose lengths differ.
local function tables(mask, places)
  local forwards, backwards, sized = {}, {}, { 0, 0, 0, 0, 0, 0, 0, 0 }
  for i = 1, places do
    forwards[i] = mask & (1 << i) ~= 0 and i or nil
  end
  for i = places, 1, -1 do
    backwards[i] = mask & (1 << i) ~= 0 and i or nil
  end
  for i = 1, #sized do
    sized[i] = i <= places and mask & (1 << i) ~= 0 and i or nil
  end
  return { forwards, backwards, sized }
end

-- The first hole, or nil; and the number of values before it.
local function hole_of(values, places)
  local last = 0
  for i = 1, places do
    last = values[i] and i or last
  end
  for i = 1, last do
    if values[i] == nil then
      return i, i - 1
    end
  end
  return nil, last
end

-- Calls fn(values, hole, count) for each way that a table may have holes.
local function each_table(fn)
  for mask = 2, 2 ^ 7 - 2, 2 do
    for _, values in ipairs(tables(mask, 6)) do
      fn(values, hole_of(values, 6))
    end
  end
end

describe("a list", function()
  local pool

  setup(function()
    pool = pools.new(server.shared():options())
  end)

  teardown(pools.close)

  it("with a hole at any place raises, and names the place and mypool.null", function()
    each_table(function(values, hole, count)
      if hole then
        mistake(("bad argument to 'list' (place %d is nil: for NULL write mypool.null)"):format(hole), function()
          mypool.list(values)
        end)
      else
        assert.equal(count, #mypool.list(values))
      end
    end)
  end)

  it("with a key that is no index raises, and names it", function()
    for _, given in ipairs {
      { { 1, x = 3 }, "key 'x'" },
      { { x = 3 }, "key 'x'" },
      { { 1, [0] = 2 }, "key 0" },
      { { 1, [-1] = 2 }, "key -1" },
      { { 1, [1.5] = 2 }, "key 1.5" },
      { { 1, [math.huge] = 2 }, "key inf" },
      { { 1, [true] = 2 }, "key of type boolean" },
      { { 1, [("k"):rep(1000)] = 2 }, "key '" .. ("k"):rep(60) .. "…'" },
      { table.pack(1, nil), "key 'n'" },
    } do
      mistake("bad argument to 'list' (array expected, but it has the " .. given[2] .. ")", function()
        mypool.list(given[1])
      end)
    end
  end)

  it("that answers by metamethods is taken as it shows itself", function()
    local values = { 3, 5 }
    local list = mypool.list(setmetatable({}, {
      __index = values,
      __len = function()
        return #values
      end,
    }))
    assert.equal(2, pool:value("SELECT COUNT(*) FROM seq_1_to_9 WHERE seq IN (?)", list))
  end)

  it("in which the program made a hole later raises when it is used", function()
    each_table(function(values, hole, count)
      local list = mypool.list { 1, 2, 3, 4, 5, 6 }
      for i = 1, 6 do
        list[i] = values[i]
      end
      if hole then
        mistake(("bad parameter 2 (place %d of the list is nil: for NULL write mypool.null)"):format(hole), function()
          pool:value("SELECT ? IN (?)", 0, list)
        end)
        mistake(("bad parameter 1 (place %d of the list is nil"):format(hole), function()
          pool:value("SELECT (1, 2) IN (?)", mypool.list { list })
        end)
      else
        -- Not in WHERE, of which MariaDB 10.5 makes nothing for such a table when there is but one value.
        assert.equal(count, pool:value("SELECT COUNT(NULLIF(seq IN (?), 0)) FROM seq_1_to_9", list))
      end
    end)
  end)

  it("to which the program gave a key later raises when it is used", function()
    for _, key in ipairs { "x", 0, -1, 1.5, true } do
      local list = mypool.list { 1 }
      list[key] = 2
      mistake("bad parameter 1 (a list has no keys but 1, 2, …)", function()
        pool:value("SELECT 1 IN (?)", list)
      end)
    end
  end)

  it("that the program filled after it was made counts as a whole", function()
    local list = mypool.list {}
    for i = 1, 9 do
      list[i] = i
    end
    assert.equal(9, pool:value("SELECT COUNT(*) FROM seq_1_to_20 WHERE seq IN (?)", list))
  end)
end)

describe("init_sql", function()
  it("with a hole at any place is refused", function()
    each_table(function(values, hole)
      local statements = {}
      for i = 1, 6 do
        statements[i] = values[i] and "SET @a = " .. i
      end
      if hole then
        mistake("new: bad option 'init_sql' (array of strings without a hole at place " .. hole, function()
          mypool.new { init_sql = statements }
        end)
      else
        mypool.new { init_sql = statements }
      end
    end)
  end)

  it("with a key that is no index is refused", function()
    mistake("new: bad option 'init_sql' (string, or array of strings, expected, got table)", function()
      mypool.new { init_sql = { "SET @a = 1", x = "SET @b = 2" } }
    end)
  end)
end)
