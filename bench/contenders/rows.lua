-- What the contenders in Lua ask of the table bench_rows, and what rows of it come to, so that nobody can fetch less.
-- Numbers may be text: Lua adds them all the same.

local rows = {}

rows.all = "SELECT id, name, price, made FROM bench_rows"
rows.by_id = rows.all .. " WHERE id = ?"

function rows.sum_of_one(row)
  return row.id + #row.name + row.price * 4
end

function rows.sum_of_all(kept)
  local sum = 0
  for _, row in ipairs(kept) do
    sum = sum + rows.sum_of_one(row) + tonumber(row.made:sub(15, 16))
  end
  return sum
end

return rows
