-- The shop's tables, what is in them in the beginning, and whether the books balance.

local books = {}

local buyers, sellers, products = 100, 20, 20
local money, stock = 1000000, 1000000 -- cents of each account, pieces of each product

local schema = {
  [[CREATE TABLE accounts (
      id INT UNSIGNED PRIMARY KEY,
      owner VARCHAR(40) NOT NULL,
      balance BIGINT UNSIGNED NOT NULL)]],
  [[CREATE TABLE products (
      id INT UNSIGNED PRIMARY KEY,
      name VARCHAR(40) NOT NULL,
      seller INT UNSIGNED NOT NULL REFERENCES accounts (id),
      price INT UNSIGNED NOT NULL,
      stock INT UNSIGNED NOT NULL)]],
  [[CREATE TABLE orders (
      id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
      buyer INT UNSIGNED NOT NULL REFERENCES accounts (id),
      total BIGINT UNSIGNED NOT NULL,
      placed TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
      KEY (buyer))]],
  [[CREATE TABLE order_lines (
      order_id BIGINT UNSIGNED NOT NULL REFERENCES orders (id),
      product INT UNSIGNED NOT NULL REFERENCES products (id),
      quantity INT UNSIGNED NOT NULL,
      price INT UNSIGNED NOT NULL,
      PRIMARY KEY (order_id, product))]],
}

local drop = "DROP TABLE IF EXISTS order_lines, orders, products, accounts"

-- Makes the tables anew. Accounts 1 to 100 buy, 101 to 120 sell.
function books.open(db)
  assert(db:query(drop))
  for _, sql in ipairs(schema) do
    assert(db:query(sql))
  end
  assert(
    db:query(
      "INSERT INTO accounts SELECT seq, IF(seq <= ?, CONCAT('buyer ', seq), CONCAT('seller ', seq - ?)), ? "
        .. ("FROM seq_1_to_%d"):format(buyers + sellers),
      buyers,
      buyers,
      money
    )
  )
  assert(
    db:query(
      ("INSERT INTO products SELECT seq, CONCAT('tea no. ', seq), ? + seq, 100 + 10 * seq, ? FROM seq_1_to_%d"):format(
        products
      ),
      buyers,
      stock
    )
  )
end

function books.close(db)
  assert(db:query(drop))
end

-- What must be true whatever happened; each query counts what contradicts it.
local rules = {
  {
    ("no money came or went: %d accounts hold %d in all"):format(buyers + sellers, (buyers + sellers) * money),
    ("SELECT SUM(balance) <> %d FROM accounts"):format((buyers + sellers) * money),
  },
  {
    "every order has its line, and costs what the line says",
    [[SELECT COUNT(*) FROM orders o
        LEFT JOIN (SELECT order_id, SUM(quantity * price) AS cost FROM order_lines GROUP BY order_id) l
        ON l.order_id = o.id WHERE l.cost IS NULL OR l.cost <> o.total]],
  },
  {
    "no line is without its order",
    "SELECT COUNT(*) FROM order_lines l LEFT JOIN orders o ON o.id = l.order_id WHERE o.id IS NULL",
  },
  {
    "what left the stock was ordered",
    ([[SELECT COUNT(*) FROM products p
        LEFT JOIN (SELECT product, SUM(quantity) AS sold FROM order_lines GROUP BY product) l
        ON l.product = p.id WHERE p.stock + COALESCE(l.sold, 0) <> %d]]):format(stock),
  },
  {
    "each seller got what was paid for the goods, and nothing else",
    ([[SELECT COUNT(*) FROM products p JOIN accounts a ON a.id = p.seller
        LEFT JOIN (SELECT product, SUM(quantity * price) AS paid FROM order_lines GROUP BY product) l
        ON l.product = p.id WHERE a.balance <> %d + COALESCE(l.paid, 0)]]):format(money),
  },
}

-- Checks the rules, and that there are as many orders as were confirmed. Returns an array of
-- { ok, words }.
function books.check(db, confirmed)
  local results = {}
  for i, rule in ipairs(rules) do
    results[i] = { ok = assert(db:value(rule[2])) == 0, words = rule[1] }
  end
  local orders = assert(db:value "SELECT COUNT(*) FROM orders")
  results[#results + 1] = {
    ok = orders == confirmed and orders > 0,
    words = ("%d orders were confirmed, %d are in the books"):format(confirmed, orders),
  }
  return results
end

return books
