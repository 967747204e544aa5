-- What a pool itself costs: checkout and release, nothing in between.

return function()
  return {
    {
      key = "bookkeeping",
      title = "Checkout and release without I/O",
      count = 20000,
      unit = "ns per loan",
      scale = 1,
      baseline = false,
      entries = {
        { "mypool, reset = never", "mypool", "bookkeeping %d never" },
        { "mypool (an unused loan needs no reset)", "mypool", "bookkeeping %d always" },
        { "Go", "go", "bookkeeping" },
        { "mysql2", "mysql2", "bookkeeping" },
        { "mariadb", "mariadb", "bookkeeping" },
      },
      promises = {
        { "checkout and release without I/O, ns", "mypool, reset = never", nil, 300 },
      },
    },
  }
end
