-- 10,000 inserts. The server is asked afterwards what it has.

local function empty(world)
  world.server:sql "TRUNCATE bench_inserts"
end

local function sum_of_table(world)
  return table.concat(
    world.server:sql "SELECT COUNT(*), SUM(id), SUM(CRC32(name)), SUM(price) FROM bench_inserts",
    " "
  )
end

return function()
  return {
    {
      key = "inserts",
      title = "10,000 inserts in one transaction",
      count = 10000,
      unit = "µs per row",
      rounds = 5,
      before = empty,
      after = sum_of_table,
      entries = {
        { "C, one by one", "c", "insert_one" },
        { "C, array binding", "c", "insert_many" },
        { "mypool, one by one", "mypool", "insert_one" },
        { "mypool, execute_many", "mypool", "insert_many" },
        { "LuaSQL, one by one", "luasql", "insert_one" },
        { "LuaDBI, one by one, prepared, TCP", "luadbi", "insert_one" },
        { "Go, one by one", "go", "insert_one" },
        { "Go, 1000 rows a text", "go", "insert_many" },
        { "mysql2, one by one", "mysql2", "insert_one" },
        { "mysql2, 1000 rows a text", "mysql2", "insert_many" },
        { "mariadb, one by one", "mariadb", "insert_one" },
        { "mariadb, batch", "mariadb", "insert_many" },
      },
      promises = {
        { "execute_many / one by one in one transaction", "mypool, execute_many", "mypool, one by one", 0.095 },
      },
    },
  }
end
