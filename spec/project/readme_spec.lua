-- The examples of the README and of doc/ do what these say. The Lua blocks of a page run in order in one
-- environment, in which what one block made local at its top level is there for the next, and mypool.new
-- connects to a private server whatever address it is given. What a line prints is compared with the comment
-- `--> …` behind it, blanks being equal. A block that requires a module that is not installed is skipped; one that
-- is marked ```lua not run is only compiled.

local mypool = require "mypool"
local server = require "spec.servers.server"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local readme = read "README.md"
local pages = {
  "README.md",
  "doc/coming-from.md",
  "doc/cookbook.md",
  "doc/parameters.md",
  "doc/reliability.md",
  "doc/reset.md",
  "doc/troubleshooting.md",
  "doc/waiting.md",
}

-- Arrays of { language =, text =, line =, not_run = }, of the fenced blocks of a page.
local function blocks(page, language)
  local found, current = {}, nil
  local number = 0
  for line in read(page):gmatch "([^\n]*)\n" do
    number = number + 1
    if current and line == "```" then
      found[#found + 1] = current.language == language and current or nil
      current = nil
    elseif current then
      current.text = current.text .. line .. "\n"
    elseif line:match "^```" then
      local first, rest = line:match "^```(%S*)%s*(.*)$"
      assert(rest == "" or rest == "not run", page .. ": a block is marked " .. rest)
      current = { language = first, text = "", line = number + 1, not_run = rest ~= "" }
    end
  end
  assert(current == nil, "a block of " .. page .. " has no end")
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

-- Makes the locals of the top level globals of the environment, and keeps the page's line numbers.
local function compile(page, block, env)
  local text = ("\n" .. block.text):gsub("\nlocal function ", "\nfunction "):gsub("\nlocal ", "\n")
  return assert(load(("\n"):rep(block.line - 2) .. text, "@" .. page, "t", env))
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

    for _, block in ipairs(blocks(page, "lua")) do
      it(("%s says the truth from line %d on"):format(page, block.line), function()
        run(block)
      end)
    end
  end

  for _, page in ipairs(pages) do
    say_the_truth(page)
  end

  -- ---- shell ----

  local function targets(page)
    local named = {}
    for _, block in ipairs(blocks(page, "sh")) do
      for target in ("\n" .. block.text):gmatch "\nmake ([%l-]+)" do
        named[#named + 1] = target
      end
    end
    for target in read(page):gmatch "`make ([%l-]+)" do
      named[#named + 1] = target
    end
    return named
  end

  it("names only make targets that exist", function()
    local makefile = "\n" .. read "Makefile"
    assert.truthy(#targets "README.md" >= 5)
    for _, page in ipairs(pages) do
      for _, target in ipairs(targets(page)) do
        assert.truthy(makefile:find("\n" .. target .. ":", 1, true), page .. ": no target " .. target)
      end
    end
  end)

  local function anchors(path)
    local found = {}
    for title in ("\n" .. read(path)):gmatch "\n#+ ([^\n]+)" do
      found[title:lower():gsub("[^%w_ -]", ""):gsub(" ", "-")] = true
    end
    return found
  end

  it("links only to what exists", function()
    for _, page in ipairs(pages) do
      local folder = page:match "^.*/" or ""
      for link in read(page):gmatch "%]%(([^)]+)%)" do
        local file, anchor = link:match "^([^#]*)#?(.*)$"
        local path = file == "" and page or folder .. file
        if not file:find("://", 1, true) then
          assert.truthy(io.open(path), page .. ": no file " .. link)
          assert.truthy(anchor == "" or anchors(path)[anchor], page .. ": no section " .. link)
        end
      end
    end
  end)

  local function is_file(path)
    local file <close> = io.open(path)
    return file ~= nil
  end

  it("names only specs that exist", function()
    local named = 0
    for _, page in ipairs { "doc/parameters.md", "doc/reliability.md", "SECURITY.md" } do
      for name in read(page):gmatch "`([%w_/]+_spec)[%.%a]*`" do
        local path = "spec/" .. name:gsub("^spec/", "")
        assert.is_true(is_file(path .. ".lua") or is_file(path .. ".c"), page .. ": no " .. name)
        named = named + 1
      end
    end
    assert.is_true(named > 40, named)
  end)

  -- The sources as one text, in which string literals that follow each other are one, as they are to a compiler.
  local function sources()
    local texts = {}
    for path in io.popen("find src lua -name '*.[ch]' -o -name '*.lua'"):lines() do
      texts[#texts + 1] = read(path):gsub('"%s*%.*%s*"', "")
    end
    return table.concat(texts, "\n")
  end

  it("explains messages as mypool says them", function()
    local text, explained = sources(), 0
    for message in read("doc/troubleshooting.md"):gmatch "\n| `([^`]+)` |" do
      explained = explained + 1
      for part in (message .. "…"):gmatch "(.-)…" do
        assert.truthy(text:find(part, 1, true), message)
      end
    end
    assert.is_true(explained >= 30, explained)
  end)

  it("is all within reach of the README", function()
    for path in io.popen("ls doc/*.md"):lines() do
      assert.truthy(readme:find("](" .. path, 1, true), "no link to " .. path)
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
        assert(names[name] == nil, "listed twice: " .. name)
        names[name] = true
      end
    end
    return names
  end

  -- The methods named in the first cells of a section's tables: `self:name(…)`, and what follows in its cell.
  local function methods(title, self)
    local names = {}
    for cell in section(title):gmatch "\n| ([^|]+) |" do
      if cell:match "^`(%l+):" == self then
        for span in cell:gmatch "`([^`]+)`" do
          names[span:gsub("^%l+:", ""):match "^[%l_]+"] = true
        end
      end
    end
    return names
  end

  for self, place in pairs {
    pool = { "Pool", "mypool.pool" },
    conn = { "Connection", "mypool.connection" },
    statement = { "Many rows", "mypool.statement" },
    tx = { "Transactions", "mypool.transaction" },
  } do
    it(("lists every method of %s, and no other"):format(place[2]), function()
      local names = {}
      for name in pairs(require("mypool.core")[place[2]]) do
        names[name] = true
      end
      assert.same(names, methods(place[1], self))
    end)
  end

  it("lists every event, and no other", function()
    local names = {}
    for name in read("lua/mypool/hooks.lua"):gmatch 'report%(%l+, "([%l_]+)"' do
      names[name] = true
    end
    local found = {}
    for name in section("Events"):gmatch "\n| `([%l_]+)` |" do
      found[name] = true
    end
    assert.same(names, found)
  end)

  it("lists every option of a statement and of TLS, and no other", function()
    local source = read "lua/mypool/options.lua"
    for title, list in pairs { Connection = "statement_options", TLS = "tls_options" } do
      local names = {}
      for name in source:match("\nlocal " .. list .. " = (%b{})"):gmatch "([%l_]+) =" do
        names[name] = true
      end
      local found = {}
      for cell in section(title):gmatch "\n| (`[%l_]+`[^|:(]*) |" do
        for name in cell:gmatch "`([%l_]+)`" do
          found[name] = true
        end
      end
      assert.same(names, found)
    end
  end)

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
        assert(options[name] == nil, "listed twice: " .. name)
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
