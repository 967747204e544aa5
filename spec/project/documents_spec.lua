-- The documents keep to their lengths, lead to each other, and name what there is: each function, option, field and
-- number of mypool's, and nothing else.

local core = require "mypool.core"
local mypool = require "mypool"
local pages = require "spec.support.pages"

local read = pages.read

local function line_count(page)
  return select(2, read(page):gsub("\n", ""))
end

describe("the documents", function()
  it("keep to their lengths", function()
    local lines = line_count "README.md"
    assert.is_true(lines <= 180, lines)
    local guides = pages.all "doc/guide"
    assert.equal(8, #guides)
    for _, page in ipairs(guides) do
      lines = line_count(page)
      assert.is_true(lines >= 80 and lines <= 150, page .. ": " .. lines)
    end
  end)

  -- The rows of the demo's table, cell by cell, against the program that prints them.
  it("begin with what the demo shows", function()
    local tour, cells = read "examples/tour.lua", 0
    for line in pages.blocks("README.md", "text")[1].text:gmatch "ok  ([^\n]+)" do
      for cell in (line .. "  "):gmatch "(%S.-)  +" do
        assert.truthy(tour:find(cell, 1, true), cell)
        cells = cells + 1
      end
    end
    assert.equal(7 * 4, cells)
  end)

  it("name only make targets that exist", function()
    local makefile, named = "\n" .. read "Makefile", 0
    local function check(page, target)
      assert.truthy(makefile:find("\n" .. target .. ":", 1, true), page .. ": no target " .. target)
      named = named + 1
    end
    for _, page in ipairs(pages.all()) do
      for _, block in ipairs(pages.blocks(page, "sh")) do
        for target in ("\n" .. block.text):gmatch "\nmake ([%l-]+)" do
          check(page, target)
        end
      end
      for target in read(page):gmatch "`make ([%l-]+)" do
        check(page, target)
      end
    end
    assert.is_true(named > 30, named)
  end)

  it("link only to what exists", function()
    local anchors = setmetatable({}, {
      __index = function(known, path)
        known[path] = pages.anchors(path)
        return known[path]
      end,
    })
    for _, page in ipairs(pages.all()) do
      local folder = page:match "^.*/" or ""
      for link in read(page):gmatch "%]%(([^)]+)%)" do
        local file, anchor = link:match "^([^#]*)#?(.*)$"
        local path = file == "" and page or folder .. file
        if not file:find("://", 1, true) then
          assert.truthy(io.open(path), page .. ": no file " .. link)
          assert.truthy(anchor == "" or anchors[path][anchor], page .. ": no section " .. link)
        end
      end
    end
  end)

  it("are all within reach of the index", function()
    local index = read "doc/README.md"
    for _, page in ipairs(pages.all "doc") do
      local path = page:gsub("^doc/", "")
      assert.truthy(path == "README.md" or index:find("](" .. path, 1, true), "no link to " .. path)
    end
    assert.truthy(read("README.md"):find("](doc/README.md", 1, true))
  end)

  local function is_file(path)
    local file <close> = io.open(path)
    return file ~= nil
  end

  it("name only specs that exist", function()
    local named = 0
    for _, page in ipairs { "doc/why/parameters.md", "doc/why/reliability.md", "SECURITY.md" } do
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

  it("explain messages as mypool says them", function()
    local text, explained = sources(), 0
    for message in read("doc/troubleshooting.md"):gmatch "\n| `([^`]+)` |" do
      explained = explained + 1
      for part in (message .. "…"):gmatch "(.-)…" do
        assert.truthy(text:find(part, 1, true), message)
      end
    end
    assert.is_true(explained >= 30, explained)
  end)
end)

-- ---- the reference ----

local function reference(name)
  return read("doc/reference/" .. name .. ".md")
end

-- The part below a title, up to the next one of its level or above.
local function section(page, title)
  local text = reference(page)
  local level, from = text:match("\n(##+) " .. title .. "\n()")
  assert(level, page .. " has no section " .. title)
  for at, other in text:sub(from):gmatch "()\n(##+) " do
    if #other <= #level then
      return text:sub(from, from + at)
    end
  end
  return text:sub(from)
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

-- The names in headings ### `self:name(…)`.
local function headings(page, self)
  local names = {}
  for name in reference(page):gmatch("\n### `" .. self .. "(%l[%l_]*)[^\n]*`\n") do
    names[name] = true
  end
  return names
end

local function keys(values)
  local names = {}
  for name in pairs(values) do
    names[name] = true
  end
  return names
end

-- The fields of a class that editors know; project/annotations_spec holds these true.
local function annotated(class)
  local names = {}
  for name in read("lua/mypool.d.lua"):match("@class mypool%." .. class .. "\n(.-)\n\n"):gmatch "@field ([%l_]+)" do
    names[name] = true
  end
  return names
end

describe("the reference", function()
  for self, class in pairs { pool = "pool", conn = "connection", statement = "statement" } do
    it("has a heading for every method of a " .. class .. ", and no other", function()
      assert.same(keys(core["mypool." .. class]), headings(class, self .. ":"))
    end)
  end

  it("has a heading for every method of a transaction, and no other", function()
    assert.same(keys(core["mypool.transaction"]), headings("transaction", "tx:"))
  end)

  it("has a heading for every function of the module, and no other", function()
    local names = keys(mypool)
    names._VERSION = nil
    assert.same(names, headings("module", "mypool%."))
  end)

  it("says of every function what it returns, and shows it", function()
    for _, page in ipairs { "pool", "connection", "statement", "transaction", "stream" } do
      for title, text in (reference(page):gsub("\n### ", "\n\0%0") .. "\0"):gmatch "\n### (`[^\n]+`)\n([^%z]*)" do
        local body = text:match "^(.-)\n## " or text
        local returns = body:find("**Returns**", 1, true) or body:find("\nAs [`", 1, true)
        assert.truthy(returns or body:find("](transaction.md", 1, true) or body:find("](connection.md", 1, true), title)
        assert.truthy(body:find("```lua", 1, true), title)
      end
    end
  end)

  it("lists every event, and no other", function()
    local names = {}
    for name in read("lua/mypool/hooks.lua"):gmatch 'report%(%l+, "([%l_]+)"' do
      names[name] = true
    end
    local found = {}
    for name in reference("events"):match("^.-\n## "):gmatch "\n| `([%l_]+)` |" do
      found[name] = true
    end
    assert.same(names, found)
  end)

  it("lists every option of a statement, of a transaction and of TLS, and no other", function()
    assert.same(annotated "StatementOptions", listed(section("connection", "Options of a statement")))
    assert.same(annotated "TransactionOptions", listed(section("transaction", "Options")))
    assert.same(annotated "TlsOptions", listed(section("options", "TLS")))
  end)

  it("lists every number of stats, and no other", function()
    assert.same(keys(mypool.new({}):stats()), listed(reference "statistics"))
  end)

  it("lists every field of an error, of a result and of a stream, and no other", function()
    local fields = annotated "Error"
    fields.host = true -- of several hosts
    assert.same(fields, listed(section("errors", "Fields")))
    assert.same(annotated "Result", listed(section("result", "Fields")))
    assert.same(annotated "Stream", listed(section("stream", "Fields")))
  end)

  -- Each option with its default as the table has it; the cells may name several, in the same order.
  local function listed_options()
    local options = {}
    for names, defaults in section("options", "All of them"):gmatch "\n| (`[^|]+) | ([^|]*) ?|" do
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

  it("lists every option of a pool, and no other", function()
    assert.same(annotated "Options", keys(listed_options()))
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
