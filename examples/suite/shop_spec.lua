-- A busted suite on a real database. Each test runs in a transaction that is rolled back after it, so the tests share
-- their tables and never see each other's rows; a connection that a test forgets is an error.
--
--   DATABASE_URL=mariadb://app:secret@db/shop_test lua5.4 "$(command -v busted)" --ignore-lua examples/suite
--
-- For runs beside each other give each process a database of its own.

local mypool = require "mypool"
local shop = require "examples.suite.shop"
local testing = require "mypool.busted"

local pool = mypool.new(os.getenv "DATABASE_URL")

describe("the shop", function()
  setup(function()
    assert(pool:query "CREATE TABLE stock (item VARCHAR(20) PRIMARY KEY, quantity INT NOT NULL)")
    assert(pool:query "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, item CHAR(20), quantity INT NOT NULL)")
  end)

  teardown(function()
    assert(pool:query "DROP TABLE stock, orders")
    pool:close()
  end)

  local db = testing.rolled_back(pool)
  testing.all_released(pool)

  before_each(function()
    assert(db:query "INSERT INTO stock VALUES ('tea', 3)")
  end)

  it("sells what is there", function()
    assert.is_truthy(shop.sell(db, "tea", 2))
    assert.equal(1, db:value "SELECT quantity FROM stock WHERE item = 'tea'")
  end)

  it("sells no more than there is", function()
    local order, why = shop.sell(db, "tea", 4)
    assert.same({ nil, "not enough tea" }, { order, why })
    assert.equal(0, db:value "SELECT COUNT(*) FROM orders")
  end)
end)
