-- What wrk asks of the shop: 70 of 100 requests read, 15 order, 15 move money. It runs in wrk's own
-- Lua, once for each of its threads.
-- luacheck: globals wrk number setup init request

local headers = { ["Content-Type"] = "application/json" }

local function buyer()
  return math.random(100)
end

local function post(path, body, ...)
  return wrk.format("POST", path, headers, body:format(...))
end

local kinds = {
  {
    30,
    function()
      return wrk.format("GET", "/products")
    end,
  },
  {
    25,
    function()
      return wrk.format("GET", "/products/" .. math.random(20))
    end,
  },
  {
    15,
    function()
      return wrk.format("GET", "/accounts/" .. buyer())
    end,
  },
  {
    15,
    function()
      local wish = '{"buyer":%d,"product":%d,"quantity":%d}'
      return post("/orders", wish, buyer(), math.random(20), math.random(3))
    end,
  },
  {
    15,
    function()
      -- Among ten accounts only, so that some of these deadlock.
      local from = math.random(10)
      local to = (from + math.random(9) - 1) % 10 + 1
      return post("/transfers", '{"from":%d,"to":%d,"cents":%d}', from, to, math.random(500))
    end,
  },
}

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init()
  math.randomseed(os.time() + number)
end

function request()
  local dice = math.random(100)
  for _, kind in ipairs(kinds) do
    dice = dice - kind[1]
    if dice <= 0 then
      return kind[2]()
    end
  end
end
