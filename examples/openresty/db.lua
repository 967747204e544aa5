-- The pool of each worker. SHOP_SOCKET names the server's unix socket: in nginx.conf, env SHOP_SOCKET;

return require("mypool").new {
  name = "shop",
  socket = assert(os.getenv "SHOP_SOCKET", "SHOP_SOCKET should name the server's socket"),
  user = "app",
  password = "secret",
  database = "app",
  null = ngx.null, -- luacheck: ignore
  max_size = 8,
  max_waiting = 200,
  checkout_timeout = 10,
  query_timeout = 10,
  wait = require "mypool.wait.nginx",
}
