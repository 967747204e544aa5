-- The documents: README.md, the pages of doc/, and what stands beside them.

local pages = {}

function pages.read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- Paths in order, of all pages, or of those below a folder of doc/.
function pages.all(folder)
  local found = {}
  for path in io.popen(("find %s -name '*.md' | LC_ALL=C sort"):format(folder or "*.md doc spec/README.md")):lines() do
    found[#found + 1] = path
  end
  assert(#found > 0, folder)
  return found
end

-- Arrays of { language =, text =, line =, not_run = }, of the fenced blocks of a page.
function pages.blocks(page, language)
  local found, current = {}, nil
  local number = 0
  for line in pages.read(page):gmatch "([^\n]*)\n" do
    number = number + 1
    if current and line == "```" then
      found[#found + 1] = current.language == language and current or nil
      current = nil
    elseif current then
      current.text = current.text .. line .. "\n"
    elseif line:match "^```" then
      local first, rest = line:match "^```(%S*)%s*(.*)$"
      current = { language = first, text = "", line = number + 1, not_run = rest == "not run", mark = rest }
    end
  end
  assert(current == nil, "a block of " .. page .. " has no end")
  return found
end

-- The anchors of a page's titles, as keys, made as GitHub makes them.
function pages.anchors(page)
  local found = {}
  for title in ("\n" .. pages.read(page)):gmatch "\n#+ ([^\n]+)" do
    local anchor = title:lower():gsub("[^%w_ -]", ""):gsub(" ", "-")
    assert(not found[anchor], page .. " has two titles " .. title)
    found[anchor] = true
  end
  return found
end

return pages
