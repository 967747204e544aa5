rockspec_format = "3.0"
package = "mypool"
version = "0.2.0-1"

-- Whoever publishes it puts the address of the repository here; `luarocks make` never looks.
source = {
  url = "git+file://.",
  tag = "v0.2.0",
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

supported_platforms = { "linux", "macosx", "freebsd" }

-- Lua 5.4, 5.5 and LuaJIT, which says that it is 5.1. The build refuses the versions between them.
dependencies = {
  "lua >= 5.1",
}

external_dependencies = {
  MARIADB = { library = "mariadb" },
}

build = {
  type = "make",
  build_target = "all",
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA = "$(LUA)",
    LUA_CFLAGS = "-I$(LUA_INCDIR)",
    MARIADB_INCDIR = "$(MARIADB_INCDIR)",
    MARIADB_LIBDIR = "$(MARIADB_LIBDIR)",
  },
  install_variables = {
    LUA = "$(LUA)",
    INST_LUADIR = "$(LUADIR)",
    INST_LIBDIR = "$(LIBDIR)",
    INST_DOCDIR = "$(PREFIX)/doc",
  },
}

test = {
  type = "command",
  command = "make test",
}
