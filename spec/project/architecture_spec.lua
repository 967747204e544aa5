-- doc/architecture.md says where a state is left and what always holds, and spec/README.md where a spec belongs: what
-- they name is there.

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- The names of the functions that the files of this folder define.
local function functions_of(folder)
  local names = {}
  local pipe <close> = assert(io.popen(("cat src/%s/*.[ch]"):format(folder)))
  for line in pipe:lines() do
    local name = line:match "^[%a_][%w_ ]*[ *]([%a_][%w_]*)%("
    if name then
      names[name] = true
    end
  end
  return names
end

local document = read "doc/architecture.md"
local of_pool, of_session = document:match "\n### Slot\n(.-)\n### Session\n(.-)\n## "

-- Calls f(from, to, names) for each line of the lists of states in the text; `names` is that with the functions.
local function each_transition(text, f)
  local from
  for line in text:gmatch "[^\n]+" do
    local named, to, names = line:match "^(%u*)%s*%-> ([%u, ]-%u)%s+(%l[%l%d_]*.*)$"
    if to then
      from = named ~= "" and named or from
      f(from, to, names:gsub("%s%s.*$", ""))
    end
  end
end

describe("spec/README.md", function()
  it("says what each folder of spec is for, and names no other", function()
    local listed, there = {}, {}
    for name in read("spec/README.md"):gmatch "\n| `([%w_]+)/` |" do
      listed[name] = true
    end
    local pipe <close> = assert(io.popen "ls -d spec/*/")
    for name in pipe:read("a"):gmatch "spec/([%w_]+)/" do
      there[name] = true
    end
    assert.same(there, listed)
  end)
end)

describe("doc/architecture.md", function()
  local function names_functions(text, folder, least)
    local exists, count = functions_of(folder), 0
    each_transition(text, function(from, to, names)
      for name in names:gmatch "[^, ]+" do
        assert(exists[name], ("%s -> %s: there is no %s in src/%s"):format(from, to, name, folder))
        count = count + 1
      end
    end)
    assert.is_true(count >= least, "only so many functions found: " .. count)
  end

  it("names functions of src/pool for each transition of a slot and of a loan", function()
    names_functions(of_pool, "pool", 50)
  end)

  it("names functions of src/mariadb for each transition of a session, and for what tells its state", function()
    names_functions(of_session, "mariadb", 25)
    local exists, told, named = functions_of "mariadb", {}, {}
    for state, name in of_session:gmatch "\n| `(%u+)` |[^|\n]+| `([%w_]+)`" do
      assert(exists[name], ("%s: there is no %s in src/mariadb"):format(state, name))
      told[state] = true
    end
    each_transition(of_session, function(from, to)
      named[from], named[to] = true, true
    end)
    assert.same(told, named)
  end)

  it("names every state of pool.h, and no other", function()
    local known, seen = {}, {}
    for state in read("src/pool/pool.h"):gmatch "%f[%w_][SL][LO][OA][TN]_(%u+)" do
      known[state] = state ~= "STATES" or nil
    end
    each_transition(of_pool, function(from, to)
      for state in (from .. "," .. to):gmatch "%u+" do
        assert(known[state], "no such state: " .. state)
        seen[state] = true
      end
    end)
    assert.same(known, seen)
  end)

  it("lists the invariants as pool_check tells them, by the same numbers", function()
    local count = 0
    for number, text in read("src/pool/check.c"):gmatch '%[(%d+)%] = "([^"]+)"' do
      local line = ("\n%d. %s%s.\n"):format(number, text:sub(1, 1):upper(), text:sub(2))
      assert(document:find(line, 1, true), "not in the document:" .. line)
      count = count + 1
    end
    assert.is_true(count >= 18)
  end)
end)
