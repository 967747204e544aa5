-- The shop of examples/handlers in nginx: its routes, found by method and path, and answers in JSON.

local cjson = require "cjson"
local nginx = require "mypool.wait.nginx"
local pool = require "examples.openresty.db"

local ngx = ngx -- luacheck: ignore

local app = {}

-- Of "GET /products/:id": { method =, pattern =, names =, handler = }.
local function compile(routes)
  local compiled = {}
  for route, handler in pairs(routes) do
    local method, path = route:match "^(%u+) (.+)$"
    local names = {}
    local pattern = path:gsub(":(%w+)", function(name)
      names[#names + 1] = name
      return "([^/]+)"
    end)
    compiled[#compiled + 1] = { method = method, pattern = "^" .. pattern .. "$", names = names, handler = handler }
  end
  return compiled
end

local routes = compile(require "examples.handlers.shop"(pool))

local function find(method, path)
  for _, route in ipairs(routes) do
    local found = { path:match(route.pattern) }
    if route.method == method and found[1] then
      local params = {}
      for i, name in ipairs(route.names) do
        params[name] = found[i]
      end
      return route.handler, params
    end
  end
end

-- An empty table where the body is no JSON object: what is looked for in it is missing.
local function json()
  ngx.req.read_body()
  local ok, body = pcall(cjson.decode, ngx.req.get_body_data() or "")
  return ok and type(body) == "table" and body or {}
end

function app.serve()
  local handler, params = find(ngx.req.get_method(), ngx.var.uri)
  if not handler then
    return ngx.exit(404)
  end
  local status, body = handler { params = params, json = json }
  ngx.status = status
  ngx.ctx.unknown = status == 500 and body.error:find "^unknown" ~= nil
  ngx.header.content_type = "application/json"
  ngx.say(body and cjson.encode(body) or "{}")
end

-- In log_by_lua: gives back what the request still holds, and counts its answer.
function app.log()
  nginx.finish()
  ngx.shared.served:incr(ngx.ctx.unknown and "unknown" or tostring(ngx.status), 1, 0)
end

-- Answers by status, and the statistics of this worker's pool.
function app.counts()
  local counts = {}
  for _, name in ipairs(ngx.shared.served:get_keys()) do
    counts[name] = ngx.shared.served:get(name)
  end
  return { served = counts, stats = pool:stats() }
end

return app
