-- Random programs on mypool: calls of all it has, right and wrong, in an order that nobody would write, and
-- what must hold afterwards all the same. In a process of its own, as it may crash:
--
--   require "spec.programs.random_calls" { socket = …, mode = "plain", seed = 1, seconds = 5 }
--
-- Modes: "plain"; "cqueues"; "own": a scheduler that abandons coroutines and raises in them. Program after
-- program until the time is over, each with the next seed; MYPOOL_SEED in the environment runs the one of that
-- seed. Prints the seed of each before it runs, and in the end how many programs and calls there were.

local core = require "mypool.core"
local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local mypool = require "mypool"
local values = require "spec.programs.random_values"

local chance, one_of = values.chance, values.one_of

local CALLS = 400 -- of a program, unless all its coroutines wait for ever
local SECONDS = 10
local adapters = { cqueues = require "mypool.wait.cqueues", luv = require "mypool.wait.luv" }

-- ---- the program's objects, among them those that have ended ----

local world -- of the program that runs: seed, mode, calls, objects by class, pools

local classes = { "pool", "connection", "statement", "transaction", "stream", "other" }

local function nothing_yet()
  local objects = {}
  for _, class in ipairs(classes) do
    objects[class] = {}
  end
  return objects
end

local function remember(class, object)
  local objects = world.objects[class]
  objects[#objects < 8 and #objects + 1 or math.random(8)] = object
  return object
end

local function known(class)
  local objects = world.objects[class or one_of(classes)]
  return objects[math.random(#objects + 1)]
end

local function nothing() end

local function any()
  return values.anything(known)
end

local function class_of(value)
  local kind = type(value) == "userdata" and tostring(value):match "^mypool%.(%a+)"
  if kind then
    return kind
  end
  for _, name in ipairs { "statement", "transaction" } do
    if type(value) == "table" and rawget(value, name == "statement" and "id" or "state") then
      return name
    end
  end
  return "other"
end

-- What raises because the program is wrong says so at the program's place: nothing must fail inside of mypool.
local function check_raised(name, message)
  local inside = type(message) == "string" and message:match "^[^\n]-/?lua/mypool/[%w_]+%.lua:%d+: .*"
  if inside and not inside:find "on purpose" then
    error(("%s failed inside of mypool: %s"):format(name, inside), 0)
  end
end

-- The server's and the pool's failures are errors with all their fields.
local function check_failed(name, err)
  if mypool.is_error(err) then
    assert(err.kind and err.executed and #err.message > 0, name)
    assert(#tostring(err) > 0 and #(err .. "") > 0)
  end
end

local function outcome(name, ok, ...)
  local first, second = ...
  if not ok then
    check_raised(name, first)
  elseif first == nil and second ~= nil then
    check_failed(name, second)
  end
  for i = 1, math.min(4, select("#", ...)) do
    local value = select(i, ...)
    if value ~= nil and rawequal(type(value), "table") or type(value) == "userdata" then
      remember(class_of(value), value)
    end
  end
  return ok, ...
end

local trace = os.getenv "MYPOOL_TRACE"

local function call(name, f, ...)
  world.calls = world.calls + 1
  if trace then
    io.stderr:write(("%d %s %s\n"):format(world.calls, tostring(coroutine.running()), name))
  end
  return outcome(name, pcall(f, ...))
end

-- ---- functions that mypool calls ----

local act -- does one random call

local depth = 0

-- A few calls from within a callback, with the object it was given.
local function nested(class, object)
  if object ~= nil then
    remember(class, object)
  end
  if depth < 3 then
    depth = depth + 1
    for _ = 1, math.random(0, 3) do
      act()
    end
    depth = depth - 1
  end
end

-- Returns or raises something.
local function leave()
  local n = math.random(10)
  if n == 1 then
    error("on purpose: callback", 0)
  elseif n == 2 then
    error(any(), 0)
  elseif n == 3 then
    return nil, any()
  elseif n == 4 then
    return nil, known "other"
  elseif n == 5 then
    return any(), any(), any()
  end
end

local function callback(class)
  return function(object)
    nested(class, object)
    return leave()
  end
end

-- ---- waiting ----

local waits = {}

-- The environment of a program may do anything while a call waits.
local function disturb()
  if world.tame or depth > 2 then
    return
  elseif chance(60) then
    nested()
  elseif chance(300) then
    error("on purpose: wait", 0)
  elseif chance(100) then
    collectgarbage()
  end
end

function waits.plain(fd, seconds)
  disturb()
  return core.poll(fd, seconds)
end

function waits.cqueues(fd, seconds)
  disturb()
  return adapters.cqueues.wait(fd, seconds)
end

function waits.own(fd, seconds)
  disturb()
  if world.tame or not coroutine.isyieldable() or not world.tasks[coroutine.running()] then
    return core.poll(fd, math.min(seconds or 1, 1)) -- one that returns too early is fine
  end
  return coroutine.yield(fd, seconds)
end

-- ---- pools ----

local function forget(fd)
  if world.mode == "cqueues" then
    adapters.cqueues.forget(fd)
  end
  if not world.tame and chance(10) then
    error "on purpose: forget"
  end
end

local function converter(value)
  if not world.tame and chance(20) then
    nested()
    return leave()
  end
  return value
end

local function event(_, details)
  if not world.tame then
    nested("other", details)
    leave()
  end
end

local function on_connect(conn)
  if not world.tame then
    nested("connection", conn)
    return leave()
  end
end

local function password()
  if world.tame or not chance(20) then
    return world.password
  end
  nested()
  return any()
end

local function pool_options()
  local wait = waits[world.mode]
  return {
    socket = world.socket,
    user = world.user,
    password = chance(3) and password or world.password,
    database = "app",
    max_size = math.random(4),
    min_idle = chance(4) and 1 or nil,
    checkout_timeout = 0.2,
    connect_timeout = 1,
    query_timeout = 0.05,
    leak_after = chance(3) and 0.001 or nil,
    name = chance(3) and "random" or nil,
    retries = chance(4) and 0 or nil,
    reset = chance(5) and "never" or nil,
    rows = chance(3) and "array" or nil,
    null = chance(3) and mypool.null or nil,
    types = chance(3) and { int = converter, varchar = converter, bigint = converter } or nil,
    max_result_bytes = chance(5) and 10000 or nil,
    max_lifetime = chance(5) and 0.05 or nil,
    idle_timeout = chance(5) and 0.01 or nil,
    init_sql = chance(4) and { "SET @init = 1", "DO 0" } or nil,
    on_event = chance(2) and event or nil,
    on_connect = chance(4) and on_connect or nil,
    audit = chance(6) or nil,
    wait = (world.mode ~= "plain" or chance(2)) and (chance(2) and wait or { wait = wait, forget = forget }) or nil,
  }
end

local pool_sizes = setmetatable({}, { __mode = "k" })

local function new_pool()
  local options, odd = pool_options(), nil
  if chance(5) then
    options[values.string()] = any()
  elseif chance(5) then
    odd = true
    local names = {}
    for name in pairs(options) do
      names[#names + 1] = name
    end
    table.sort(names)
    options[one_of(names)] = values.anything(nothing) -- a pool that kept a loan would keep it lent
    options.socket, options.host = world.socket, nil -- nowhere else
    options.wait = waits[world.mode]
    options.query_timeout = 0.05 -- or calls would wait for each other's locks for ever
    if options.max_size and type(options.max_size) == "number" and options.max_size > 50 then
      options.max_size = 50
    end
  end
  local ok, pool = call("mypool.new", mypool.new, options)
  if ok then
    world.pools[#world.pools + 1] = pool
    pool_sizes[pool] = not odd and options.max_size -- what can be expected of it
  end
end

-- ---- calls as a program makes them ----

local function text_and_parameters()
  local sql, parameters = values.statement(known)
  return values.with_options(sql, known), table.unpack(parameters, 1, parameters.n)
end

local function parameters_only()
  local list = {}
  local n = chance(5) and math.random(0, 3) or 1
  for i = 1, n do
    list[i] = values.parameter(known)
  end
  return table.unpack(list, 1, n)
end

local function text_only()
  return (values.statement(known))
end

local function many()
  return one_of { "INSERT INTO t VALUES (?)", "UPDATE t SET n = ? LIMIT 1", "SELECT 1", (values.statement(known)) },
    values.many_rows(known)
end

local function transaction_arguments()
  if chance(2) then
    return callback "transaction"
  end
  return values.begin_options(known), callback "transaction"
end

local function seconds()
  return one_of { 0, 0.001, 0.1, chance(10) and -1 or nil }
end

-- Rows, of which some are read, and the loop left in some way.
local function loop(stream, state, first, closing)
  remember("stream", stream)
  for row in stream, state, first, closing do
    remember("other", row)
    if chance(50) then
      break
    elseif chance(100) then
      error("on purpose: loop", 0)
    elseif chance(100) then
      nested()
    end
  end
end

local function read_rows(ok, stream, ...)
  if ok and stream and not chance(8) then
    call("for … in rows", loop, stream, ...)
  elseif ok then
    remember("stream", stream)
  end
end

-- How each method is called when it is called well.
local statement_methods = { query = text_and_parameters, one = text_and_parameters, value = text_and_parameters }

local methods = {
  pool = {
    checkout = seconds,
    rows = text_and_parameters,
    execute_many = many,
    with = function()
      return callback "connection"
    end,
    begin = function()
      return values.begin_options(known)
    end,
    transaction = transaction_arguments,
    ping = nothing,
    stats = nothing,
    evict = nothing,
    close = seconds,
  },
  connection = {
    rows = text_and_parameters,
    prepare = text_only,
    execute_many = many,
    begin = function()
      return values.begin_options(known)
    end,
    transaction = transaction_arguments,
    warnings = nothing,
    ping = nothing,
    reset = nothing,
    id = nothing,
    in_transaction = nothing,
    is_held = nothing,
    release = function()
      return one_of { nil, { reset = chance(2) }, chance(10) and any() or nil }
    end,
    discard = nothing,
  },
  statement = {
    execute = parameters_only,
    one = parameters_only,
    value = parameters_only,
    rows = parameters_only,
    with = function()
      return values.with_options("x", known)
    end,
    close = nothing,
  },
  transaction = {
    rows = text_and_parameters,
    prepare = text_only,
    execute_many = many,
    begin = nothing,
    transaction = transaction_arguments,
    commit = nothing,
    rollback = nothing,
  },
}
for _, class in ipairs { "pool", "connection", "transaction" } do
  for name, arguments in pairs(statement_methods) do
    methods[class][name] = arguments
  end
end

local names_of = {}
for class, list in pairs(methods) do
  names_of[class] = {}
  for name in pairs(list) do
    table.insert(names_of[class], name)
  end
  table.sort(names_of[class]) -- for the same program with the same seed
end

-- Ending the pool, or all that it has, is rarer than the rest.
local function method_of(class)
  local name = one_of(names_of[class])
  if class == "pool" and (name == "close" or name == "evict") and not chance(15) then
    return "query"
  end
  return name
end

local function use_well(class)
  local object = known(class)
  if object == nil then
    return
  end
  local name = method_of(class)
  local f = core["mypool." .. class][name]
  local title = class .. ":" .. name
  local arguments = table.pack(methods[class][name]())
  if name == "rows" then
    read_rows(call(title, f, object, table.unpack(arguments, 1, arguments.n)))
  else
    call(title, f, object, table.unpack(arguments, 1, arguments.n))
  end
end

-- A method with whatever self and arguments.
local function use_badly()
  local class = one_of { "pool", "connection", "statement", "transaction" }
  local name = method_of(class)
  local arguments = {}
  local n = math.random(0, 4)
  for i = 1, n do
    arguments[i] = any()
  end
  call(class .. ":" .. name .. " badly", core["mypool." .. class][name], table.unpack(arguments, 1, n))
end

-- ---- other calls ----

local others = {
  new_pool,
  function()
    local stream = known "stream"
    if type(stream) == "table" and getmetatable(stream) == false then
      call("stream:close", stream.close, chance(10) and any() or stream)
      call("stream()", stream)
    end
  end,
  function()
    local name = one_of { "list", "ident", "binary", "is_error" }
    call("mypool." .. name, mypool[name], any(), any())
  end,
  function()
    call("tostring", tostring, any())
  end,
  function()
    local value = known "other"
    call("#", function()
      return #value + 1, value.columns, value.affected_rows, value.message, value .. "", value < 1
    end)
  end,
  function()
    local object = known()
    local metatable = debug.getmetatable(object)
    local event_name = one_of { "__close", "__tostring", "__index", "__len", "__concat", "__name" }
    local f = type(metatable) == "table" and rawget(metatable, event_name)
    if type(f) == "function" then
      call(event_name, f, object, any()) -- metatables are sealed: never with another one
    end
  end,
  function()
    local conn = known "connection"
    call("scope", function()
      local scoped <close> = conn
      nested("connection", scoped)
      leave()
    end)
  end,
  function()
    local conn = known "connection"
    local id = conn and select(2, call("connection:id", conn.id, conn))
    if math.type(id) == "integer" then
      call("KILL", world.observer.query, world.observer, "KILL " .. id)
    end
  end,
  function()
    -- Some handles are forgotten.
    local objects = world.objects[one_of(classes)]
    if #objects > 0 then
      objects[math.random(#objects)] = objects[#objects]
      objects[#objects] = nil
    end
    if chance(20) then
      collectgarbage(one_of { "collect", "step", "generational", "incremental" })
    end
  end,
  -- Calls of a collector are calls, too. Not on connections: one that is released while it is being used, by
  -- a finalizer that runs in the middle of that, is not guarded against.
  function()
    local pool = known "pool"
    setmetatable({}, {
      __gc = function()
        if not world.over and pool then
          call("finalizer", pool[one_of { "stats", "value", "ping", "evict" }], pool, "SELECT 1")
        end
      end,
    })
  end,
  function()
    if not coroutine.isyieldable() then
      call("wait.luv", adapters.luv.wait, any(), 0)
    end
    if not cqueues.running() then -- whose loop ends with such an error
      call("wait.cqueues", adapters.cqueues.wait, one_of { -1, 1000000 }, 0)
    end
    call("wait.cqueues.forget", adapters.cqueues.forget, one_of { -1, 1000000 })
  end,
  -- The wrong coroutine: one that is made for a call, and dropped if that has to wait.
  function()
    local thread = coroutine.create(act)
    if world.mode == "own" then
      world.tasks[thread] = true
    end
    if world.mode ~= "cqueues" then
      call("coroutine", coroutine.resume, thread)
      if chance(2) and coroutine.status(thread) ~= "running" and coroutine.status(thread) ~= "normal" then
        call("coroutine.close", coroutine.close, thread)
      end
    end
  end,
  function()
    if world.mode == "cqueues" and cqueues.running() then
      local inner = cqueues.new()
      inner:wrap(act)
      inner:step(0.001)
      inner = nil -- luacheck: ignore
    end
  end,
}

function act()
  local n = math.random(20)
  if #world.pools == 0 or n == 1 and chance(3) then
    new_pool()
  elseif n <= 16 then
    use_well(one_of { "pool", "connection", "connection", "connection", "statement", "transaction" })
  elseif n == 17 then
    use_badly()
  else
    one_of(others)()
  end
end

-- ---- a program in each mode ----

local run = {}

local function goes_on()
  return world.calls < CALLS and cqueues.monotime() < world.deadline
end

local function worker()
  while goes_on() do
    act()
  end
end

run.plain = worker

-- In the end those that still wait are abandoned together with their controller.
function run.cqueues()
  local loop_of_all = cqueues.new()
  for _ = 1, math.random(2, 12) do
    loop_of_all:wrap(worker)
  end
  while goes_on() and not loop_of_all:empty() do
    assert(loop_of_all:step(1))
  end
end

-- Resumes whoever it likes; whoever waits for something may be woken for nothing, closed or forgotten.
function run.own()
  local threads = {}
  while goes_on() do
    if #threads < 8 and (#threads == 0 or chance(5)) then
      local thread = coroutine.create(worker)
      world.tasks[thread] = true
      threads[#threads + 1] = thread
    end
    local i = math.random(#threads)
    local thread = threads[i]
    local ok, fd, seconds_left = coroutine.resume(thread)
    if not ok then
      error(debug.traceback(thread, fd), 0)
    elseif coroutine.status(thread) == "dead" or chance(40) then
      threads[i] = threads[#threads]
      threads[#threads] = nil
      world.tasks[thread] = nil
      if chance(2) then
        coroutine.close(thread)
      end
    elseif math.type(fd) == "integer" then
      core.poll(fd, math.min(seconds_left or 0.01, chance(4) and 0.05 or 0.001))
    end
  end
end

-- ---- what holds afterwards ----

local function describe(stats)
  local parts = {}
  for name, value in pairs(stats) do
    parts[#parts + 1] = (" %s=%s"):format(name, value)
  end
  table.sort(parts)
  return table.concat(parts)
end

local function check_counts(pool)
  local stats = pool:stats()
  local sessions = stats.idle + stats.lent + stats.recovering
  if stats.opened - stats.closed ~= sessions or stats.size ~= sessions + stats.opening then
    error("stats do not add up:" .. describe(stats), 0)
  end
  return stats
end

local function collect()
  for _ = 1, 3 do
    collectgarbage()
  end
end

local function await(what, condition)
  local deadline = cqueues.monotime() + 10
  local found
  repeat
    local holds
    holds, found = condition()
    if holds then
      return
    end
    os.execute "sleep 0.01"
  until cqueues.monotime() > deadline
  error(what .. ": " .. tostring(found), 0)
end

-- How many sessions the server has, and what they do.
local function on_server()
  local sql = "SELECT ID, COMMAND, TIME, STATE, LEFT(INFO, 60) FROM information_schema.PROCESSLIST WHERE USER = ?"
  local found = assert(world.observer:query({ sql, rows = "array" }, world.user))
  local lines = {}
  for i, row in ipairs(found) do
    for column = 1, 5 do
      row[column] = tostring(row[column])
    end
    lines[i] = table.concat(row, " ")
  end
  return #found, table.concat(lines, "\n")
end

-- A pool that does not reset may lend a session in any state, even in one that no reset gets it out of (XA).
local function clean_connection(pool)
  local resets = dialect.has "COM_RESET_CONNECTION"
  if not resets then
    pool:evict()
  end
  local conn, err
  for _ = 1, 10 do
    conn, err = pool:checkout(5)
    if conn and conn:ping() and (not resets or conn:reset()) then
      return conn
    elseif conn then
      conn:discard()
    elseif err.kind == "closed" then
      return
    end
  end
  error(("no connection: %s; %s"):format(err, describe(pool:stats())), 0)
end

-- Every place of the pool can be used: lends all at once.
local function check_whole(pool)
  await("loans are out", function()
    collect()
    local stats = check_counts(pool)
    return stats.lent == 0 and stats.waiting == 0, stats.lent .. ", and waiting " .. stats.waiting
  end)
  local conns = {}
  for i = 1, pool_sizes[pool] do
    conns[i] = clean_connection(pool)
  end
  for _, conn in ipairs(conns) do
    assert(conn:query { "SELECT 1", timeout = 5, max_result_bytes = 1000 })
    conn:release()
  end
end

local function sessions_of(pools)
  local count = 0
  for _, pool in ipairs(pools) do
    local stats = check_counts(pool)
    count = count + stats.size
  end
  return count
end

local function open_descriptors()
  local pipe <close> = io.popen(("cd /proc/%d/fd && readlink *"):format(world.pid))
  local list = pipe:read "a"
  return select(2, list:gsub("\n", "")), list
end

-- Whatever the coroutines did, nothing of it may be held once they are gone.
local function check_after(pools)
  world.tame, world.over = true, true
  world.objects, world.tasks = nothing_yet(), {}
  collect()
  for _, pool in ipairs(pools) do
    if pool_sizes[pool] then
      check_whole(pool)
    else -- its options are damaged
      pool:close()
    end
  end
  await("sessions that no pool knows of, or the other way round", function()
    local there, list = on_server()
    local here = sessions_of(pools)
    return there == here, ("%d in the pools, %d on the server:\n%s"):format(here, there, list)
  end)
  for _, pool in ipairs(pools) do
    pool:close()
    local stats = check_counts(pool)
    assert(stats.size == 0 and stats.opened == stats.closed, "a closed pool has sessions")
  end
end

local function start(seed, mode, given)
  math.randomseed(seed)
  print("seed " .. seed)
  io.stdout:flush()
  world = {
    mode = mode,
    socket = given.socket,
    user = "app",
    password = "secret",
    observer = given.observer,
    pid = given.pid,
    calls = 0,
    deadline = cqueues.monotime() + SECONDS,
    pools = {},
    tasks = setmetatable({}, { __mode = "k" }),
    objects = nothing_yet(),
  }
  depth = 0
  collectgarbage "incremental"
end

local function one_program(seed, mode, given)
  start(seed, mode, given)
  run[mode]()
  local pools = world.pools
  world.pools = {}
  check_after(pools)
  pools = nil -- luacheck: ignore
  collect()
  return world.calls
end

local function pid_of_this_process()
  return io.open("/proc/self/stat"):read "n"
end

return function(given)
  warn "@off"
  given.pid = pid_of_this_process()
  given.observer = mypool.new { socket = given.socket, user = "root", max_size = 1, database = "app" }
  local only = math.tointeger(tonumber(os.getenv "MYPOOL_SEED"))
  local deadline = cqueues.monotime() + given.seconds
  local seed, programs, calls, before = only or given.seed, 0, 0, nil
  repeat
    calls = calls + one_program(seed, given.mode, given)
    programs, seed = programs + 1, seed + 1
    before = before or open_descriptors()
    await("descriptors left open", function()
      collect()
      local now, list = open_descriptors()
      return now <= before, ("%d before, now %d:\n%s"):format(before, now, list)
    end)
  until only or cqueues.monotime() > deadline
  print(("%d programs, %d calls"):format(programs, calls))
end
