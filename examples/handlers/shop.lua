-- The handlers of a small shop. Buyers pay sellers; money is counted in cents, and none comes or goes.
--
-- The pool is all that a handler needs: a single statement goes through pool:query, what belongs
-- together through pool:transaction. Which connection that is, and whether it is clean, alive or to
-- be waited for, is the pool's business.

local mypool = require "mypool"

local ngx = ngx -- luacheck: ignore (examples/openresty runs this in nginx)

local function log(line)
  if ngx then
    ngx.log(ngx.ERR, line)
  else
    io.stderr:write(line, "\n")
  end
end

-- What went wrong in the pool or on the server, as a status. Nothing is hidden from the client that
-- may matter to it: a COMMIT whose answer was lost is neither done nor undone.
local function failure(err)
  if err.kind == "exhausted" or err.kind == "connect" then
    return 503, { error = "busy, try again" }
  elseif err.kind == "commit_unknown" then
    return 500, { error = "unknown whether this was done" }
  end
  log("shop: " .. tostring(err))
  return 500, { error = "failed" }
end

-- Lets a handler say assert(pool:query(…)): mypool's errors become answers.
local function answering(handler)
  local function settle(ok, status, body)
    if ok then
      return status, body
    elseif mypool.is_error(status) then
      return failure(status)
    end
    error(status, 0)
  end
  return function(req)
    return settle(pcall(handler, req))
  end
end

local to_integer = math.tointeger -- luacheck: ignore
  or function(number)
    return number and number % 1 == 0 and number or nil
  end

-- Numbers of JSON may come as floats.
local function integer(value)
  return to_integer(tonumber(value))
end

local function is_id(value)
  return value ~= nil and value > 0
end

-- The first row; nil when there is none.
local function one(db, ...)
  local row, err = db:one(...)
  if err then
    error(err, 0)
  end
  return row
end

-- Moves money between two accounts; returns nil and why when there is not enough.
local function move(tx, from, to, cents)
  local taken = assert(
    tx:query("UPDATE accounts SET balance = balance - ? WHERE id = ? AND balance >= ?", cents, from, cents)
  )
  if taken.affected_rows == 0 then
    return nil, "not enough money"
  end
  local given = assert(tx:query("UPDATE accounts SET balance = balance + ? WHERE id = ?", cents, to))
  if given.affected_rows == 0 then
    return nil, "no such account"
  end
  return true
end

-- The routes, for httpd.listen.
return function(pool)
  local routes = {}

  routes["GET /products"] = function()
    return 200, assert(pool:query "SELECT id, name, price, stock FROM products ORDER BY id")
  end

  routes["GET /products/:id"] = function(req)
    local id = integer(req.params.id)
    local product = one(pool, "SELECT id, name, price, stock FROM products WHERE id = ?", id)
    return product and 200 or 404, product
  end

  -- Two statements that must fit together: one snapshot.
  routes["GET /accounts/:id"] = function(req)
    local account, err = pool:transaction({ read_only = true, snapshot = true }, function(tx)
      local account = one(tx, "SELECT id, owner, balance FROM accounts WHERE id = ?", integer(req.params.id))
      if account then
        account.orders = assert(
          tx:query("SELECT id, total FROM orders WHERE buyer = ? ORDER BY id DESC LIMIT 5", account.id)
        )
      end
      return account
    end)
    if err then
      error(err, 0)
    end
    return account and 200 or 404, account
  end

  -- { "buyer": 7, "product": 3, "quantity": 2 }
  routes["POST /orders"] = function(req)
    local wish = req:json()
    local buyer, product_id, quantity = integer(wish.buyer), integer(wish.product), integer(wish.quantity)
    if not (is_id(buyer) and is_id(product_id) and is_id(quantity)) then
      return 400
    end
    -- It may run more than once: a deadlock is rolled back and tried again.
    local order, why = pool:transaction({ retries = 5 }, function(tx)
      local product = one(tx, "SELECT seller, price, stock FROM products WHERE id = ? FOR UPDATE", product_id)
      if not product then
        return nil, "no such product"
      elseif product.stock < quantity then
        return nil, "not enough in stock"
      end
      local total = product.price * quantity
      local paid, problem = move(tx, buyer, product.seller, total)
      if not paid then
        return nil, problem
      end
      assert(tx:query("UPDATE products SET stock = stock - ? WHERE id = ?", quantity, product_id))
      local placed = assert(tx:query("INSERT INTO orders (buyer, total) VALUES (?, ?)", buyer, total))
      assert(
        tx:query(
          "INSERT INTO order_lines (order_id, product, quantity, price) VALUES (?, ?, ?, ?)",
          placed.insert_id,
          product_id,
          quantity,
          product.price
        )
      )
      return { id = placed.insert_id, total = total }
    end)
    if order then
      return 201, order
    elseif mypool.is_error(why) then
      error(why, 0)
    end
    return 409, { error = why }
  end

  -- { "from": 7, "to": 8, "cents": 250 }
  routes["POST /transfers"] = function(req)
    local wish = req:json()
    local from, to, cents = integer(wish.from), integer(wish.to), integer(wish.cents)
    if not (is_id(from) and is_id(to) and is_id(cents)) or from == to then
      return 400
    end
    local moved, why = pool:transaction({ retries = 5 }, function(tx)
      return move(tx, from, to, cents)
    end)
    if moved then
      return 200, { from = from, to = to, cents = cents }
    elseif mypool.is_error(why) then
      error(why, 0)
    end
    return 409, { error = why }
  end

  routes["GET /health"] = function()
    assert(pool:ping())
    return 200, pool:stats()
  end

  for route, handler in pairs(routes) do
    routes[route] = answering(handler)
  end
  return routes
end
