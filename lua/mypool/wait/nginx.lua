-- mypool in nginx with lua-nginx-module, as in OpenResty: mypool.new { wait = require "mypool.wait.nginx", … }
--
-- nginx offers Lua no way to wait for a descriptor. So all that mypool waits for is watched by a thread
-- (src/os/watch.c), which writes a byte to a socket when there is news. One light thread of this worker, the reader,
-- reads that and wakes who waits, by semaphores.

local core = require "mypool.core"
core.internal()

local ngx = ngx -- luacheck: ignore
if type(ngx) ~= "table" or not ngx.config or (ngx.config.ngx_lua_version or 0) < 10016 then
  core.raise "mypool.wait.nginx needs nginx with lua-nginx-module 0.10.16 or later"
elseif ngx.config.subsystem == "stream" then
  core.raise "mypool.wait.nginx works in nginx's http blocks, not in stream: serve it by http, or use cosockets there"
end

local base = require "resty.core.base"
local ffi = require "ffi"
local semaphore = require "ngx.semaphore"

local adapter = {}

local get_phase, now, exiting = ngx.get_phase, ngx.now, ngx.worker.exiting
local is_yieldable = core.is_yieldable

-- Where a wait may block the worker, as there is nobody else to serve yet.
local blocks = { init = true, init_worker = true }

-- Where it may yield.
local yields = {
  rewrite = true,
  server_rewrite = true,
  access = true,
  content = true,
  timer = true,
  ssl_cert = true,
  ssl_client_hello = true,
  ssl_session_fetch = true,
}

-- ---- who waits ----

-- By descriptor: { semaphore =, waits =, posted =, handle = }. An entry stays for as long as there may be a descriptor
-- of this number: nginx must not be made to free a semaphore that was just posted.
local entries = {}

local function entry_of(fd)
  local entry = entries[fd]
  if not entry then
    local made, err = semaphore.new(0)
    if not made then
      core.raise("mypool cannot wait here: " .. err)
    end
    entry = { semaphore = made, waits = false, posted = false }
    entries[fd] = entry
  end
  return entry
end

local function post(entry)
  if entry.waits and not entry.posted then
    entry.posted = true
    entry.semaphore:post(1)
  end
end

local function post_all()
  for _, entry in pairs(entries) do
    post(entry)
  end
end

-- nginx drops the coroutines of a request that ends without a word. What tells is the semaphore: nobody waits for it,
-- and nobody was woken who has not run yet.
local function is_dead(entry)
  return entry.waits and entry.semaphore:count() >= (entry.posted and 1 or 0)
end

-- Gives up what dead coroutines waited for. Returns whether anybody waits.
local function sweep()
  local anybody, dead = false, nil
  for _, entry in pairs(entries) do
    if is_dead(entry) then
      dead = dead or {}
      dead[#dead + 1] = entry
    elseif entry.waits then
      anybody = true
    end
  end
  for _, entry in ipairs(dead or {}) do
    local handle = entry.handle
    entry.waits, entry.handle = false, nil
    if handle then
      core.abandon(handle)
    end
  end
  return anybody
end

local SWEEP = 1 / 10 -- seconds
local swept_at, anybody_waits = 0, false

local function sweep_if_due()
  if now() - swept_at >= SWEEP then
    swept_at, anybody_waits = now(), sweep()
  end
  return anybody_waits
end

-- ---- the reader ----

local watch -- made by the first wait
local reader_runs = false
local broken_until = 0 -- the reader is not tried again before

local LINGER = 3 -- seconds without a wait, after which the reader ends
local PAUSE = 10 -- seconds

local function fail(what, err)
  broken_until = now() + PAUSE
  ngx.log(ngx.WARN, "mypool polls instead of being told, for ", PAUSE, " s: ", what, ": ", err)
end

local function tell_news()
  for fd in watch.next, watch do
    local entry = entries[fd]
    if entry then
      post(entry)
    end
  end
  watch:go_on()
end

local function connect(socket)
  local path, err = watch:listen()
  if not path then
    return nil, "no socket in TMPDIR or /tmp", err
  end
  socket:settimeout(10000) -- milliseconds; a byte comes every 0.1 s
  local ok, started
  ok, err = socket:connect("unix:" .. path)
  if not ok then
    return nil, "no connection", err
  end
  started, err = watch:start()
  return started, "no thread", err
end

-- Returns nil, what failed and why, or true when nobody has waited for long.
local function read(socket)
  local ok, what, err = connect(socket)
  if not ok then
    return nil, what, err
  end
  local last = now()
  repeat
    ok, err = socket:receiveany(64)
    if not ok and not exiting() then
      return nil, "the socket of the watching thread", err
    end
    tell_news()
    if sweep_if_due() then
      last = now()
    end
  until not ok or now() - last > (exiting() and 0 or LINGER)
  if not ok then -- worker_shutdown_timeout is over, and nginx is about to cut the requests, too
    ngx.sleep(1 / 1000)
    sweep()
  end
  return true
end

local function run_reader(premature)
  local socket = not premature and ngx.socket.tcp()
  local ran, ok, what, err
  if socket then
    ran, ok, what, err = pcall(read, socket)
    socket:close()
  end
  reader_runs = false
  if socket and not ran then
    fail("its reader", tostring(ok))
  elseif socket and not ok then
    fail(what, err)
  end
  post_all() -- waking early does no harm, and the next wait starts another reader
end

local function start_reader()
  local ok, err
  if not watch then
    watch, err = core.new_watch()
  end
  if not watch then
    return fail("no set of descriptors", err)
  end
  reader_runs = true
  ok, err = ngx.timer.at(0, run_reader)
  if not ok then
    reader_runs = false
    fail("no timer", err)
  end
end

-- True when somebody will tell of the descriptor.
local function is_watched(fd)
  if not reader_runs and now() >= broken_until then
    start_reader()
  end
  return reader_runs and watch:arm(fd)
end

-- ---- the adapter ----

local function refuse(phase)
  if yields[phase] then
    core.raise "mypool cannot wait here: inside of string.gsub, table.sort, require or another C function"
  end
  core.raise(("mypool cannot wait here: in the phase %s (use ngx.timer.at)"):format(phase))
end

-- A post that came too late for the waiter before must not end this wait.
local function begin(entry, handle)
  if entry.semaphore:count() > 0 then
    entry.semaphore:wait(0)
  end
  entry.waits, entry.posted, entry.handle = true, false, handle
  anybody_waits = true
end

local function sleep(entry, milliseconds, handle)
  begin(entry, handle)
  local ok, err = entry.semaphore:wait((milliseconds + 1 / 2) / 1000) -- nginx cuts the fraction off
  entry.waits, entry.handle = false, nil
  if not ok and err ~= "timeout" then
    core.raise("mypool cannot wait here: " .. tostring(err))
  end
end

-- Without the reader: looks for itself every few milliseconds.
local function poll(entry, milliseconds, handle, fd)
  local pause = 1
  while milliseconds > 0 and not core.poll(fd, 0) do
    sleep(entry, math.min(pause, milliseconds), handle)
    milliseconds = milliseconds - pause
    pause = math.min(2 * pause, 10)
    sweep_if_due()
  end
end

local LONGEST = 3600 * 1000 -- milliseconds; waking early does no harm

local function milliseconds_of(seconds)
  local milliseconds = seconds and math.ceil(seconds * 1000) or LONGEST
  return math.max(1, math.min(milliseconds, LONGEST))
end

-- Lets others run until `fd` is readable, or `seconds` have passed (nil: no limit). In init_by_lua and
-- init_worker_by_lua it blocks; it raises where nginx lets nobody wait.
function adapter.wait(fd, seconds, handle)
  local phase = get_phase()
  if blocks[phase] then
    return core.poll(fd, seconds)
  elseif not yields[phase] or not is_yieldable() then
    refuse(phase)
  end
  local entry = entry_of(fd)
  local wait_for = is_watched(fd) and sleep or poll
  wait_for(entry, milliseconds_of(seconds), handle, fd)
end

-- Called before `fd` is closed, and when nobody waits for it any more.
function adapter.forget(fd)
  local entry = entries[fd]
  if entry then
    entry.waits, entry.handle = false, nil
  end
  if watch then
    watch:disarm(fd)
  end
end

-- ---- connections that a request holds when it ends ----

local held = {} -- by the address of a request: its handles, weakly

-- (ngx.ctx is not the place for them: ngx.exit empties it.)
local function request_key()
  local request = base.get_request()
  return request and tonumber(ffi.cast("uintptr_t", request))
end

-- The connection belongs to the request that runs, until it is released.
function adapter.lent(handle)
  local key = request_key()
  if not key then
    return
  end
  if not held[key] then
    held[key] = setmetatable({}, { __mode = "k" })
  end
  held[key][handle] = true
end

local function give_back()
  sweep()
  local key = request_key()
  local handles = key and held[key]
  if not handles then
    return
  end
  held[key] = nil
  for handle in pairs(handles) do
    handle:release()
  end
end

-- finish(): for log_by_lua: what the request still holds, as ngx.exit or an error ended it in the middle, goes back to
-- its pools at once. Never waits, never raises.
function adapter.finish()
  local ok, err = pcall(give_back)
  if not ok then
    ngx.log(ngx.WARN, "mypool.wait.nginx.finish: ", tostring(err))
  end
end

-- ---- errors ----

local function log(raised)
  ngx.log(ngx.ERR, debug.traceback(tostring(raised), 2))
end

local function finish_call(ok, ...)
  if ok then
    return ...
  end
  return ngx.exit(ngx.headers_sent and ngx.ERROR or ngx.HTTP_INTERNAL_SERVER_ERROR)
end

-- call(fn, ...): returns what fn(...) returns. What it raises is logged, as text and with a traceback, and answered
-- with 500: of an error object that escapes, nginx would log no more than "unknown reason".
function adapter.call(fn, ...)
  return finish_call(xpcall(fn, log, ...))
end

return adapter
