-- The reset that is sent together with the last statement, under faults: whatever is cut, damaged, refused or killed,
-- no caller is told anything wrong, and the next loan is clean.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local eventually = require "spec.support.eventually"
local fixture = require "spec.support.fixture"
local haproxy = require "spec.servers.haproxy"
local plain = require "spec.plain"
local pools = require "spec.support.pools"
local process = require "spec.process"
local scripted_server = require "spec.servers.scripted_server"
local tls = require "spec.servers.tls"

local thorough = os.getenv "MYPOOL_THOROUGH"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local s = fixture.server { tls = true }
local r = fixture.relay(s)
local observer

setup(function()
  observer = assert(plain.connect { socket = s.socket, user = "root", database = "app" })
  for _, statement in ipairs {
    "CREATE TABLE ledger (id INT) ENGINE = InnoDB",
    "CREATE FUNCTION marked(n INT) RETURNS INT BEGIN SET @mark = n; RETURN n; END",
  } do
    assert(observer:query(statement))
  end
end)

teardown(function()
  observer:close()
end)

after_each(function()
  pools.close()
  r:reset()
end)

local function new(more)
  local options = s:tcp_options { port = r.port, max_size = 1, checkout_timeout = 5 }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return pools.new(options)
end

local function rows_of(id)
  return math.tointeger(tonumber(observer:value("SELECT COUNT(*) FROM ledger WHERE id = " .. id)))
end

local last_id = 0

local function next_id()
  last_id = last_id + 1
  return last_id
end

-- Each leaves a row of its own and a mark in its session; it returns a result, or nil and an error.
local calls = {
  query = function(pool, id)
    return pool:query("INSERT INTO ledger VALUES (marked(?))", id)
  end,
  transaction = function(pool, id)
    return pool:transaction({ retries = 0 }, function(tx)
      return tx:query("INSERT INTO ledger VALUES (marked(?))", id)
    end)
  end,
  execute_many = function(pool, id)
    return pool:execute_many("INSERT INTO ledger VALUES (marked(?))", { { id } })
  end,
}

-- The ledger agrees with what the caller was told, and the next loan with what it asks for.
local function check(pool, id, ok, err, what)
  local told = ok and "yes" or err.executed
  local bounds = { yes = { 1, 1 }, no = { 0, 0 }, unknown = { 0, 1 } }
  local rows = rows_of(id)
  assert.is_true(rows >= bounds[told][1] and rows <= bounds[told][2], what .. ": " .. told .. ", rows: " .. rows)
  local row, failure = pool:one("SELECT @mark AS mark, marked(?) AS own", id)
  assert.is_table(row, what .. ": " .. tostring(failure))
  assert.same({ nil, id }, { row.mark, row.own }, what)
end

-- So many bytes are exchanged from now on, until the reset has been answered.
local function exchanged(call, pool)
  local before = r:last()
  assert(call(pool, next_id()))
  pool:checkout():release()
  local after = r:last()
  return { up = after.up - before.up, down = after.down - before.down }
end

local function ready(more)
  local pool = new(more)
  assert(pool:checkout()):release()
  return pool
end

describe("a connection that is cut after any byte, behind", function()
  for name, call in pairs(calls) do
    it("#slow " .. name .. ", costs no more than itself", function()
      local lengths = exchanged(call, ready())
      local unknown, faults = 0, 0
      for _, way in ipairs { "up", "down" } do
        for _, how in ipairs { "fin", "rst" } do
          for at = 0, lengths[way] - 1, thorough and 1 or 23 do
            local pool = ready()
            r:cut_here(way, at, how)
            local id = next_id()
            local ok, err = call(pool, id)
            unknown = unknown + (not ok and err.executed == "unknown" and 1 or 0)
            check(pool, id, ok, err, ("%s %s %d"):format(way, how, at))
            faults = faults + (pool:stats().opened > 1 and 1 or 0)
            pools.close()
          end
        end
      end
      assert.is_true(unknown > 0 and faults > 0)
    end)
  end
end)

-- Where the packets of a reset begin in what was heard: at the header of the first.
local function packets_of(bytes)
  local found, at = {}, assert(bytes:find("\1\0\0\0\31", 1, true))
  while at < #bytes do
    local length = ("<I3"):unpack(bytes, at)
    found[#found + 1] = at - 1
    at = at + 4 + length
  end
  return found
end

describe("a command of the reset that the server refuses", function()
  local statements = {
    ["a good reply"] = { "SELECT marked(7)", true },
    ["an error"] = { "SELECT marked(7) FROM nothing", false },
    ["an error in the middle of rows"] = {
      "SELECT marked(7), IF(seq = 9, (SELECT 1 UNION SELECT 2), 1) FROM seq_1_to_10",
      false,
    },
  }

  for name, case in pairs(statements) do
    it("behind " .. name .. " costs the session, and nothing else", function()
      local text, good = table.unpack(case)
      local options = { init_sql = "SET @base = 1" }
      local pool = ready(options)
      r:record()
      pool:query(text)
      assert(pool:checkout()):release()
      local places = packets_of(r:heard())
      assert.is_true(#places >= 5)
      for _, place in ipairs(places) do
        pool = ready(options)
        local id = pool:value "SELECT CONNECTION_ID()"
        assert(pool:checkout()):release()
        r:corrupt_here("up", place + 4, 0x7e)
        local result, err = pool:query(text)
        assert.equal(good, result ~= nil)
        assert.is_true(good or err.kind == "server" and err.executed == "no" and not err.fatal)
        assert.is_nil((pool:value "SELECT @mark"))
        assert.not_equal(id, pool:value "SELECT CONNECTION_ID()")
        assert.equal(1, pool:stats().resets_failed)
        pools.close()
      end
    end)
  end
end)

it("whatever byte of the replies is damaged, the next loan is clean, and is told the truth", function()
  local pool = ready()
  local before = r:last().down
  assert.equal(7, pool:value "SELECT marked(7)")
  pool:checkout():release()
  local length = r:last().down - before
  for at = 0, length - 1, thorough and 1 or 17 do
    for _, byte in ipairs(thorough and { 0x00, 0xff, 0xfe, 0x0a } or { 0x00, 0xff }) do
      pool = ready { query_timeout = 0.3, connect_timeout = 0.3 }
      r:corrupt_here("down", at, byte)
      pool:value "SELECT marked(7)" -- whatever it returns: that is for spec/faults/damaged_packets_spec.lua
      local id = next_id()
      local ok, err = calls.query(pool, id)
      check(pool, id, ok, err, ("byte %d is %d"):format(at, byte))
      pools.close()
    end
  end
end)

it("a reply too many is noticed, wherever it comes", function()
  for _, excess in ipairs(thorough and { 3, 4, 5, 7, 8, 9, 11, 13, 17, 23 } or { 4, 7, 11 }) do
    local scripted = scripted_server.start { excess = excess }
    local pool = pools.new(scripted:options { max_size = 1, query_timeout = 0.1, connect_timeout = 0.1 })
    for i = 1, 8 do
      local conn = pool:checkout()
      if conn then
        conn:query("SET @mine = " .. i)
        conn:release()
      end
      local mine, err = pool:value "SELECT @mine"
      assert.is_true(mine == nil, tostring(mine or err))
    end
    pools.close()
    scripted:stop()
  end
end)

it("behind a proxy it goes together as well", function()
  local balancer = haproxy.start { "127.0.0.1:" .. s.port }
  local pool = pools.new(s:tcp_options { port = balancer.port, max_size = 1 })
  for _ = 1, 50 do
    local id = next_id()
    local ok, err = calls.query(pool, id)
    check(pool, id, ok, err, "haproxy")
  end
  assert.same({ 1, 0 }, { pool:stats().opened, pool:stats().resets_failed })
  assert.is_true(pool:stats().resets_together >= 100)
  balancer:stop()
end)

it("a fork between the replies harms neither process", function()
  for _, options in ipairs { {}, { socket = s.socket }, { tls = { ca = tls.ca } } } do
    if options.socket then
      options = s:options { max_size = 1 }
    else
      options = s:tcp_options { port = r.port, max_size = 1, tls = options.tls }
    end
    local pool = pools.new(options)
    local id = pool:value "SELECT CONNECTION_ID()"
    assert.equal(1, pool:value "SELECT marked(1)")
    local child = process.fork()
    if child == 0 then
      local own = pool:value "SELECT CONNECTION_ID()"
      os.exit(own and own ~= id and pool:value "SELECT @mark" == nil and 0 or 1)
    end
    assert.same({ "exit", 0 }, { process.wait(child) })
    assert.equal(id, pool:value "SELECT CONNECTION_ID()")
    assert.is_nil((pool:value "SELECT @mark"))
  end
end)

-- ---- all at once ----

local function random_call(pool, counts)
  local id = next_id()
  local kind = math.random(4)
  local timeout = math.random(3) == 1 and 10 ^ (-1 - 4 * math.random()) or 5
  if kind == 1 then
    local row, err = pool:one({ "SELECT @mark AS mark, marked(?) AS own", timeout = timeout }, id)
    if row then
      assert(row.mark == nil and row.own == id, "not one's own answer, or not clean")
      counts.good = counts.good + 1
    else
      counts[err.kind] = (counts[err.kind] or 0) + 1
    end
    return
  end
  local ok, err
  if kind == 2 then
    ok, err = pool:query({ "INSERT INTO ledger VALUES (marked(?))", timeout = timeout }, id)
  elseif kind == 3 then
    ok, err = pool:transaction(function(tx)
      return tx:query({ "INSERT INTO ledger VALUES (marked(?))", timeout = timeout }, id)
    end)
  else
    ok, err = pool:query({ "SELECT marked(?), REPEAT('x', 3000), SLEEP(0) FROM seq_1_to_200", timeout = timeout }, id)
  end
  counts.good = counts.good + (ok and 1 or 0)
  if kind ~= 4 then
    counts.told[id] = ok and "yes" or err.executed
  end
end

local function kill_one(queries)
  local sessions = observer:query "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'"
  local session = sessions and #sessions > 0 and sessions[math.random(#sessions)]
  if session then
    observer:query((queries and "KILL QUERY " or "KILL ") .. (session.ID or session[1]))
  end
end

-- Each as it is, and another.
local globals = {
  "max_error_count = 64",
  "max_error_count = 65",
  "group_concat_max_len = 1048576",
  "group_concat_max_len = 1024",
  "sql_mode = DEFAULT",
  "sql_mode = 'NO_BACKSLASH_ESCAPES'",
}

it("64 coroutines on 4 sessions, among kills and limits of microseconds, find no trace of each other", function()
  local loop = cqueues.new()
  local pool = new { max_size = 4, wait = require "mypool.wait.cqueues", checkout_timeout = 30 }
  local counts = { good = 0, told = {} }
  local finished = 0
  local each = thorough and 400 or 12
  r:delay(0.5)
  for _ = 1, 64 do
    loop:wrap(function()
      for _ = 1, each do
        random_call(pool, counts)
      end
      finished = finished + 1
    end)
  end
  loop:wrap(function()
    while finished < 64 do
      cqueues.sleep(0.01)
      local what = math.random(6)
      if what == 1 then
        kill_one(false)
      elseif what <= 4 then
        kill_one(true)
      else
        observer:query("SET GLOBAL " .. globals[math.random(#globals)])
      end
    end
  end)
  assert(loop:loop())
  assert.equal(64, finished)
  r:delay(0)
  local stats = pool:stats()
  assert.is_true(stats.resets_together > counts.good / 2)
  assert.is_true(counts.good > 64 * each / 4)
  loop:wrap(function()
    eventually(function()
      return pool:stats().recovering == 0 or pool:value "SELECT 1" and false
    end, cqueues.sleep)
  end)
  assert(loop:loop())
  for id, told in pairs(counts.told) do
    local rows = rows_of(id)
    assert.is_true(rows <= 1, "twice: " .. id)
    assert.is_true(told ~= "yes" or rows == 1, "lost: " .. id)
    assert.is_true(told ~= "no" or rows == 0, "a false no: " .. id)
  end
end)
