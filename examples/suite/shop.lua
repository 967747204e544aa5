-- The part of a shop that examples/suite/shop_spec.lua tests. Whatever has the methods of a pool can be the `db`.

local shop = {}

-- The number of the order; nil and why when there is not enough.
function shop.sell(db, item, quantity)
  return db:transaction(function(tx)
    local take = "UPDATE stock SET quantity = quantity - ? WHERE item = ? AND quantity >= ?"
    local taken = assert(tx:query(take, quantity, item, quantity))
    if taken.affected_rows == 0 then
      return nil, "not enough " .. item
    end
    return assert(tx:query("INSERT INTO orders (item, quantity) VALUES (?, ?)", item, quantity)).insert_id
  end)
end

return shop
