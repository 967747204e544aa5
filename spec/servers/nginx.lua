-- nginx with lua-nginx-module, and the mypool under test, on a unix socket:
--
--     local web = nginx.start { app = "…", server = "location / { … }", workers = 2 }
--     assert.equal("pong\n", web:get "/ping")
--     web:quit()     -- returns what error.log says beside [notice]
--
-- `app` is the text of a Lua module of that name, `files` has others by their paths, like app/db.lua; `http` goes into
-- the http block, `server` into the server's, `main` before both. nginx.why_not() tells why there is none, or nothing.

local eventually = require "spec.support.eventually"
local program = require "spec.support.program"
local quote = require "spec.support.quote"

local nginx = {}
nginx.__index = nginx

local config = [[
%s
daemon off;
load_module ROOT/usr/lib/nginx/modules/ndk_http_module.so;
load_module ROOT/usr/lib/nginx/modules/ngx_http_lua_module.so;
worker_processes %d;
pid nginx.pid;
error_log error.log notice;
env TMPDIR;
%s
events { worker_connections 1024; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f;
  uwsgi_temp_path tmp/u; scgi_temp_path tmp/s;
  lua_package_path "PREFIX/?.lua;HERE/?.lua;HERE/lua/?.lua;HERE/lua/?/init.lua;ROOT/usr/share/lua/5.1/?.lua;;";
  lua_package_cpath "BUILD/?.so;;";
  %s
  server {
    listen unix:PREFIX/http.sock;
    location = /ping { content_by_lua_block { ngx.say "pong" } }
    %s
  }
}
]]

local clean = "env -u LD_PRELOAD -u ASAN_OPTIONS -u LSAN_OPTIONS -u MAKEFLAGS -u MFLAGS -u MAKELEVEL"
  .. " -u SANITIZE -u BUILD -u LUA -u LUA_VERSION -u LUA_PATH -u LUA_CPATH "

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local printed = pipe:read "a"
  return pipe:close() == true, printed
end

local here = select(2, output "pwd"):gsub("\n", "")

local found -- { folder = } or { reason = }

local function find()
  if not output "command -v curl" then
    return { reason = "needs curl" }
  end
  local ok, folder = output "spec/servers/fetch.sh nginx"
  folder = folder:gsub("\n$", "")
  if not ok then
    return { reason = folder }
  end
  local root = folder .. "/root"
  local _, libraries = output(("echo %s/usr/lib/*-linux-gnu"):format(quote(root)))
  local env = ("LD_LIBRARY_PATH=%s "):format(quote((libraries:gsub("\n", ""))))
  ok, folder = output(env .. quote(root .. "/usr/sbin/nginx") .. " -V")
  if not ok then
    return { reason = "nginx does not start: " .. folder }
  end
  local sanitized = program.sanitized ~= ""
  local make = clean .. "make LUA=luajit LUA_CFLAGS=-I%s %s all"
  local built, log = output(make:format(quote(root .. "/usr/include/luajit-2.1"), sanitized and "SANITIZE=1" or ""))
  assert(built, log)
  local build = here .. "/build/luajit" .. (sanitized and "/sanitize" or "")
  return { root = root, env = env .. program.sanitized, build = build }
end

function nginx.why_not()
  found = found or find()
  return found.reason
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
end

local function is_root()
  return select(2, output "id -u") == "0\n"
end

-- It ends with the pipe, and so with this process; else it takes the names of signals, and "end".
local command = [[
cd '%s' || exit
env %s %s '%s/usr/sbin/nginx' -p '%s' -c nginx.conf -e error.log 2>start.log & pid=$!
end() { # waits for the end, but not for ever
  kill -"$1" $pid 2>/dev/null
  { sleep 60; kill -KILL $pid; } >/dev/null 2>&1 & guard=$!
  wait $pid
  kill $guard 2>/dev/null
  exit
}
while read -r signal; do
  [ "$signal" = end ] && end QUIT
  kill -"$signal" $pid
done
end TERM
]]

function nginx.start(options)
  assert(not nginx.why_not(), nginx.why_not())
  local _, prefix = output "mktemp -d /tmp/mypool-nginx.XXXXXX"
  prefix = prefix:gsub("\n", "")
  os.execute("mkdir " .. prefix .. "/tmp")
  local text = config:format(
    is_root() and "user root;" or "",
    options.workers or 1,
    options.main or "",
    options.http or "",
    options.server or ""
  )
  text = text:gsub("%u+", { ROOT = found.root, PREFIX = prefix, HERE = here, BUILD = found.build })
  write(prefix .. "/nginx.conf", text)
  os.execute("mkdir " .. prefix .. "/app")
  write(prefix .. "/app.lua", options.app or "return {}")
  for name, module in pairs(options.files or {}) do
    write(prefix .. "/" .. name, module)
  end
  local self = setmetatable({ prefix = prefix, env = options.env or "" }, nginx)
  self.pipe = assert(io.popen(command:format(prefix, found.env, self.env, found.root, prefix), "w"))
  eventually(function()
    return output(("test -S %s/http.sock && test -s %s/nginx.pid"):format(prefix, prefix)) or self:has_failed()
  end)
  self.pid = math.tointeger(io.lines(prefix .. "/nginx.pid")())
  return self
end

function nginx.has_failed(self)
  local log = self:log()
  if log:find "%[emerg%]" then
    error(log, 0)
  end
end

-- ---- requests ----

local function curl(self, path, options)
  return ("curl -s --max-time %g --unix-socket %s/http.sock %s http://n%s"):format(
    options and options.seconds or 20,
    self.prefix,
    options and options.curl or "",
    quote(path)
  )
end

-- Returns the body, and the status as a string, "000" when there was no answer.
function nginx.get(self, path, options)
  return self:begin(path, options)()
end

-- Begins a request, and returns a function that returns what get does.
function nginx.begin(self, path, options)
  local pipe = assert(io.popen(curl(self, path, options) .. " -w '\\n%{http_code}'"))
  return function()
    local printed = pipe:read "a"
    pipe:close()
    return printed:match "^(.*)\n(%d+)$"
  end
end

-- Begins a request, and returns a function that makes its client go away.
function nginx.visit(self, path)
  local pipe = assert(io.popen("echo $$; exec " .. curl(self, path)))
  local pid = pipe:read()
  return function()
    os.execute("kill " .. pid)
    pipe:close()
  end
end

-- ---- signals, the end ----

function nginx.signal(self, name)
  self.pipe:write(name, "\n")
  self.pipe:flush()
end

function nginx.workers(self)
  local pids = {}
  local _, printed = output(("cat /proc/%d/task/%d/children"):format(self.pid, self.pid))
  for pid in printed:gmatch "%d+" do
    pids[#pids + 1] = math.tointeger(pid)
  end
  return pids
end

function nginx.log(self)
  local file = io.open(self.prefix .. "/error.log")
  local text = file and file:read "a" or ""
  if file then
    file:close()
  end
  return text
end

-- The lines of the log that are not of the course of things.
function nginx.complaints(self)
  local lines = {}
  for line in self:log():gmatch "[^\n]+" do
    if not line:find "%[notice%]" then
      lines[#lines + 1] = line
    end
  end
  return table.concat(lines, "\n")
end

-- Ends it by QUIT, waits for that, and returns what error.log complains of.
function nginx.quit(self)
  if not self.pipe then
    return ""
  end
  self:signal "end"
  self.pipe:close()
  self.pipe = nil
  local complaints = self:complaints()
  os.execute("rm -rf " .. quote(self.prefix))
  return complaints
end

return nginx
