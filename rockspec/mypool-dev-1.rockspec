rockspec_format = "3.0"
package = "mypool"
version = "dev-1"

-- `luarocks make` builds the checkout it is called in and never looks here.
source = {
  url = "git+file://.",
}

description = {
  summary = "A MariaDB connection pool that lends clean, live sessions",
  detailed = [[
    A pool of MariaDB and MySQL connections for Lua, in C on libmariadb. What one borrower did to a
    session is never seen by the next, connections that died in the pool are replaced unseen, and no
    statement runs twice. Works in plain Lua and under any coroutine scheduler.
  ]],
  license = "MIT",
  labels = { "database", "mysql", "mariadb", "pool" },
}

supported_platforms = { "linux" }

dependencies = {
  "lua >= 5.4",
}

-- Only the library: its header lies in another folder on each distribution, see incdirs.
external_dependencies = {
  MARIADB = { library = "mariadb" },
}

build = {
  type = "builtin",
  modules = {
    ["mypool.core"] = {
      sources = {
        "src/lua/cells.c",
        "src/lua/connection.c",
        "src/lua/core.c",
        "src/lua/errors.c",
        "src/lua/parameters.c",
        "src/lua/place.c",
        "src/lua/pool_class.c",
        "src/lua/rows.c",
        "src/lua/scrub.c",
        "src/mariadb/baseline.c",
        "src/mariadb/bell.c",
        "src/mariadb/buffer.c",
        "src/mariadb/cancel.c",
        "src/mariadb/clock.c",
        "src/mariadb/connect.c",
        "src/mariadb/driver.c",
        "src/mariadb/encode.c",
        "src/mariadb/helper.c",
        "src/mariadb/liveness.c",
        "src/mariadb/opening.c",
        "src/mariadb/port.c",
        "src/mariadb/reset.c",
        "src/mariadb/rollback.c",
        "src/mariadb/run.c",
        "src/mariadb/scan.c",
        "src/mariadb/statement.c",
        "src/mariadb/task.c",
        "src/mariadb/tls.c",
        "src/mariadb/utf8.c",
        "src/pool/backoff.c",
        "src/pool/checkout.c",
        "src/pool/error.c",
        "src/pool/explain.c",
        "src/pool/idle.c",
        "src/pool/loan.c",
        "src/pool/operation.c",
        "src/pool/pool.c",
        "src/pool/queue.c",
        "src/pool/retry.c",
        "src/pool/slots.c",
      },
      incdirs = { "src", "$(MARIADB_DIR)/include/mariadb", "$(MARIADB_DIR)/include/mysql" },
      libdirs = { "$(MARIADB_LIBDIR)" },
      libraries = { "mariadb", "m", "pthread" },
      defines = { "_GNU_SOURCE" },
    },
    ["mypool.connection"] = "lua/mypool/connection.lua",
    ["mypool.dsn"] = "lua/mypool/dsn.lua",
    ["mypool"] = "lua/mypool/init.lua",
    ["mypool.names"] = "lua/mypool/names.lua",
    ["mypool.options"] = "lua/mypool/options.lua",
    ["mypool.pool"] = "lua/mypool/pool.lua",
    ["mypool.run"] = "lua/mypool/run.lua",
    ["mypool.transaction"] = "lua/mypool/transaction.lua",
    ["mypool.wait.cqueues"] = "lua/mypool/wait/cqueues.lua",
    ["mypool.wait.luv"] = "lua/mypool/wait/luv.lua",
  },
}

-- busted needs a MariaDB server, which `make test` finds and starts.
test = {
  type = "command",
  command = "make test",
}
