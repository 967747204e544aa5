-- Rows one by one, for a generic for:
--
--   for row in assert(conn:rows("SELECT …")) do … end
--
-- What rows returns first is the stream itself, which can be kept and passed on: stream() is the next row.
-- In Lua 5.4 the loop ends the stream however it is left; elsewhere a loop that is left early is
-- followed by stream:close(). Until the stream has ended its connection can do nothing else. What
-- fails in the middle is raised: a loop has no place for a return value.

local core = require "mypool.core"
local names = require "mypool.names"
local run = require "mypool.run"
local scope = require "mypool.scope"
core.internal()

local fetch = core.fetch

local Stream = {}
local ROWS = {} -- the key of the rows at hand: no table of the program's has it
local none = {}
local metatable = { __index = Stream, __name = "mypool.rows", __metatable = false }

local function must_be_stream(self, what)
  if type(self) ~= "table" or getmetatable(self) ~= false or not rawget(self, ROWS) then
    core.raise_self(self, what, "mypool.rows", "rows")
  end
end

-- The rest costs the session where it cannot be waited for.
local function drain(conn, fd, ...)
  if fd and not scope.may_wait(conn) then
    return core.abandon(conn)
  end
  return run(conn, fd, ...)
end

-- A connection that was lent for the stream alone. What is raised here goes on.
local function give_back(conn, ok, message)
  if ok then
    ok, message = pcall(core.end_once, conn)
  end
  core.give_back(conn)
  return ok, message
end

-- `failed`: an error is on its way to the program.
local function close(self, failed)
  local conn = self.conn
  if not conn then
    return
  end
  local unread = #self[ROWS] - self.at
  self.conn, self[ROWS], self.at = false, none, 0
  local ok, message = true, nil
  if conn:is_held() then
    ok, message = pcall(drain, conn, core.drain(conn, unread))
  end
  if self.owns then
    ok, message = give_back(conn, ok and not failed, message)
  end
  if not ok and not failed then
    error(message, 0)
  end
end

-- stream:close(): ends it; a second time does nothing. A short rest is read, a long one costs the session.
function Stream:close()
  must_be_stream(self, "close")
  close(self, false)
end

-- The end of the loop calls this.
function metatable.__close(self, failure)
  must_be_stream(self, "close")
  close(self, failure ~= nil)
end

-- The rows that came last, or nothing after the last one.
local function fetch_more(self)
  local conn = self.conn
  if not conn then
    return nil
  end
  local rows, err = run(conn, fetch(conn))
  if rows then
    self[ROWS], self.at = rows, 1
    return rows[1]
  end
  close(self, err ~= nil)
  if err then
    error(err, 0)
  end
  return nil
end

-- stream(): the next row; nil after the last one, again and again. (Only of a stream can this be called.)
function metatable.__call(self)
  local at = self.at + 1
  local row = self[ROWS][at]
  if row then
    self.at = at
    return row
  end
  return fetch_more(self)
end

function metatable.__tostring(self)
  return self.conn and "mypool.rows" or "mypool.rows (ended)"
end

names.advise("mypool.rows", Stream, { ["stream()"] = "next, fetch" })

-- Returns what `for` needs: the stream, which is its own iterator, and what to close. `count`: of the columns; nil,
-- when the statement failed.
return function(conn, count, ...)
  if not count then
    return count, ...
  end
  local columns, column_types = ...
  local stream = setmetatable({
    conn = conn,
    owns = false,
    [ROWS] = none,
    at = 0,
    columns = columns,
    column_types = column_types,
  }, metatable)
  return stream, nil, nil, stream
end
