-- Charts of results, drawn by gnuplot.

local charts = {}

local function quote(text)
  return "'" .. text:gsub("'", "''") .. "'"
end

local function gnuplot(script)
  local pipe = assert(io.popen("gnuplot", "w"))
  pipe:write(script)
  assert(pipe:close(), "gnuplot failed")
end

local head = [[
set terminal svg size %d,%d font 'sans-serif,13' background 'white'
set output %s
set title %s
set border 3 linecolor '#888888'
set tics nomirror
]]

local bars = [[
set xlabel %s
set xrange [0:*]
set yrange [%d.6:-0.6]
set ytics (%s)
unset key
set style fill solid
plot $bars using ($2/2):1:($2/2):(0.36):3 with boxxyerror linecolor rgb variable, \
  $bars using 4:1:4:5 with xerrorbars linecolor '#333333' pointtype 0, \
  $bars using 5:1:6 with labels left offset 1,0
]]

local ours, others = 0xC2571A, 0x8FA3B5

-- A bar for the median of each entry, with its quartiles; `field` is one of those of a summary.
function charts.bars(path, result, field, unit)
  local data, names = {}, {}
  for _, entry in ipairs(result.entries) do
    local value = entry[field]
    if value then
      local color = entry.label:find "^mypool" and ours or others
      local row = ("%d %g %d %g %g %.3g"):format(#data, value.median, color, value.low, value.high, value.median)
      names[#names + 1] = ("%s %d"):format(quote(entry.label), #data)
      data[#data + 1] = row
    end
  end
  gnuplot(table.concat {
    head:format(760, 90 + 26 * #data, quote(path), quote(result.title)),
    "$bars << END\n", table.concat(data, "\n"), "\nEND\n",
    bars:format(quote(unit or result.unit), #data - 1, table.concat(names, ", ")),
  })
end

local lines = [[
set xlabel 'coroutines'
set ylabel %s
set logscale xy
set yrange [*<1:*]
set key outside right
set grid ytics linecolor '#dddddd'
plot %s
]]

local plot = "$lines index %d using 1:2 with linespoints linewidth 2 title columnheader(1)"

-- A line for each `line` of the entries, over their `x`.
function charts.lines(path, result)
  local data, plots, last = {}, {}, nil
  for _, entry in ipairs(result.entries) do
    if entry.line ~= last then
      last = entry.line
      data[#data + 1] = ("\n\n%q"):format(last)
      plots[#plots + 1] = plot:format(#plots)
    end
    data[#data + 1] = ("%d %g"):format(entry.x, entry.wall.median)
  end
  gnuplot(table.concat {
    head:format(760, 380, quote(path), quote(result.title)),
    "$lines << END\n", table.concat(data, "\n"):gsub("^\n+", ""), "\nEND\n",
    lines:format(quote(result.unit), table.concat(plots, ", \\\n  ")),
  })
end

return charts
