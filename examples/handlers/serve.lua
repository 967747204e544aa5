-- The shop as a program of its own:
--
--   MYPOOL_DSN=mariadb://user:password@host/database lua5.4 examples/handlers/serve.lua 8080
--
-- The tables are those of books.lua. Ends well on SIGTERM and SIGINT.

local cqueues = require "cqueues"
local httpd = require "examples.handlers.httpd"
local mypool = require "mypool"
local shop = require "examples.handlers.shop"
local signal = require "cqueues.signal"

local options = require "mypool.dsn"(assert(os.getenv "MYPOOL_DSN", "MYPOOL_DSN should name a server"))
options.max_size = 8
options.leak_after = 5
options.wait = require "mypool.wait.cqueues"

local pool = mypool.new(options)
local server = httpd.listen { port = tonumber(arg[1]) or 8080, routes = shop(pool) }
local loop = cqueues.new()

loop:wrap(server.run, server)

signal.block(signal.SIGTERM, signal.SIGINT)
loop:wrap(function()
  signal.listen(signal.SIGTERM, signal.SIGINT):wait()
  server:stop()
  pool:close(5)
  os.exit(0, true)
end)

print("serving on port " .. server.port)
assert(loop:loop())
