-- The examples of the README and of doc/ do what these say. The Lua blocks of a page run in order in one
-- environment, in which what one block made local at its top level is there for the next, and mypool.new
-- connects to a private server whatever address it is given; its database is empty at the beginning of a page. What a
-- line prints is compared with the comment `--> …` behind it, blanks being equal. A block that requires a module that
-- is not installed is skipped; one that is marked ```lua not run is only compiled.

local mypool = require "mypool"
local pages = require "spec.support.pages"
local server = require "spec.servers.server"

local private

-- Raises for what mypool.new would refuse; the account and the address are then the server's.
local function on_private_server(...)
  mypool.new(...)
  local options = {}
  for _, given in ipairs { ... } do
    for name, value in pairs(type(given) == "table" and given or {}) do
      options[name] = value
    end
  end
  for _, name in ipairs { "host", "hosts", "balance", "port", "socket", "tls", "server_public_key" } do
    options[name] = nil
  end
  for name, value in pairs(private:options()) do
    options[name] = value
  end
  return mypool.new(options)
end

local function environment(printed)
  local face = setmetatable({ new = on_private_server }, { __index = mypool })
  return setmetatable({
    require = function(name)
      return name == "mypool" and face or require(name)
    end,
    print = function(...)
      local words = table.pack(...)
      for i = 1, words.n do
        words[i] = tostring(words[i])
      end
      printed[#printed + 1] = table.concat(words, " ")
    end,
  }, { __index = _G })
end

local function expected(text)
  local lines = {}
  for line in text:gmatch "%-%->%s*([^\n]*)" do
    lines[#lines + 1] = line
  end
  return lines
end

local function missing_module(text)
  for name in text:gmatch 'require "([^"]+)"' do
    if not pcall(require, name) then
      return name
    end
  end
end

-- Makes the locals of the top level globals of the environment, and keeps the page's line numbers.
local function compile(page, block, env)
  local text = ("\n" .. block.text):gsub("\nlocal function ", "\nfunction "):gsub("\nlocal ", "\n")
  return assert(load(("\n"):rep(block.line - 2) .. text, "@" .. page, "t", env))
end

local function empty_database()
  local pool = mypool.new(private:options { database = "mysql" })
  assert(pool:query "DROP DATABASE app")
  assert(pool:query "CREATE DATABASE app")
  pool:close()
end

local function say_the_truth(page)
  local printed = {}
  local env = environment(printed)

  local function run(block)
    local missing = missing_module(block.text)
    if block.not_run then
      compile(page, block, env)
    elseif missing then
      pending(("needs the module %s"):format(missing))
    else
      for i = #printed, 1, -1 do
        printed[i] = nil
      end
      compile(page, block, env)()
      assert.same(expected(block.text), printed)
    end
  end

  describe(page, function()
    lazy_setup(empty_database)

    for _, block in ipairs(pages.blocks(page, "lua")) do
      it(("says the truth from line %d on"):format(block.line), function()
        assert(block.mark == "" or block.not_run, "marked " .. block.mark)
        run(block)
      end)
    end
  end)
end

describe("the documentation", function()
  lazy_setup(function()
    private = server.start()
  end)

  lazy_teardown(function()
    private:remove()
    if package.loaded.luv then -- crashes at the end of the process when a handle is still being closed
      collectgarbage()
      require("luv").run()
    end
  end)

  for _, page in ipairs(pages.all()) do
    if page ~= "doc/openresty.md" and page ~= "spec/README.md" then -- project/openresty_spec has the one
      say_the_truth(page)
    end
  end
end)
