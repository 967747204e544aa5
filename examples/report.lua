-- A report over a table of any size: number, sum and median of the sales of each region. The rows are streamed, so
-- that five million of them take no more memory than five.
--
--   DATABASE_URL=mariadb://app:secret@db/shop lua5.4 examples/report.lua
--
-- The table: sales (region VARCHAR(20), cents INT). Why not all of it in SQL? Sum and number could be; the median is
-- where SQL would sort all rows. Here each region counts how often each amount occurs.

local mypool = require "mypool"

local pool = mypool.new(os.getenv "DATABASE_URL")

local function median(region)
  local amounts = {}
  for cents in pairs(region.counts) do
    amounts[#amounts + 1] = cents
  end
  table.sort(amounts)
  local below = 0
  for _, cents in ipairs(amounts) do
    below = below + region.counts[cents]
    if below * 2 >= region.number then
      return cents
    end
  end
end

local function add(regions, name, cents)
  local region = regions[name]
  if not region then
    region = { number = 0, sum = 0, counts = {} }
    regions[name] = region
  end
  region.number, region.sum = region.number + 1, region.sum + cents
  region.counts[cents] = (region.counts[cents] or 0) + 1
end

local regions = {}
for row in assert(pool:rows { "SELECT region, cents FROM sales", rows = "array" }) do
  add(regions, row[1], row[2])
end

local names = {}
for name in pairs(regions) do
  names[#names + 1] = name
end
table.sort(names)
print(("%-12s %10s %16s %10s"):format("region", "sales", "sum", "median"))
for _, name in ipairs(names) do
  local region = regions[name]
  print(("%-12s %10d %16.2f %10.2f"):format(name, region.number, region.sum / 100, median(region) / 100))
end
collectgarbage()
print(("%.1f MB of memory"):format(collectgarbage "count" / 1024))
pool:close()
