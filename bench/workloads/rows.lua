-- 100,000 rows of four columns: int, varchar, double, datetime.

return function()
  return {
    {
      key = "rows_kept",
      title = "100,000 rows × 4 columns, all kept",
      count = 100000,
      unit = "µs per row",
      entries = {
        { "C, store_result", "c", "rows_kept" },
        { "mypool", "mypool", "rows_kept" },
        { "mypool, prepared", "mypool", "rows_kept_prepared" },
        { "LuaSQL", "luasql", "rows_kept" },
        { "LuaDBI, TCP", "luadbi", "rows_kept" },
        { "Go, structs", "go", "rows_kept" },
        { "mysql2", "mysql2", "rows_kept" },
        { "mariadb", "mariadb", "rows_kept" },
      },
      promises = {
        { "100,000 rows kept, text / LuaSQL", "mypool", "LuaSQL", 0.56 },
        { "100,000 rows kept, prepared / LuaSQL", "mypool, prepared", "LuaSQL", 0.45 },
      },
    },
    {
      key = "rows_streamed",
      title = "100,000 rows × 4 columns, one at a time, in a process of their own",
      fresh = true, -- Lua's table of strings keeps the size that a large result gave it
      count = 100000,
      unit = "µs per row",
      entries = {
        { "C, use_result", "c", "rows_streamed" },
        { "mypool", "mypool", "rows_streamed" },
        { "mypool, prepared", "mypool", "rows_streamed_prepared" },
        { "LuaSQL, one table", "luasql", "rows_streamed" },
        { "LuaSQL, kept", "luasql", "rows_kept", differs = true },
        { "LuaDBI, TCP", "luadbi", "rows_streamed" },
        { "Go, one struct", "go", "rows_streamed" },
        { "mysql2", "mysql2", "rows_streamed" },
        { "mariadb", "mariadb", "rows_streamed" },
      },
      promises = {
        { "100,000 rows streamed, prepared / LuaSQL, kept", "mypool, prepared", "LuaSQL, kept", 0.42 },
      },
    },
  }
end
