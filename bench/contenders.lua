-- The programs that are compared: name → the command that starts one on a server. A program is
-- described in child.lua; contenders/ holds them.

local quote = require "spec.support.quote"

local contenders = {}

local function command(program, ...)
  local words = { program }
  for _, word in ipairs { ... } do
    words[#words + 1] = quote(word)
  end
  return table.concat(words, " ")
end

local function by_socket(program)
  return function(server)
    return command(program, server.socket, server.user, server.password, server.database)
  end
end

local lua = "lua5.4 bench/contenders/"
local node = "env NODE_PATH=build/bench/node/node_modules node --expose-gc bench/contenders/node/"

-- `package`: what to install when it does not start.
contenders.c = { start = by_socket "build/bench/c", package = "make" }
contenders.mypool = { start = by_socket(lua .. "mypool.lua"), package = "Debian: lua-cqueues" }
contenders.luasql = { start = by_socket(lua .. "luasql.lua"), package = "Debian: lua-sql-mysql" }
contenders.luadbi = {
  start = function(server)
    return command(lua .. "luadbi.lua", server.host, server.port, server.user, server.password, server.database)
  end,
  package = "Debian: lua-dbi-mysql",
}
contenders.go = {
  start = by_socket "build/bench/go_sql",
  package = "Debian: golang-go, golang-github-go-sql-driver-mysql-dev",
}
contenders.mysql2 = { start = by_socket(node .. "mysql2.js"), package = "Debian: nodejs, npm; npm: mysql2" }
contenders.mariadb = { start = by_socket(node .. "mariadb.js"), package = "Debian: nodejs, npm; npm: mariadb" }

return contenders
