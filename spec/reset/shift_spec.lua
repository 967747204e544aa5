-- A stream of replies that is shifted, by a proxy that adds one of its own: whatever is read then answers another
-- statement. The reset finds it, and so does the look before a statement: nobody is given such a session.

local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"
local scripted_server = require "spec.servers.scripted_server"
local tls = require "spec.servers.tls"

local s, socket

setup(function()
  tls.server_options()
  socket = os.tmpname()
end)

teardown(function()
  os.remove(socket)
end)

after_each(function()
  pools.close()
  s:stop()
end)

local transports = {
  socket = function(options)
    options.host, options.port, options.socket = nil, nil, socket
    return options
  end,
  tcp = function(options)
    return options
  end,
  tls = function(options)
    options.host, options.tls = "127.1", { ca = tls.ca }
    return options
  end,
}

-- What a pool may have in its baseline.
local baselines = {
  nothing = {},
  init_sql = { init_sql = { "SET @base = 1", "SET time_zone = '+01:00'" } },
  on_connect = {
    on_connect = function(conn)
      return conn:query "SET @base = 1"
    end,
  },
}

-- A loan that asks what it knows. Returns how many answers it got; raises for a wrong one.
local function borrow(pool, i)
  local conn = pool:checkout()
  if not conn then
    return 0
  end
  local before, err = conn:value "SELECT @mine"
  if before ~= nil then
    error("found what an earlier loan left: " .. before)
  end
  local answers = err and 0 or 1
  if conn:query("SET @mine = " .. i) then
    local mine, failed = conn:value "SELECT @mine"
    if not failed then
      assert.equal(tostring(i), mine)
      answers = answers + 1
    end
  end
  conn:release()
  return answers
end

local function start(script)
  os.remove(socket)
  script.socket = socket
  script.tls = { cert = tls.file "server", key = tls.file "server-key" }
  return scripted_server.start(script)
end

-- Behind each so-manieth reply an OK is added. No loan has so many, and the number is none of theirs: so each
-- place has its turn.
local function assert_right(transport, baseline, excess, loans, late)
  s = start { excess = excess, late = late }
  local options = transports[transport](s:options { max_size = 1, connect_timeout = 0.5, checkout_timeout = 0.5 })
  for option, value in pairs(baselines[baseline]) do
    options[option] = value
  end
  local pool = pools.new(options)
  local answers = 0
  for i = 1, loans do
    answers = answers + borrow(pool, i)
  end
  assert.is_true(answers > loans, ("%d answers to %d loans"):format(answers, loans))
  local stats = pool:stats()
  assert.is_true(stats.closed > 0 and stats.closed < loans, stats.closed)
  pool:close()
  s:stop()
end

for baseline in pairs(baselines) do
  it("gives no wrong answer, with in its baseline " .. baseline, function()
    for _, excess in ipairs { 17, 23, 29 } do
      assert_right("socket", baseline, excess, 60)
    end
  end)
end

for baseline, last in pairs { nothing = "^SHOW PROFILES", init_sql = "^SET time_zone", on_connect = "^SET @base" } do
  it("gives no wrong answer where the last reply comes late, with in its baseline " .. baseline, function()
    assert_right("socket", baseline, 23, 40, last)
  end)
end

-- libmariadb reads ahead so many bytes. What comes behind replies that end there is left in the socket.
local READ_AHEAD = 16 * 1024

-- A pool whose resets have a reply with a row of that length.
local function start_with_row(length, excess)
  return start { answers = { { to = "^SELECT row", row = { ("x"):rep(length) } } }, excess = excess }
end

-- How many bytes the replies to a reset have.
local function length_of_replies(length)
  s = start_with_row(length)
  local counting <close> = relay.start { port = s.port }
  local pool, conn = pools.lend(s:options { port = counting.port, max_size = 1, init_sql = "SELECT row" })
  assert(conn:query "SET @mine = 1")
  local before = counting:last().down
  conn:release()
  assert(pool:checkout())
  local replies = counting:last().down - before
  s:stop()
  return replies
end

it("gives no wrong answer where libmariadb has read just as far as the last reply goes", function()
  local length = 1000 -- a longer one has as many bytes besides its own
  length = READ_AHEAD - (length_of_replies(length) - length)
  s = start_with_row(length, "WHERE FALSE$")
  local options = transports.socket(s:options { max_size = 1, init_sql = "SELECT row" })
  local pool = pools.new(options)
  for i = 1, 3 do
    assert.equal(2, borrow(pool, i))
    os.execute "sleep 0.05" -- until all replies are there
  end
  assert.equal(2, pool:stats().closed)
end)

for _, transport in ipairs { "tcp", "tls" } do
  it("gives no wrong answer over " .. transport, function()
    assert_right(transport, "init_sql", 23, 15)
  end)
end
