-- Other programs' statements, on servers whose sessions others stop by their numbers: each is a SLEEP or a CALL that
-- takes a moment, so that one which was stopped shows.
--
--     strangers.prepare(s)
--     local crowd = strangers.new(s:tcp_options { user = "limited" })
--     for _ = 1, 20 do controller:wrap(crowd.live, crowd, deadline) end
--     …
--     crowd.count       -- how many there were; crowd.stopped: how many of them were stopped
--
-- `strangers.texts` are what they send: with the same text nothing but number and server tell one from another. Half
-- of them keep their sessions, whose numbers are low, and half of them do not, whose numbers are everywhere.

local cqueues = require "cqueues"
local monotime = cqueues.monotime
local mypool = require "mypool"
local wait = require "mypool.wait.cqueues"

local strangers = {}
local crowd = {}
crowd.__index = crowd

strangers.texts = { "SELECT SLEEP(0.2)", "CALL a_moment()" }

function strangers.prepare(s)
  s:sql "CREATE PROCEDURE a_moment() SELECT SLEEP(0.2)"
end

function strangers.new(options)
  options.wait, options.max_size, options.query_timeout = wait, 1000, 60
  return setmetatable({ pool = mypool.new(options), count = 0, stopped = 0 }, crowd)
end

-- A sleep that was ended returns 1, or an error. Where the session has ended as well, the server was stopped.
local function was_stopped(conn, result, err)
  if result == 0 or err and err.kind ~= "server" then
    return false
  end
  return conn:ping() and true or false
end

-- Once; whether the session may be kept.
local function one_statement(self, conn)
  local result, err = conn:value(strangers.texts[math.random(#strangers.texts)])
  self.count = self.count + 1
  if was_stopped(conn, result, err) then
    self.stopped = self.stopped + 1
  end
  return result ~= nil
end

-- One statement after the other until the deadline; `restless`: each on a new session.
function crowd:live(deadline, restless)
  while monotime() < deadline do
    local conn = self.pool:checkout(1)
    while conn and one_statement(self, conn) and not restless and monotime() < deadline do -- luacheck: ignore
    end
    if conn then
      conn:discard()
    else
      cqueues.sleep(0.1)
    end
  end
end

return strangers
