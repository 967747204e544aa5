-- The programs of examples/ do what they say, each in a process of its own; a service and workers while the server
-- restarts.

local cqueues = require "cqueues"
local fixture = require "spec.support.fixture"
local program = require "spec.support.program"
local quote = require "spec.support.quote"
local sleep = require "spec.support.sleep"
local socket = require "cqueues.socket"

local s = fixture.server()

-- The command that runs a program for at most 300 seconds, with its two outputs as one. `before` runs it in turn. What
-- is preloaded under sanitizers stands right before the program: what is run with it does not pass it on.
local function command(words, before)
  return ("timeout --kill-after=10 300 %s env %s DATABASE_URL=%s LUA_PATH=%s LUA_CPATH=%s %s 2>&1"):format(
    before or "",
    program.sanitized,
    quote(s:dsn()),
    quote(package.path),
    quote(package.cpath),
    words
  )
end

-- What it printed, and its status.
local function run(words)
  local pipe = assert(io.popen(command(words)))
  local printed = pipe:read "a"
  local _, _, status = pipe:close()
  return printed, status
end

local function example(name)
  return "${LUA:-lua5.4} -W examples/" .. name
end

local function count(sql)
  return tonumber(s:sql(sql)[1])
end

-- Waits until the number is right; workers on a loaded machine take their time.
local function await(sql, is_right)
  for _ = 1, 1200 do
    if is_right(count(sql)) then
      return
    end
    sleep(0.1)
  end
  error("waited in vain: " .. sql, 2)
end

describe("the importer", function()
  local path = os.tmpname()

  teardown(function()
    os.remove(path)
    os.remove(path .. ".rejects")
  end)

  local function write(lines)
    local file <close> = assert(io.open(path, "w"))
    file:write("sku,name,price,stock\n", table.concat(lines, "\n"), "\n")
  end

  local function read(name)
    local file <close> = assert(io.open(name))
    return file:read "a"
  end

  it("imports all rows but those that are rejected, and says which and why", function()
    local lines = {}
    for i = 1, 3500 do
      lines[i] = ('s%d,"tea, no. %d",%d.50,%d'):format(i, i, i % 100, i)
    end
    lines[7] = "s7,tea,cheap,1"
    lines[1200] = "s1200,tea,1.50,-1"
    lines[1300] = 's1300,"a ""name"" of\ntwo lines",1.50,3'
    lines[3499] = "s3499,tea"
    write(lines)
    for _ = 1, 2 do
      local printed, status = run(example "importer.lua " .. quote(path))
      assert.equal(0, status, printed)
      assert.truthy(printed:find("3497 rows imported, 3 rejected\n$"), printed)
      assert.truthy(printed:find("^999 rows imported, 1 rejected\n"), printed) -- progress
      assert.equal(3497, count "SELECT COUNT(*) FROM products")
    end
    assert.same({ "a \"name\" of\\ntwo lines" }, s:sql "SELECT name FROM products WHERE sku = 's1300'")
    assert.same({ "tea, no. 3500\t0.50\t3500" }, s:sql "SELECT name, price, stock FROM products WHERE sku = 's3500'")
    local rejects = read(path .. ".rejects")
    assert.truthy(rejects:find("line 8: Incorrect decimal value: '<parameter>'", 1, true), rejects)
    assert.truthy(rejects:find("line 1201: Out of range value for column 'stock'", 1, true), rejects)
    assert.truthy(rejects:find("line 3501: 4 fields expected", 1, true), rejects)
    assert.truthy(rejects:find("  s3499,tea\n", 1, true), rejects)
  end)
end)

describe("the report", function()
  it("sums up five million rows in little memory #slow", function()
    s:sql [[CREATE VIEW sales AS SELECT ELT(seq % 3 + 1, 'north', 'south', 'west') AS region, seq % 1000 AS cents
      FROM seq_1_to_5000000]]
    local printed, status = run(example "report.lua")
    assert.equal(0, status, printed)
    local number, sum, median = printed:match "south +(%d+) +([%d.]+) +([%d.]+)"
    assert.same({ "1666667", "8325000.00", "4.99" }, { number, sum, median })
    assert.is_true(tonumber(printed:match "([%d.]+) MB") < 5, printed)
  end)
end)

describe("the suite", function()
  it("passes, and leaves nothing behind", function()
    local printed, status = run '${LUA:-lua5.4} "$(command -v busted)" --ignore-lua examples/suite'
    assert.equal(0, status, printed)
    assert.truthy(printed:find("2 successes / 0 failures / 0 errors", 1, true), printed)
    assert.equal(0, count "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME IN ('stock', 'orders')")
  end)
end)

-- ---- programs that run until they are told to end ----

-- A running example: lines() as they come, and stop(), which returns what it printed last, and its status.
local function start(words)
  local pid_path = os.tmpname()
  local pipe = assert(io.popen(command(words, ([[sh -c 'echo $$ >"$0"; exec "$@"' %s]]):format(pid_path))))
  local running = { pipe = pipe }
  function running.stop()
    local file <close> = assert(io.open(pid_path))
    os.execute("kill " .. file:read "n")
    os.remove(pid_path)
    local printed = pipe:read "a"
    local _, _, status = pipe:close()
    return printed, status
  end
  return running
end

describe("the service", function()
  -- The status and the body of the answer.
  local function ask(port, method, path, body)
    local con = assert(socket.connect("127.0.0.1", port))
    con:setmode("b", "bf")
    body = body or ""
    con:write(("%s %s HTTP/1.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(method, path, #body, body))
    con:flush()
    local answer = con:read "*a" or ""
    con:close()
    return tonumber(answer:match "^HTTP/1.1 (%d+)"), answer:match "\r\n\r\n(.*)$"
  end

  it("answers every request while the server restarts, shows its numbers, and ends when it is told to", function()
    local service = start(example "service.lua 0")
    local port = assert(tonumber(service.pipe:read "l":match "port (%d+)"))
    local sent, restarted, loop = 0, false, cqueues.new()
    local statuses = {}
    local function note(status)
      statuses[status] = (statuses[status] or 0) + 1
    end
    for client = 1, 4 do
      loop:wrap(function()
        local i = 0
        while not restarted or i < 20 do
          i = i + 1
          sent = sent + 1
          note(ask(port, "POST", "/notes", ('{"id": "%d-%d", "text": "tea"}'):format(client, i)))
          note(ask(port, "GET", "/notes"))
        end
      end)
    end
    loop:wrap(function()
      repeat
        cqueues.sleep(0.01)
      until sent > 20
      s:kill()
      assert(not pcall(s.sql, s, "DO 1"))
      s:resume()
      restarted = true
    end)
    assert(loop:loop())
    assert.same({ [200] = sent, [201] = sent }, statuses)
    assert.equal(sent, count "SELECT COUNT(*) FROM notes")
    local status, metrics, page
    assert(cqueues.new()
      :wrap(function()
        assert.same({ 200, "alive\n" }, { ask(port, "GET", "/alive") })
        assert.equal(200, (ask(port, "GET", "/ready")))
        assert.equal(400, (ask(port, "POST", "/notes", "{}")))
        page = select(2, ask(port, "GET", "/status"))
        status, metrics = ask(port, "GET", "/metrics")
      end)
      :loop())
    assert.equal(200, status)
    assert.truthy(metrics:find("\n# TYPE mypool_checkouts_total counter\nmypool_checkouts_total %d+\n"), metrics)
    assert.truthy(metrics:find("\n# TYPE mypool_lent gauge\nmypool_lent 0\n", 1, true), metrics)
    assert.truthy(metrics:find "\nmypool_lent_time_seconds_total %d", metrics)
    assert.truthy(page:find "^pool 'notes': %d of 8 connections %(0 lent, ", page)
    local printed, ended = service.stop()
    assert.equal(0, ended, printed)
    assert.truthy(printed:find "stopped\n$", printed)
  end)
end)

describe("the worker", function()
  it("does each job once, beside others, through a restart of the server, and gives up what fails", function()
    run(example "worker.lua drain") -- makes the tables
    s:sql "INSERT INTO balances VALUES (1, 0), (2, 0)"
    s:sql "INSERT INTO jobs (account, amount) SELECT seq % 2 + 1, 1 FROM seq_1_to_600"
    s:sql "INSERT INTO jobs (account, amount) VALUES (3, 1), (4, 1)"
    local workers = { start(example "worker.lua"), start(example "worker.lua") }
    await("SELECT SUM(amount) FROM balances", function(done)
      return done > 50
    end)
    s:kill()
    s:resume()
    await("SELECT COUNT(*) FROM jobs WHERE state = 'ready'", function(left)
      return left == 0
    end)
    for _, worker in ipairs(workers) do
      local printed, status = worker.stop()
      assert.equal(0, status, printed)
    end
    assert.same({ "1\t300", "2\t300" }, s:sql "SELECT account, amount FROM balances ORDER BY account")
    assert.same(
      { "3\tfailed\t3\tthere is no account 3", "4\tfailed\t3\tthere is no account 4" },
      s:sql "SELECT account, state, attempts, error FROM jobs WHERE state <> 'done' ORDER BY account"
    )
  end)
end)
