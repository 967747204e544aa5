-- doc/architecture.md says where a state is left and what always holds, and spec/README.md where a spec belongs: what
-- they name is there.

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- The names of the functions that src/pool defines.
local function functions_of_the_pool()
  local names = {}
  local pipe <close> = assert(io.popen "cat src/pool/*.c")
  for line in pipe:lines() do
    local name = line:match "^[%a_][%w_ ]*[ *]([%a_][%w_]*)%("
    if name then
      names[name] = true
    end
  end
  return names
end

local document = read "doc/architecture.md"

-- Calls f(from, to, names) for each line of the lists of states; `names` is the text with the functions.
local function each_transition(f)
  local from
  for line in document:gmatch "[^\n]+" do
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
  it("names functions of src/pool for each transition of a slot and of a loan", function()
    local exists, count = functions_of_the_pool(), 0
    each_transition(function(from, to, names)
      for name in names:gmatch "[^, ]+" do
        assert(exists[name], ("%s -> %s: there is no %s in src/pool"):format(from, to, name))
        count = count + 1
      end
    end)
    assert.is_true(count > 50, "only so many functions found: " .. count)
  end)

  it("names every state of pool.h, and no other", function()
    local known, seen = {}, {}
    for state in read("src/pool/pool.h"):gmatch "%f[%w_][SL][LO][OA][TN]_(%u+)" do
      known[state] = state ~= "STATES" or nil
    end
    each_transition(function(from, to)
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
