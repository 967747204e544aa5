-- A contender's program, which lives as long as the benchmark so that rounds can interleave:
--
--   local child = child.start("build/bench/c /tmp/sock …")    -- nil and why it cannot run
--   child:ask("loan 1000 0 0 reset")                           -- the numbers of its answer
--
-- The program prints "ready" and its versions, then answers each line "TASK COUNT …" with a line
-- "WALL_NS CPU_NS CHECKSUM [P50_NS P99_NS P999_NS]", or "error" and what was wrong. "quit" ends it.

local child = {}
child.__index = child

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  return text
end

-- Ten thousand coroutines may wait on as many descriptors.
local start = "exec <%s; echo $$; ulimit -n $(ulimit -H -n); exec %s 2>&1"

-- io.popen gives one direction only; the other is a fifo, which is gone as soon as both have opened it.
function child.start(command)
  local folder = output("mktemp -d"):match "^[^\n]+"
  local fifo = folder .. "/questions"
  os.execute("mkfifo " .. fifo)
  local answers = assert(io.popen(start:format(fifo, command)))
  local questions = assert(io.open(fifo, "w"))
  os.execute("rm -r " .. folder)
  local pid = math.tointeger(tonumber(answers:read()))
  local self = setmetatable({ answers = answers, questions = questions, pid = pid, command = command }, child)
  local line = self.answers:read() or "it printed nothing"
  local versions = line:match "^ready (.*)"
  if not versions then
    self.ended = true
    self:stop()
    return nil, line
  end
  self.versions = versions
  return self
end

function child:ask(question)
  self.questions:write(question, "\n")
  self.questions:flush()
  local answer = self.answers:read()
  self.ended = not answer
  local wall, cpu, sum, rest = (answer or ""):match "^(%d+) (%d+) (%-?%d+)(.*)"
  if not wall then
    error(("%s\n  asked: %s\n  answered: %s"):format(self.command, question, answer or "nothing, it ended"), 0)
  end
  local p50, p99, p999 = rest:match "^ (%d+) (%d+) (%d+)"
  return {
    wall = tonumber(wall), client = tonumber(cpu), sum = sum,
    p50 = tonumber(p50), p99 = tonumber(p99), p999 = tonumber(p999),
  }
end

-- It is told to end: programs that were started later have inherited its fifo, so it would see no end of it.
function child:stop()
  if self.ended then
    os.execute(("kill %d 2>/dev/null"):format(self.pid)) -- whatever else it may be doing
  else
    self.questions:write "quit\n"
  end
  self.questions:close()
  self.answers:close()
end

child.__close = child.stop

return child
