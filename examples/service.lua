-- A web service that keeps notes. Beside them it has what its operator needs: whether it is alive and ready, its
-- numbers for Prometheus, and an end on SIGTERM that loses no request.
--
--   DATABASE_URL=mariadb://app:secret@db/notes lua5.4 examples/service.lua 8080
--
--   GET  /notes           the newest twenty            GET /alive     the program runs
--   POST /notes           {"id": "…", "text": "…"}     GET /ready     the database answers, too
--   GET  /status          who has connections          GET /metrics   numbers of the pool
--
-- A restart of the database is waited out: requests take longer, and none fails. The id is the client's, so that a
-- note that is sent twice is one note.
--
-- Needs cqueues and cjson (Debian: lua-cqueues, lua-cjson).

local cqueues = require "cqueues"
local httpd = require "examples.handlers.httpd"
local mypool = require "mypool"
local signal = require "cqueues.signal"

local schema = [[CREATE TABLE IF NOT EXISTS notes (
  n BIGINT AUTO_INCREMENT PRIMARY KEY, id VARCHAR(40) NOT NULL UNIQUE, text TEXT NOT NULL)]]

local pool = mypool.new(os.getenv "DATABASE_URL", {
  name = "notes",
  max_size = 8,
  checkout_timeout = 20, -- how long a request may wait for a database that restarts
  query_timeout = 5,
  wait = require "mypool.wait.cqueues",
})

-- ---- answers ----

-- What the database could not do is the client's to try again, or ours to look at.
local function failure(err)
  io.stderr:write("service: ", tostring(err), "\n")
  return err.executed == "no" and 503 or 500
end

-- Which of the pool's numbers may fall; all others only grow.
local gauges = {}
for name in ("max_size size idle lent opening recovering waiting"):gmatch "%S+" do
  gauges[name] = "gauge"
end

local function metrics()
  local lines = {}
  for name, value in pairs(pool:stats()) do
    if type(value) == "number" then
      local unit, kind = math.type(value) == "float" and "_seconds" or "", gauges[name] or "counter"
      local full = "mypool_" .. name .. unit .. (kind == "counter" and "_total" or "")
      lines[#lines + 1] = ("# TYPE %s %s\n%s %s\n"):format(full, kind, full, value)
    end
  end
  table.sort(lines)
  return table.concat(lines)
end

-- Both statements may run twice without harm, so they are marked: mypool then sends them again when the connection
-- is lost before the answer.
local routes = {
  ["GET /notes"] = function()
    local notes, err = pool:query { "SELECT id, text FROM notes ORDER BY n DESC LIMIT 20", idempotent = true }
    if not notes then
      return failure(err)
    end
    return 200, { notes = notes }
  end,

  ["POST /notes"] = function(req)
    local note = req:json()
    if type(note.id) ~= "string" or type(note.text) ~= "string" then
      return 400, { error = "a note has an id and a text" }
    end
    local insert = { "INSERT IGNORE INTO notes (id, text) VALUES (?, ?)", idempotent = true }
    local done, err = pool:query(insert, note.id, note.text)
    if not done then
      return failure(err)
    end
    return 201
  end,

  ["GET /alive"] = function()
    return 200, "alive\n"
  end,

  ["GET /ready"] = function()
    return pool:ping() and 200 or 503
  end,

  ["GET /status"] = function()
    return 200, pool:describe() .. "\n"
  end,

  ["GET /metrics"] = function()
    return 200, metrics()
  end,
}

-- ---- beginning and end ----

local function serve()
  assert(pool:query(schema))
  local server = httpd.listen { port = math.tointeger(arg[1]) or 8080, routes = routes }
  print(("listening on port %d"):format(server.port))
  io.stdout:flush()
  cqueues.running():wrap(function()
    server:run()
  end)
  signal.listen(signal.SIGTERM, signal.SIGINT):wait()
  server:stop() -- requests under way are answered
  pool:close(5)
  print "stopped"
end

signal.block(signal.SIGTERM, signal.SIGINT)
local loop = cqueues.new()
loop:wrap(serve)
assert(loop:loop())
