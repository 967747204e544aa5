-- A query on a loan that is held.

return function()
  return {
    {
      key = "held",
      title = "SELECT 1 on a held loan",
      count = 4000,
      unit = "µs per query",
      entries = {
        { "C", "c", "held" },
        { "mypool, query", "mypool", "held %d query" },
        { "mypool, value", "mypool", "held %d value" },
        { "LuaSQL", "luasql", "held" },
        { "LuaDBI, prepared, TCP", "luadbi", "held" },
        { "Go", "go", "held" },
        { "mysql2", "mysql2", "held" },
        { "mariadb", "mariadb", "held" },
      },
      promises = {
        { "SELECT 1 on a held loan / C", "mypool, query", "C", 1.10 },
        { "the same as a value / C", "mypool, value", "C", 1.07 },
      },
    },
  }
end
