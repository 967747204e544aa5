-- The load that a cluster is broken under, in a process of its own: sixteen coroutines on a pool of eight, until its
-- input ends. Half of what they do are INSERTs of two rows, a quarter transactions of two INSERTs, a quarter reads of
-- what the same coroutine wrote last.
--
--     require "spec.programs.load" { pool = { host = …, … }, table = "load", results = "file", pause = 0.01 }
--
-- With `reader` the reads are those of a reader of the pool, which knows by itself that they may be repeated. `pause`
-- are the seconds that a coroutine waits on average after each. A line of the file of results is: the number of the
-- operation, its kind, the seconds from the start of the load to its begin and to its end, how it ended (done, or what
-- `executed` says), and the error.

local core = require "mypool.core"
local cqueues = require "cqueues"
local mypool = require "mypool"

local COROUTINES = 16
local SIZE = 8

local insert = "INSERT INTO %s (op, part) VALUES (?, ?)"
local kinds = { "insert", "insert", "transaction", "read" }

local load = {}
load.__index = load

function load:insert(op)
  return self.pool:query(insert:format(self.table) .. ", (?, ?)", op, 1, op, 2)
end

function load:transaction(op)
  local one = insert:format(self.table)
  return self.pool:transaction(function(tx)
    for part = 1, 2 do
      local done, err = tx:query(one, op, part)
      if not done then
        return nil, err
      end
    end
    return true
  end)
end

function load:read(_, last)
  local sql = ("SELECT COUNT(*) FROM %s WHERE op = ?"):format(self.table)
  if self.reader then
    return self.reader:value(sql, last)
  end
  return self.pool:value({ sql, idempotent = true }, last)
end

local function one_line(text)
  return (tostring(text):gsub("%s+", " "))
end

-- A row that is not there yet is no error of the pool's: another node may be behind.
function load:run(kind, op, last)
  local begun = cqueues.monotime()
  local value, err = self[kind](self, op, last)
  local outcome = value and (kind == "read" and value ~= 2 and "stale" or "done") or err.executed or "none"
  self.lines[#self.lines + 1] = ("%d %s %.4f %.4f %s %s"):format(
    op,
    kind,
    begun - self.begun,
    cqueues.monotime() - self.begun,
    outcome,
    value and "" or one_line(err.kind .. " " .. tostring(err))
  )
  return value ~= nil
end

-- Numbers of operations are this coroutine's alone.
function load:work(number)
  local op, last = number * 1000000, nil
  while not self.ended do
    op = op + 1
    local kind = last and kinds[math.random(#kinds)] or "insert"
    if self:run(kind, op, last) and kind ~= "read" then
      last = op
    end
    cqueues.sleep(math.random() * 2 * self.pause)
  end
end

function load:watch_input()
  while not core.poll(0, 0) do
    cqueues.sleep(0.02)
  end
  self.ended = true
end

function load:write_results()
  local file <close> = assert(io.open(self.results, "w"))
  file:write(table.concat(self.lines, "\n"), "\n")
end

return function(arguments)
  arguments.pool.wait = require "mypool.wait.cqueues"
  arguments.pool.max_size = SIZE
  local self = setmetatable(arguments, load)
  self.pool = mypool.new(arguments.pool)
  self.reader = arguments.reader and self.pool:reader()
  self.lines, self.begun = {}, cqueues.monotime()
  local controller = cqueues.new()
  for number = 1, COROUTINES do
    controller:wrap(function()
      self:work(number)
    end)
  end
  controller:wrap(function()
    self:watch_input()
  end)
  assert(controller:loop())
  self:write_results()
  self.pool:close()
end
