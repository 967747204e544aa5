-- One row of four columns by its key.

return function()
  return {
    {
      key = "point",
      title = "Point select: one parameter, four columns, on a held loan",
      count = 3000,
      unit = "µs per query",
      entries = {
        { "C, escaped", "c", "point_text" },
        { "C, prepared", "c", "point_prepared" },
        { "mypool", "mypool", "point_text" },
        { "mypool, prepared", "mypool", "point_prepared" },
        { "LuaSQL, concatenated", "luasql", "point_text" },
        { "LuaDBI, prepared, TCP", "luadbi", "point_prepared" },
        { "Go, interpolated", "go", "point_text" },
        { "Go, prepared", "go", "point_prepared" },
        { "mysql2, query", "mysql2", "point_text" },
        { "mysql2, prepared", "mysql2", "point_prepared" },
        { "mariadb, query", "mariadb", "point_text" },
        { "mariadb, prepared", "mariadb", "point_prepared" },
      },
      promises = {
        { "point select / LuaSQL with the value concatenated", "mypool", "LuaSQL, concatenated", 0.97 },
        { "point select / C that escapes and sends text", "mypool", "C, escaped", 1.15 },
        { "prepared point select / C with a prepared statement", "mypool, prepared", "C, prepared", 1.15 },
      },
    },
  }
end
