-- The README's examples do what the README says. Its Lua blocks run in order in one environment, in
-- which what one block made local at its top level is there for the next, and mypool.new connects
-- to a private server whatever address it is given. What a line prints is compared with the comment
-- `--> …` behind it, blanks being equal. A block that requires a module that is not installed is skipped.

local mypool = require "mypool"
local server = require "spec.support.server"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local readme = read "README.md"

-- Arrays of { language =, text =, line = }, of the fenced blocks in the README.
local function blocks(language)
  local found, current = {}, nil
  local number = 0
  for line in readme:gmatch "([^\n]*)\n" do
    number = number + 1
    if current and line == "```" then
      found[#found + 1] = current.language == language and current or nil
      current = nil
    elseif current then
      current.text = current.text .. line .. "\n"
    elseif line:match "^```" then
      current = { language = line:match "^```(.*)$", text = "", line = number + 1 }
    end
  end
  assert(current == nil, "a block of the README has no end")
  return found
end

-- ---- Lua ----

local private

-- Raises for what mypool.new would refuse; the account and the address are then the server's.
local function on_private_server(given)
  mypool.new(given)
  local options = {}
  for name, value in pairs(type(given) == "table" and given or {}) do
    options[name] = value
  end
  options.host, options.port, options.tls = nil, nil, nil
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

-- Makes the locals of the top level globals of the environment, and keeps the README's line numbers.
local function compile(block, env)
  local text = ("\n" .. block.text):gsub("\nlocal function ", "\nfunction "):gsub("\nlocal ", "\n")
  return assert(load(("\n"):rep(block.line - 2) .. text, "@README.md", "t", env))
end

describe("README.md", function()
  local printed = {}
  local env = environment(printed)

  lazy_setup(function()
    private = server.start()
  end)

  lazy_teardown(function()
    private:remove()
  end)

  for _, block in ipairs(blocks "lua") do
    it(("says the truth from line %d on"):format(block.line), function()
      local missing = missing_module(block.text)
      if missing then
        pending(("needs the module %s"):format(missing))
        return
      end
      for i = #printed, 1, -1 do
        printed[i] = nil
      end
      compile(block, env)()
      assert.same(expected(block.text), printed)
    end)
  end

  -- ---- shell ----

  it("names only make targets that exist", function()
    local makefile = "\n" .. read "Makefile"
    local named = {}
    for _, block in ipairs(blocks "sh") do
      for target in ("\n" .. block.text):gmatch "\nmake ([%l-]+)" do
        named[#named + 1] = target
      end
    end
    for target in readme:gmatch "`make ([%l-]+)" do
      named[#named + 1] = target
    end
    assert.truthy(#named >= 5)
    for _, target in ipairs(named) do
      assert.truthy(makefile:find("\n" .. target .. ":", 1, true), "no target " .. target)
    end
  end)

  it("links only to what exists", function()
    local anchors = {}
    for title in readme:gmatch "\n#+ ([^\n]+)" do
      anchors[title:lower():gsub("[^%w ]", ""):gsub(" ", "-")] = true
    end
    for link in readme:gmatch "%]%(([^)]+)%)" do
      if link:match "^#" then
        assert.truthy(anchors[link:sub(2)], "no section " .. link)
      else
        assert.truthy(io.open(link), "no file " .. link)
      end
    end
  end)

  -- ---- names ----

  local function section(title)
    local from = assert(select(2, readme:find("\n### " .. title .. "\n", 1, true)))
    return readme:sub(from, (readme:find("\n##+ ", from) or 0) - 1)
  end

  -- The names in the first cells of a table.
  local function listed(text)
    local names = {}
    for cell in text:gmatch "\n| ([^|]+) |" do
      for name in cell:gmatch "`([%l_]+)`" do
        names[name] = true
      end
    end
    return names
  end

  it("lists every number of stats, and no other", function()
    local names = {}
    for name in pairs(mypool.new({}):stats()) do
      names[name] = true
    end
    assert.same(names, listed(section "Statistics"))
  end)

  -- Each option with its default as the table has it; the cells may name several, in the same order.
  local function listed_options()
    local options = {}
    for names, defaults in section("Options"):gmatch "\n| (`[^|]+) | ([^|]*) ?|" do
      local values = {}
      for value in (defaults .. ","):gmatch " ?(.-)," do
        values[#values + 1] = value:match '^`"(.*)"`%s*$' or value:match "^`?(%w+)`?%s*$" or ""
      end
      for name in names:gmatch "`([%l_]+)`" do
        options[name] = table.remove(values, 1) or ""
      end
    end
    return options
  end

  it("lists every option, and no other", function()
    local names = {}
    local source = read("lua/mypool/options.lua"):match "\nlocal pool_options = (%b{})"
    for name in source:gmatch "\n  ([%l_]+) =" do
      names[name] = true
    end
    local found = {}
    for name in pairs(listed_options()) do
      found[name] = true
    end
    assert.same(names, found)
  end)

  it("names the defaults of the options", function()
    local options = require("mypool.options").pool {}
    for name, default in pairs(listed_options()) do
      if name ~= "wait" and options[name] ~= nil then
        assert.equal(tostring(options[name]), default, name)
      end
    end
  end)
end)
