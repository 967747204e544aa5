-- A small HTTP/1.1 server on cqueues: a table of routes, each a function from a request to a status
-- and a body. Debian's lua-http would be the better one, but it is not packaged for Lua 5.4; so what
-- reads requests here is kept tiny. It knows bodies with a Content-Length, and connections that stay
-- open; no chunked requests, no TLS, no uploads. Put a proxy in front of it.
--
--   local server = httpd.listen {
--     port = 8080,
--     routes = {
--       ["GET /users/:id"] = function(req)
--         return 200, { id = req.params.id }        -- a table becomes JSON
--       end,
--     },
--   }
--   server:run()                                    -- in a coroutine of cqueues, until server:stop()
--
-- A request: method, path, query (as it came), params, headers (names in lower case), body, json().

local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local json = require "cjson.safe"
local socket = require "cqueues.socket"

local httpd = {}

local largest_body = 64 * 1024
local most_headers = 100
local idle_timeout = 30

local reasons = {
  [200] = "OK",
  [201] = "Created",
  [400] = "Bad Request",
  [404] = "Not Found",
  [405] = "Method Not Allowed",
  [409] = "Conflict",
  [413] = "Content Too Large",
  [500] = "Internal Server Error",
  [501] = "Not Implemented",
  [503] = "Service Unavailable",
}

-- ---- routes ----

-- { ["GET /users/:id"] = fn } as an array of { method, pattern, names, handler }.
local function compile(routes)
  local compiled = {}
  for route, handler in pairs(routes) do
    local method, path = route:match "^(%u+) (/%S*)$"
    assert(method, "a route looks like 'GET /users/:id'")
    local names = {}
    local pattern = path:gsub("[^%w/:_]", "%%%0"):gsub(":([%w_]+)", function(name)
      names[#names + 1] = name
      return "([^/]+)"
    end)
    compiled[#compiled + 1] = { method = method, pattern = "^" .. pattern .. "$", names = names, handler = handler }
  end
  return compiled
end

-- The handler, after it has set req.params; or nil and the status that says why there is none.
local function find(routes, req)
  local status = 404
  for _, route in ipairs(routes) do
    local captured = { req.path:match(route.pattern) }
    if captured[1] and route.method == req.method then
      req.params = {}
      for i, name in ipairs(route.names) do
        req.params[name] = captured[i]
      end
      return route.handler
    end
    status = captured[1] and 405 or status
  end
  return nil, status
end

-- ---- reading ----

-- The body's object or array; an empty table when it is neither.
local function read_json(req)
  local value = json.decode(req.body)
  return type(value) == "table" and value or {}
end

local function read_headers(con)
  local headers = {}
  local count = 0
  for line in con:lines "*h" do
    local name, value = line:match "^([^:%s]+):%s*(.-)%s*$"
    count = count + 1
    if not name or count > most_headers then
      return nil
    end
    headers[name:lower()] = value
  end
  return con:read "*l" and headers -- the empty line
end

-- A request; nil and a status when it was not understood; nil alone at the end of the connection.
local function read_request(con)
  local line = con:read "*l"
  if not line then
    return nil
  end
  local method, target, minor = line:match "^(%u+) (/%S*) HTTP/1%.([01])\r?$"
  local headers = method and read_headers(con)
  if not headers then
    return nil, 400
  elseif headers["transfer-encoding"] then
    return nil, 501
  end
  local length = tonumber((headers["content-length"] or "0"):match "^%d+$")
  if not length or length > largest_body then
    return nil, length and 413 or 400
  end
  local body = length > 0 and con:read(length) or ""
  if #body < length then
    return nil
  end
  local path, query = target:match "^([^?]*)%??(.*)$"
  local keep = (headers.connection or ""):lower()
  return {
    method = method,
    path = path,
    query = query,
    headers = headers,
    body = body,
    json = read_json,
    keep_alive = keep ~= "close" and (minor == "1" or keep == "keep-alive"),
  }
end

-- ---- answering ----

local answer = "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n"

local function write_response(con, status, body, keep_alive)
  local content_type = "text/plain; charset=utf-8"
  if type(body) == "table" then
    body, content_type = json.encode(body), "application/json"
  end
  body = body or (reasons[status] or "") .. "\n"
  con:write(
    answer:format(status, reasons[status] or "", content_type, #body, keep_alive and "keep-alive" or "close"),
    body
  )
  return con:flush()
end

-- ---- the server ----

local Server = {}
Server.__index = Server

local function log(message)
  io.stderr:write("httpd: ", tostring(message), "\n")
end

-- What a handler raises is answered with 500, and does not end the server.
local function call(self, req)
  local handler, missing = find(self.routes, req)
  if not handler then
    return missing
  end
  local ok, status, body = xpcall(handler, debug.traceback, req)
  if not ok then
    log(status)
    return 500
  end
  return status, body
end

local function serve_request(self, con)
  local req, status = read_request(con)
  if not req and not status then
    return false
  end
  self.active = self.active + 1
  local body
  if req then
    status, body = call(self, req)
  end
  self.served[status] = (self.served[status] or 0) + 1
  local keep_alive = req and req.keep_alive and not self.stopped
  local sent = write_response(con, status, body, keep_alive)
  self.active = self.active - 1
  self.changed:signal()
  return sent and keep_alive
end

local function serve_connection(self, con)
  con:setmode("b", "bf")
  con:settimeout(idle_timeout)
  con:onerror(function(_, _, code) -- a client that went away is no reason to raise
    return code
  end)
  while serve_request(self, con) do
  end
  con:close()
end

-- Listens on options.port (0: any free one) of options.host. server.port is the port, server.served counts
-- the answers by status.
function httpd.listen(options)
  local listener = assert(socket.listen(options.host or "127.0.0.1", options.port))
  assert(listener:listen())
  local _, _, port = listener:localname()
  return setmetatable({
    listener = listener,
    port = port,
    routes = compile(options.routes),
    served = {},
    active = 0,
    changed = condition.new(), -- of `active`, `listening` and `stopped`
  }, Server)
end

-- Serves each connection in a coroutine of its own.
function Server:run()
  self.listening = true
  while not self.stopped do
    local con = self.listener:accept(nil, 0)
    if con then
      cqueues.running():wrap(serve_connection, self, con)
    else
      cqueues.poll(self.listener, self.changed)
    end
  end
  self.listener:close()
  self.listening = false
  self.changed:signal()
end

-- Takes no more connections, and waits until the requests under way are answered.
function Server:stop()
  self.stopped = true
  self.changed:signal()
  while self.active > 0 or self.listening do
    self.changed:wait()
  end
end

return httpd
