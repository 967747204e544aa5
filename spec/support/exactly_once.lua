-- INSERTs through relays that cut their connection at a byte, or whose coroutine ends at one of its waits, each from
-- a pool of its own, compared with the rows that the server has when all its sessions have ended.
--
--     local trial = exactly_once.start { tls = true }
--     local plan = { way = exactly_once.ways[1], state = exactly_once.states[2], stride = { up = 1, down = 1 } }
--     local found = trial:run(plan) -- or trial:run_ended(plan)
--     assert.same({}, found.violations)
--     trial:stop()

local mypool = require "mypool"
local monotime = require("cqueues").monotime
local plain = require "spec.plain"
local poll = require("mypool.core").poll
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"
local server = require "spec.servers.server"
local tls = require "spec.servers.tls"

local exactly_once = {}

local insert = "INSERT INTO once (id, pad) VALUES (?, ?)"
local workers = 8 -- they spend most of their time in the pauses of retries

-- ---- ways to insert ----

-- pool:with, or the same on a connection of one's own.
local function borrow(owner, fn)
  if owner.with then
    return owner:with(fn)
  end
  return fn(owner)
end

local function three(id)
  return { { id, "one" }, { id, "two" }, { id, "three" } }
end

-- run(owner, id) inserts `rows` rows, all or none, and returns what has affected_rows, or nil and an error.
-- `owner` is a pool or a connection.
exactly_once.ways = {
  {
    name = "query",
    rows = 1,
    run = function(owner, id)
      return owner:query(insert, id, "pad")
    end,
  },
  {
    name = "transaction",
    rows = 1,
    run = function(owner, id)
      return owner:transaction(function(tx)
        return tx:query(insert, id, "pad")
      end)
    end,
  },
  {
    name = "execute_many",
    rows = 3,
    run = function(owner, id)
      return owner:execute_many(insert, three(id))
    end,
  },
  {
    name = "prepared statement",
    rows = 1,
    run = function(owner, id)
      return borrow(owner, function(conn)
        local statement, err = conn:prepare(insert)
        if not statement then
          return nil, err
        end
        return statement:execute(id, "pad")
      end)
    end,
  },
}

-- A statement that no socket takes in one piece.
local large = ("x"):rep(3 * 1024 * 1024)
exactly_once.large_query = {
  name = "large query",
  rows = 1,
  run = function(owner, id)
    return owner:query(insert, id, large)
  end,
}

-- ---- states of the session ----

-- prepare(pool, relay) returns what is given to a way. The cut counts from then on, and the way begins after
-- go(relay); `fresh`: it counts from the first byte of the next connection.
exactly_once.states = {
  {
    name = "on a session yet to be opened",
    fresh = true,
    prepare = function(pool)
      return pool
    end,
  },
  {
    name = "first on a pooled session",
    prepare = function(pool)
      assert(pool:checkout()):release() -- nothing was run: there is nothing to reset
      return pool
    end,
  },
  {
    name = "first on a pooled session whose reset is on its way",
    needs = "COM_RESET_CONNECTION",
    prepare = function(pool, r)
      local conn = assert(pool:checkout())
      assert(conn:query "SET @used = 1")
      r:hold()
      conn:release()
      return pool
    end,
    go = function(r)
      r:release()
    end,
  },
  {
    name = "later in a loan",
    prepare = function(pool)
      local conn = assert(pool:checkout())
      assert(conn:query "SET @used = 1")
      return conn
    end,
  },
}

-- ---- one attempt ----

local trial = {}
trial.__index = trial

local function new_pool(self, r, scheduler)
  return mypool.new(self.server:tcp_options {
    port = r.port,
    max_size = 1,
    tls = self.tls and { ca = tls.ca } or nil,
    wait = scheduler and scheduler.wait,
  })
end

local function is_whole(stats)
  return stats.lent == 0 and stats.opened - stats.closed == stats.idle + stats.recovering
end

local function arm(r, state, case)
  if case.way then
    r[state.fresh and "cut" or "cut_here"](r, case.way, case.after, case.how)
  end
  if state.go then
    state.go(r)
  end
end

local function call(way, owner, case)
  local ok, result, err = pcall(way.run, owner, case.id)
  if ok then
    case.result, case.err = result, err
  else
    case.raised = tostring(result)
  end
end

-- Notes in `case` what came of it, and the bytes that had passed before and after. on_connection: what is left to
-- a pool is done on a connection of it, so that nothing of its release has passed.
local function insert_through(pool, r, plan, case)
  local owner = plan.state.prepare(pool, r)
  case.from = plan.state.fresh and { up = 0, down = 0 } or r:last()
  arm(r, plan.state, case)
  if owner == pool and case.on_connection then
    owner = assert(pool:checkout())
  end
  call(plan.way, owner, case)
  case.to = r:last()
  if owner ~= pool then
    owner:release()
  end
end

local function attempt(self, r, plan, case)
  r:reset()
  local pool, before = new_pool(self, r, plan.scheduler), r:stats()
  insert_through(pool, r, plan, case)
  case.cut = r:stats().cuts > before.cuts
  case.whole = is_whole(pool:stats())
  pool:close()
end

-- ---- ends of coroutines ----

-- What ends at its wait number case.after: as it begins or, `late`, when what it waits for has come.
local function ending_wait(case)
  local count = 0
  return function(fd, seconds)
    if coroutine.running() ~= case.co then
      return poll(fd, seconds)
    end
    count = count + 1
    if count ~= case.after or case.late then
      local ready = poll(fd, seconds)
      if count ~= case.after then
        return ready
      end
    end
    case.ended = true
    if case.how == "raised" then
      error("on purpose", 0)
    end
    coroutine.yield()
  end
end

-- The only place of the pool is free at once, though nobody has released or collected anything.
local function is_served(pool)
  if pool:stats().lent > 0 then
    return false
  end
  return pool:value { "SELECT 1", timeout = 5 } == 1 and pool:stats().forgotten == 0
end

local function end_coroutine(pool, r, plan, case)
  local owner = plan.state.prepare(pool, r)
  arm(r, plan.state, case)
  case.co = coroutine.create(call)
  assert(coroutine.resume(case.co, plan.way, owner, case))
  assert(coroutine.close(case.co))
  if owner ~= pool and not case.ended then
    owner:release()
  end
  case.served = is_served(pool)
  if owner ~= pool then
    owner:release()
  end
end

local function attempt_ended(self, plan, case)
  local r = self.relays[1]
  r:reset()
  local pool = new_pool(self, r, { wait = ending_wait(case) })
  collectgarbage "stop"
  end_coroutine(pool, r, plan, case)
  collectgarbage "restart"
  case.whole = is_whole(pool:stats())
  pool:close()
end

-- ---- all cases ----

local function uncut(self, plan, on_connection)
  local case = { id = self:next_id(), on_connection = on_connection }
  attempt(self, self.relays[1], { state = plan.state, way = plan.way }, case)
  assert(case.result, case.err)
  return { up = case.to.up - case.from.up, down = case.to.down - case.from.down }
end

-- How many bytes go each way where nothing is cut: up with the reset that follows, down without the replies to
-- it, which may come when all is over.
local function lengths(self, plan)
  return { up = uncut(self, plan, false).up, down = uncut(self, plan, true).down }
end

-- How many of them belong to the handshake.
local function handshakes(self, plan)
  if not plan.state.fresh then
    return { up = 0, down = 0 }
  end
  local pool = new_pool(self, self.relays[1])
  assert(pool:checkout()):release()
  local last = self.relays[1]:last()
  pool:close()
  return last
end

-- Every `stride`-th offset; in the handshake every `handshake_stride`-th, and its end; and the very end.
local function offsets(plan, way, handshake, length)
  local found, after = {}, 0
  while after < length do
    found[#found + 1] = after
    after = after < handshake and math.min(after + plan.handshake_stride, handshake) or after + plan.stride[way]
  end
  found[#found + 1] = length
  return found
end

local function cases_of(self, plan)
  local cases, length, handshake = {}, lengths(self, plan), handshakes(self, plan)
  for _, way in ipairs { "up", "down" } do
    for _, after in ipairs(offsets(plan, way, handshake[way], length[way])) do
      for _, how in ipairs { "fin", "rst" } do
        cases[#cases + 1] = { id = self:next_id(), way = way, after = after, how = how }
      end
    end
  end
  return cases
end

local function in_order(cases)
  local i = 0
  return function()
    i = i + 1
    return cases[i]
  end
end

local function attempt_all(self, plan, cases)
  local next_case = in_order(cases)
  local function work(r)
    return function()
      for case in next_case do
        attempt(self, r, plan, case)
      end
    end
  end
  if not plan.scheduler then
    return work(self.relays[1])()
  end
  local tasks = {}
  for i, r in ipairs(self.relays) do
    tasks[i] = work(r)
  end
  plan.scheduler.run(table.unpack(tasks))
end

-- At each wait until there are no more of them.
local function attempt_all_ended(self, plan)
  local cases = {}
  for _, how in ipairs { "closed", "raised" } do
    for _, late in ipairs { false, true } do
      local after = 0
      repeat
        after = after + 1
        local case = { id = self:next_id(), how = how, late = late, after = after }
        cases[#cases + 1] = case
        attempt_ended(self, plan, case)
      until not case.ended
    end
  end
  return cases
end

-- ---- the truth ----

-- The server may carry out what it has got after its client has gone.
local function await_end_of_sessions(self)
  local deadline = monotime() + 20
  local sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'"
  while self.observer:value(sql) ~= "0" do
    if monotime() > deadline then
      return false
    end
    os.execute "sleep 0.02"
  end
  return true
end

local function rows_by_id(self)
  local rows = {}
  for _, row in ipairs(assert(self.observer:query "SELECT id, COUNT(*) FROM once GROUP BY id")) do
    rows[math.tointeger(tonumber(row[1]))] = math.tointeger(tonumber(row[2]))
  end
  return rows
end

-- What is wrong with an outcome: a column of the ledger and a sentence; nil when all is well.
local function verdict(way, case, rows)
  local err = case.err
  if case.raised and not (case.how == "raised" and case.raised == "on purpose") then
    return "lost", "it raised " .. case.raised
  elseif rows > way.rows then
    return "twice", "it ran more than once"
  elseif rows ~= 0 and rows ~= way.rows then
    return "half", "a part of it took effect"
  elseif case.served == false then
    return "slots_lost", "the next checkout was not served"
  elseif not case.whole then
    return "slots_lost", "the pool is not whole"
  elseif case.ended then
    return (case.result or err) and "lost", "it did not end"
  elseif case.result and (rows == 0 or case.result.affected_rows ~= way.rows) then
    return "lost", "it was reported as done"
  elseif not case.result and not mypool.is_error(err) then
    return "lost", "there was neither a result nor an error"
  elseif err and err.executed ~= "unknown" and (err.executed ~= "no" or rows > 0) then
    return "lost", ("the error said %q"):format(tostring(err.executed))
  elseif err and err.retryable and err.executed ~= "no" then
    return "twice", "the error asked for a retry of what may have run"
  end
end

local function outcome(case, rows)
  local reported = case.ended and case.how or case.result and "done" or case.err.executed
  return reported .. (rows > 0 and ", present" or ", absent")
end

local function describe_case(case, rows, sentence)
  local place = case.way and case.way .. " byte" or case.late and "end of wait" or "wait"
  return ("%s with %d rows after %s at %s %d: %s"):format(
    sentence,
    rows,
    case.how,
    place,
    case.after,
    tostring(case.err or "no error")
  )
end

local function judge(found, way, case, rows)
  local column, sentence = verdict(way, case, rows)
  if column then
    found.counts[column] = found.counts[column] + 1
    found.violations[#found.violations + 1] = describe_case(case, rows, sentence)
  else
    local name = outcome(case, rows)
    found.outcomes[name] = (found.outcomes[name] or 0) + 1
  end
  found.counts.faults = found.counts.faults + ((case.cut or case.ended) and 1 or 0)
end

local function judge_all(self, way, cases)
  local ended = await_end_of_sessions(self)
  local rows = rows_by_id(self)
  local counts = { faults = 0, statements = #cases, twice = 0, half = 0, lost = 0, slots_lost = 0, sessions_lost = 0 }
  local found = { violations = {}, outcomes = {}, counts = counts }
  for _, case in ipairs(cases) do
    judge(found, way, case, rows[case.id] or 0)
  end
  if not ended then
    counts.sessions_lost = 1
    found.violations[#found.violations + 1] = "sessions are left on the server"
  end
  return found
end

-- plan: way, state; stride, the distances of the bytes cut at, { up =, down = }; handshake_stride, that in the
-- handshake; scheduler, for many attempts at once in coroutines instead of one after the other in place.
-- Returns violations: sentences; outcomes: how often each was met; counts: for the ledger.
function trial:run(plan)
  assert(self.observer:query "TRUNCATE once")
  local cases = cases_of(self, plan)
  attempt_all(self, plan, cases)
  return judge_all(self, plan.way, cases)
end

-- As run, for coroutines that are closed, or whose wait raises, at each of their waits: plan has way and state.
function trial:run_ended(plan)
  assert(self.observer:query "TRUNCATE once")
  return judge_all(self, plan.way, attempt_all_ended(self, plan))
end

function trial:next_id()
  self.last_id = self.last_id + 1
  return self.last_id
end

function trial:stop()
  for _, r in ipairs(self.relays) do
    r:stop()
  end
  self.observer:close()
  self.server:remove()
end

-- MySQL asks for the password when an account logs in for the first time, and for less from then on, so that the
-- bytes of a handshake can be counted.
local function log_in_once(self)
  local pool = new_pool(self, self.relays[1])
  assert(pool:ping())
  pool:close()
end

-- Starts a server and relays to it. tls: sessions are encrypted.
function exactly_once.start(options)
  local s = server.start { options = { tls.server_options() } }
  local self = setmetatable({ server = s, tls = options.tls, relays = {}, last_id = 0 }, trial)
  for i = 1, workers do
    self.relays[i] = relay.start { host = s.host, port = s.port }
  end
  self.observer = assert(plain.connect { socket = s.socket, user = "root", database = "app" })
  assert(self.observer:query "CREATE TABLE once (id INT, pad LONGTEXT, KEY (id)) ENGINE=InnoDB")
  log_in_once(self)
  return self
end

exactly_once.coroutines = schedulers.cqueues

return exactly_once
