-- Medians and quartiles.

local statistics = {}

-- The value below which the share `p` of sorted `numbers` lies, interpolated.
local function quantile(numbers, p)
  local position = 1 + p * (#numbers - 1)
  local below = math.floor(position)
  local above = math.min(below + 1, #numbers)
  return numbers[below] + (position - below) * (numbers[above] - numbers[below])
end

-- { median =, low =, high = } of an array of numbers, the latter two being the quartiles; nil of an empty one.
function statistics.spread(numbers)
  if #numbers == 0 then
    return nil
  end
  local sorted = table.move(numbers, 1, #numbers, 1, {})
  table.sort(sorted)
  return { median = quantile(sorted, 0.5), low = quantile(sorted, 0.25), high = quantile(sorted, 0.75) }
end

-- The spread of a[i] / b[i]: what happens to the machine in a round happens to both.
function statistics.ratio(a, b)
  local ratios = {}
  for i = 1, math.min(#a, #b) do
    ratios[i] = a[i] / b[i]
  end
  return statistics.spread(ratios)
end

return statistics
