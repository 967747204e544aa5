-- Programs that end in the middle of anything, under the hands of helper threads.

local fixture = require "spec.support.fixture"
local program = require "spec.support.program"
local tls = require "spec.servers.tls"

local runs = os.getenv "MYPOOL_THOROUGH" and 500 or 40
local at_a_time = 4

local s = fixture.server { tls = true, options = { "--max-connections=500" } }

-- What the coroutines do, and what the program does meanwhile, after so many seconds.
local text = [[
  local cqueues, mypool = require "cqueues", require "mypool"
  package.cpath = "./build/spec/?.so;" .. package.cpath
  local process = package.loadlib("./build/spec/process.so", "luaopen_spec_process")()
  local options = { host = %q, port = %d, user = "app", password = "secret", tls = { ca = %q },
    wait = require "mypool.wait.cqueues", query_timeout = 0.02 }
  local pools = { mypool.new(options), mypool.new(options), mypool.new(options) }
  local cq = cqueues.new()
  local function run_for(seconds)
    local till = cqueues.monotime() + seconds
    while cqueues.monotime() < till do
      cq:step(till - cqueues.monotime())
    end
  end
  for _, pool in ipairs(pools) do
    cq:wrap(function() pool:ping() end)
    cq:wrap(function() pool:query "SELECT SLEEP(1)" end) -- is stopped through a second connection
    cq:wrap(function()
      pool:transaction(function(tx)
        tx:query "DO SLEEP(0.01)"
        cqueues.sleep(0.01)
      end)
    end)
  end
  local function go() run_for(%f) end
  %s]]

-- By their exit status.
local endings = {
  { "go() os.exit(0)", 0 },
  { "go() os.exit(0, true)", 0 },
  { "go() coroutine.wrap(function() os.exit(3) end)()", 3 },
  { "cq:wrap(function() cqueues.sleep(0.005) os.exit(0) end) go() go() os.exit(0)", 0 },
  { "go() error 'on purpose'", 1 },
  { "go()", 0 },
}

-- AddressSanitizer's own allocator does not know of forks (GCC 12): a thread of the parent that was just ending leaves
-- it locked in the child for ever, although mypool is done with that thread.
if program.sanitized == "" then
  endings[#endings + 1] = {
    [[go()
    local child = process.fork()
    if child == 0 then
      local pool = mypool.new(options)
      cq = cqueues.new()
      cq:wrap(function() pool:ping() end)
      go()
      os.exit(0)
    end
    local how, status = process.wait(child)
    os.exit(how == "exit" and status == 0 and 0 or 100)]],
    0,
  }
end

local function start(number)
  local ending = endings[number % #endings + 1]
  local seconds = (number * 7 % 40) / 1000
  local wait = program.start(text:format(s.host, s.port, tls.ca, seconds, ending[1]), nil, nil, 30)
  return function()
    local printed, _, status = wait()
    assert.equal(ending[2], status, ("run %d: %s\n%s"):format(number, ending[1], printed))
  end
end

describe("a program that uses TLS under a scheduler", function()
  it("may end in the middle of connects, statements and transactions", function()
    local running = {}
    for number = 1, runs do
      running[#running + 1] = start(number)
      if #running == at_a_time or number == runs then
        for _, finish in ipairs(running) do
          finish()
        end
        running = {}
      end
    end
    s:await_empty()
  end)
end)
