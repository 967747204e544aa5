-- Servers whose packets are damaged, and what a pool makes of them; in a process of its own, as it may crash.
--
--   require "spec.programs.damaged_packets" { how = "corrupted", host = …, port = …, seed = 1, seconds = 5 }
--
-- how: "corrupted": a real server, one byte of whose answers is another one, or missing together with all that
-- follows; "rogue": a server that answers in wrong packets from the greeting on. Whatever comes, each call ends in
-- time, in a result or an error; the pool counts right; and no answer is taken for that to another question.
-- Prints how many cases there were.

local core = require "mypool.core"
local cqueues = require "cqueues"
local mypool = require "mypool"
local settings = require "spec.servers.settings"
local socket = require "cqueues.socket"

local PATIENCE = 20 -- seconds for what has limits of half a second
local limits = { connect_timeout = 0.1, checkout_timeout = 0.15, query_timeout = 0.05, retries = 1 }

local function chance(n)
  return math.random(n) == 1
end

local function one_of(list)
  return list[math.random(#list)]
end

-- Nothing but errors of mypool's may come.
local function call(f, ...)
  local began = cqueues.monotime()
  local ok, first, err = pcall(f, ...)
  local took = cqueues.monotime() - began
  if not ok and not mypool.is_error(first) then
    error("raised: " .. tostring(first), 0)
  elseif ok and first == nil and err ~= nil and not mypool.is_error(err) then
    error("failed with " .. tostring(err), 0)
  elseif took > PATIENCE then
    error(("took %.1f seconds"):format(took), 0)
  end
  return ok and first or nil
end

-- Some of everything that brings packets: rows of text, of binary, errors, several results, a reset.
local function exchange(pool)
  local conn = call(pool.checkout, pool)
  if not conn then
    return
  end
  call(conn.query, conn, "SELECT 1 AS one, 'text' AS t, NULL AS n, 2.5 AS d, NOW() AS w")
  call(conn.query, conn, "SELECT seq, REPEAT('x', seq) FROM seq_1_to_30")
  call(conn.query, conn, "INSERT INTO damaged VALUES (1)")
  call(conn.query, conn, "SELECT no_such_column")
  call(conn.query, conn, "CALL two_results()")
  local sql = "SELECT ? AS a, 'text' AS t, 2.5 AS d, NOW() AS w, NULL AS n, seq FROM seq_1_to_9"
  local statement = call(conn.prepare, conn, sql)
  if statement then
    call(statement.execute, statement, 7)
    call(statement.close, statement)
  end
  call(function()
    for row in assert(conn:rows "SELECT seq FROM seq_1_to_50") do
      if row.seq == 40 and chance(2) then
        break
      end
    end
  end)
  call(conn.reset, conn)
  conn:release()
end

local function check_counts(pool)
  local stats = pool:stats()
  assert(stats.lent == 0 and stats.waiting == 0, "a loan is out")
  assert(stats.opened - stats.closed == stats.idle + stats.recovering, "opened - closed is not what there is")
end

-- One byte may yet change an answer; two wrong ones are answers to other questions.
local function check_answers(pool)
  local wrong = 0
  for i = 1, 10 do
    local question = i * 1000003
    local answer = call(pool.value, pool, "SELECT ?", question)
    wrong = wrong + ((answer == nil or answer == question) and 0 or 1)
  end
  assert(wrong <= 1, "answers to other questions")
end

local function with_limits(options)
  for name, value in pairs(limits) do
    options[name] = value
  end
  return options
end

-- ---- a real server behind the relay ----

local how = {}

function how.corrupted(given)
  local r = require("spec.servers.relay").start { host = given.host, port = given.port }
  local options = { host = r.host, port = r.port, user = "app", password = "secret", database = "app", max_size = 1,
    server_public_key = given.key }
  local clean = mypool.new(options) -- which may take its time
  exchange(clean)
  clean:close()
  with_limits(options)
  local length = r:last().down
  assert(length > 1000, "no exchange")
  return function()
    local at = math.random(0, chance(3) and 200 or length)
    r:corrupt("down", at, math.random(0, 255))
    if chance(10) then
      r:cut("down", at + math.random(20), one_of { "fin", "rst", "hold" })
    end
    local pool = mypool.new(options)
    exchange(pool)
    check_counts(pool)
    check_answers(pool)
    check_counts(pool)
    pool:close()
    r:reset()
  end
end

-- ---- a rogue server ----

local function random_bytes(most)
  local bytes = {}
  for i = 1, math.random(0, most) do
    bytes[i] = string.char(chance(2) and math.random(0, 255) or one_of { 0, 1, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff })
  end
  return table.concat(bytes)
end

local CAPABILITIES = 0xAA209

local function greeting()
  local salt = ("s"):rep(20)
  return ("<BzI4"):pack(10, "5.5.5-10.11.0-MariaDB", 77)
    .. salt:sub(1, 8)
    .. ("<BI2BI2I2B"):pack(0, CAPABILITIES & 0xffff, 45, 2, CAPABILITIES >> 16, #salt + 1)
    .. ("\0"):rep(10)
    .. ("<zz"):pack(salt:sub(9), "mysql_native_password")
end

local OK, EOF = ("<BBBI2I2"):pack(0, 0, 0, 2, 0), ("<BI2I2"):pack(0xfe, 0, 2)
local KINDS = { 1, 2, 3, 4, 5, 8, 7, 10, 11, 12, 13, 16, 246, 252, 253, 254, 255 } -- types of columns

local function column(kind)
  local names = ("<s1s1s1s1s1s1"):pack("def", "", "", "", "c", "")
  return names .. ("<BI2I4BI2BI2"):pack(12, 45, 1024, kind, math.random(0, 65535), 0, 0)
end

local function failure(code)
  return ("<BI2"):pack(0xff, code) .. "#HY000" .. "refused"
end

-- What the pool asks each new session of.
local function own_settings()
  local cells = settings.row()
  local packets = { string.char(#cells) }
  for i = 1, #cells do
    packets[#packets + 1] = column(253)
    cells[i] = cells[i] == "\xfb" and cells[i] or ("<s1"):pack(cells[i])
  end
  table.insert(packets, EOF)
  table.insert(packets, table.concat(cells))
  table.insert(packets, EOF)
  return packets
end

local function rows()
  local count = math.random(1, 3)
  local packets = { string.char(count) }
  for _ = 1, count do
    packets[#packets + 1] = column(one_of(KINDS))
  end
  packets[#packets + 1] = EOF
  for _ = 1, math.random(0, 3) do
    packets[#packets + 1] = chance(3) and random_bytes(40) or ("<s1"):pack("12"):rep(count)
  end
  packets[#packets + 1] = EOF
  return packets
end

-- Of COM_STMT_PREPARE: number, columns, parameters, and both described.
local function prepared()
  local packets = { ("<BI4I2I2BI2"):pack(0, 1, 1, 1, 0, 0), column(one_of(KINDS)), EOF, column(one_of(KINDS)), EOF }
  return packets
end

local function binary_row()
  return { "\1", column(one_of(KINDS)), EOF, "\0\0" .. random_bytes(20), EOF }
end

local answers = {
  function()
    return { OK }
  end,
  function()
    return { failure(one_of { 0, 1, 1047, 1213, 1927, 2006, 65535 }) }
  end,
  rows,
  prepared,
  binary_row,
  function()
    return { random_bytes(60) }
  end,
  function()
    return { one_of { EOF, "\xfb/etc/passwd", "\xfemysql_clear_password\0", "\xfe", "", "\0", "\xff", "\xff\xff\xff" } }
  end,
}

-- Header and payload, either of which may be wrong.
local function framed(payload, number, honest)
  local length = #payload
  if not honest and chance(12) then
    local at = math.random(#payload + 1)
    payload = payload:sub(1, at - 1) .. string.char(math.random(0, 255)) .. payload:sub(at + 1)
  end
  if not honest and chance(25) then
    length = one_of { 0, length - 1, length + 1, 0xffffff, math.random(0, 300) } % 0x1000000
  end
  if not honest and chance(25) then
    number = math.random(0, 255)
  end
  return ("<I3B"):pack(length, number % 256) .. payload
end

local function send(peer, packets, number, honest)
  local bytes = {}
  for i, payload in ipairs(packets) do
    bytes[i] = framed(payload, number + i - 1, honest)
  end
  bytes = table.concat(bytes)
  if not honest and chance(30) then
    bytes = bytes:sub(1, math.random(0, #bytes))
  end
  return peer:xwrite(bytes, "bn")
end

local function receive(peer)
  local header = peer:xread(4, "b")
  local length = header and #header == 4 and ("<I3"):unpack(header)
  return length and (length == 0 and "" or peer:xread(length, "b"))
end

local QUERY, RESET, INIT_DB, PREPARE, EXECUTE = 0x03, 0x1f, 0x02, 0x16, 0x17

local function answer_to(packet)
  local command = packet:byte()
  if command == QUERY and packet:find("@@init_connect", 1, true) then
    return own_settings()
  elseif chance(3) then
    return one_of(answers)()
  elseif command == PREPARE then
    return prepared()
  elseif command == EXECUTE then
    return binary_row()
  elseif command == RESET or command == INIT_DB then
    return { OK }
  end
  return one_of { rows, answers[1] }()
end

-- `honest`: up to the first question of the pool.
local function talk(peer)
  local honest_handshake, honest = chance(4) == false, not chance(6)
  send(peer, { honest_handshake and greeting() or one_of { greeting(), random_bytes(90), failure(65535) } }, 0,
    honest_handshake)
  if not receive(peer) then
    return
  end
  send(peer, honest_handshake and { OK } or one_of(answers)(), 2, honest_handshake)
  for packet in receive, peer do
    local about_settings = packet:find("@@init_connect", 1, true)
    send(peer, answer_to(packet), 1, about_settings and honest)
  end
end

local function serve(listener)
  for peer in listener:clients() do
    peer:setmode("bn", "bn")
    peer:settimeout(2)
    peer:onerror(function(_, _, why)
      return why
    end)
    cqueues.running():wrap(function()
      pcall(talk, peer)
      peer:close()
    end)
  end
end

function how.rogue()
  local listener = assert(socket.listen("127.0.0.1", 0))
  listener:listen()
  local port = select(3, listener:localname())
  local options = with_limits { host = "127.0.0.1", port = port, user = "app", password = "secret", max_size = 1,
    wait = require "mypool.wait.cqueues" }
  local loop = cqueues.new()
  loop:wrap(serve, listener)
  return function()
    local ended, failed = false, nil
    loop:wrap(function()
      local ok, err = pcall(function()
        local pool = mypool.new(options)
        exchange(pool)
        exchange(pool)
        check_counts(pool)
        pool:close()
      end)
      ended, failed = true, not ok and err or nil
    end)
    while not ended do
      assert(loop:step(1))
    end
    if failed then
      error(failed, 0)
    end
  end
end

-- ---- the run ----

local count_descriptors = require "spec.support.descriptors"

local function descriptors()
  collectgarbage()
  collectgarbage()
  return count_descriptors()
end

return function(given)
  warn "@off"
  local case = how[given.how](given)
  local only = math.tointeger(tonumber(os.getenv "MYPOOL_SEED"))
  local deadline, seed, cases = cqueues.monotime() + given.seconds, only or given.seed, 0
  local before
  repeat
    math.randomseed(seed)
    io.stdout:write("seed ", seed, "\n"):flush()
    case()
    seed, cases = seed + 1, cases + 1
    before = before or cases == 20 and descriptors()
  until only or cqueues.monotime() > deadline
  cqueues.sleep(0)
  assert(core.null == mypool.null)
  if before then
    local after = descriptors()
    assert(after <= before + 10, ("%d descriptors after 20 cases, %d in the end"):format(before, after))
  end
  print(("%d cases"):format(cases))
end
