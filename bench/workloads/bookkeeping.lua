-- What a pool itself costs: checkout and release, nothing in between.

return function()
  return {
    {
      key = "bookkeeping",
      title = "Checkout and release without I/O",
      count = 20000,
      unit = "ns per loan",
      scale = 1,
      baseline = "an object and one call of a method",
      entries = {
        { "an object and one call of a method", "mypool", "object" },
        { "mypool, reset = never", "mypool", "bookkeeping %d never" },
        { "mypool (an unused loan needs no reset)", "mypool", "bookkeeping %d always" },
        { "Go", "go", "bookkeeping" },
        { "mysql2", "mysql2", "bookkeeping" },
        { "mariadb", "mariadb", "bookkeeping" },
      },
      promises = {
        {
          "checkout and release / an object and one call of a method",
          "mypool, reset = never",
          "an object and one call of a method",
          4.1,
        },
      },
    },
  }
end
