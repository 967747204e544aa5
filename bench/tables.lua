-- Results as tables of text: an array of rows, the first of which are the titles.

local tables = {}

local function number(value)
  if value >= 1000 then
    return ("%.0f"):format(value)
  end
  return ("%.3g"):format(value):find "e" and ("%.0f"):format(value) or ("%.3g"):format(value)
end

tables.number = number

function tables.spread(spread)
  return spread and ("%s–%s"):format(number(spread.low), number(spread.high)) or ""
end

local function median(spread)
  return spread and number(spread.median) or ""
end

local function any(entries, name)
  for _, entry in ipairs(entries) do
    if entry[name] then
      return true
    end
  end
end

-- Those columns that some entry has something for.
local function columns_of(result)
  local entries = result.entries
  local all = {
    { "wall", result.unit, median },
    { "wall", "quartiles", tables.spread },
    { "client", "client CPU", median },
    { "server", "server CPU", median },
    { "p50", "p50 µs", median },
    { "p99", "p99 µs", median },
    { "p999", "p99.9 µs", median },
    { "ratio", result.baseline and "× " .. result.baseline or "", median },
  }
  local columns = {}
  for _, column in ipairs(all) do
    if any(entries, column[1]) then
      columns[#columns + 1] = column
    end
  end
  return columns
end

local function list(result)
  local columns = columns_of(result)
  local rows = { { "" } }
  for i, column in ipairs(columns) do
    rows[1][i + 1] = column[2]
  end
  for _, entry in ipairs(result.entries) do
    local row = { entry.label }
    for i, column in ipairs(columns) do
      row[i + 1] = column[3](entry[column[1]])
    end
    rows[#rows + 1] = row
  end
  return rows
end

-- Of entries with `line` and `x`: a row for each line, a column for each x.
local function matrix(result)
  local rows, at = { { result.unit } }, {}
  for _, entry in ipairs(result.entries) do
    if not at[entry.line] then
      at[entry.line] = { entry.line }
      rows[#rows + 1] = at[entry.line]
    end
    table.insert(at[entry.line], median(entry.wall))
    rows[1][#at[entry.line]] = tostring(entry.x)
  end
  return rows
end

function tables.of(result)
  return (any(result.entries, "line") and matrix or list)(result)
end

-- One line for each promise.
function tables.promises(results)
  local rows = { { "", "measured", "quartiles", "bound", "" } }
  for _, result in ipairs(results) do
    for _, p in ipairs(result.promises) do
      local verdict = p.value and (p.met and "met" or "missed") or "not measured"
      table.insert(rows, { p.text, median(p.value), tables.spread(p.value), "≤ " .. number(p.bound), verdict })
    end
  end
  return rows
end

local function width(text)
  return utf8.len(text)
end

local function pad(text, size, right)
  local blanks = (" "):rep(size - width(text))
  return right and blanks .. text or text .. blanks
end

-- For the terminal.
function tables.print(rows)
  local sizes = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      sizes[i] = math.max(sizes[i] or 0, width(cell))
    end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = pad(cell, sizes[i], i > 1)
    end
    print("  " .. table.concat(cells, "   "))
  end
end

function tables.markdown(rows)
  local lines = {}
  for _, row in ipairs(rows) do
    lines[#lines + 1] = "| " .. table.concat(row, " | ") .. " |"
  end
  table.insert(lines, 2, "|---|" .. ("--:|"):rep(#rows[1] - 1))
  return table.concat(lines, "\n")
end

return tables
