-- The private servers of the specs: what they answer, survive, and leave behind (nothing).

local fixture = require "spec.support.fixture"
local server = require "spec.servers.server"

local function succeeds(command)
  return (os.execute(command .. " >/dev/null 2>&1"))
end

local function exists(folder)
  return succeeds(("[ -e '%s' ]"):format(folder))
end

-- Processes that name the folder, or guard it; from /proc, as a bare machine has no ps. The brackets keep grep
-- from finding itself.
local function processes_of(folder, owner)
  local guard = owner and ("|[s]erver.sh guard %d $"):format(owner) or ""
  local list = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null"
  local pipe = assert(io.popen(("(%s) | grep -E '[/]%s%s'"):format(list, folder:match "[^/]+$", guard)))
  local found = pipe:read "a"
  pipe:close()
  return found
end

local function eventually(condition)
  for _ = 1, 100 do
    if condition() then
      return true
    end
    os.execute "sleep 0.05"
  end
  return false
end

local function assert_nothing_is_left(folder, owner)
  assert.is_true(eventually(function()
    return not exists(folder) and processes_of(folder, owner) == ""
  end), "still there: " .. folder .. "\n" .. processes_of(folder, owner))
end

-- Asks as the account "app", the way that programs do.
local function ask(s, place)
  local command = "MYSQL_PWD=%s mariadb --no-defaults --loose-skip-ssl-verify-server-cert -N -u%s %s "
    .. "-e 'SELECT CURRENT_USER()' %s 2>&1"
  local pipe = assert(io.popen(command:format(s.password, s.user, place, s.database)))
  local answer = pipe:read "a"
  pipe:close()
  return answer
end

describe("a private server", function()
  local s = fixture.server()

  teardown(function()
    assert_nothing_is_left(s.folder)
  end)

  before_each(function()
    s:sql "CREATE OR REPLACE TABLE app.t (n INT)"
  end)

  it("answers over its socket and over TCP", function()
    assert.matches("^app@", ask(s, "--socket=" .. s.socket))
    assert.matches("^app@", ask(s, ("--protocol=tcp --host=%s --port=%d"):format(s.host, s.port)))
  end)

  it("gives the result of SQL as lines of tab-separated columns", function()
    assert.same({ "1\tit's", "NULL\t\\t" }, s:sql [[SELECT 1, "it's" UNION ALL SELECT NULL, '\t']])
  end)

  it("raises the client's message when SQL fails", function()
    local _, message = pcall(s.sql, s, "SELECT * FROM app.missing")
    assert.matches("ERROR 1146 (42S02) at line 1: Table 'app.missing' doesn't exist", message, 1, true)
  end)

  it("has the databases app and other, and a limited user who sees only app", function()
    local databases = "SELECT schema_name FROM information_schema.schemata WHERE schema_name IN ('app', 'other')"
    assert.same({ "app", "other" }, s:sql(databases .. " ORDER BY 1"))
    local as_limited = "mariadb --no-defaults -N -ulimited -psecret -S %s -e %q"
    local pipe = assert(io.popen(as_limited:format(s.socket, databases)))
    assert.equal("app\n", pipe:read "a")
    pipe:close()
  end)

  it("keeps its data and its port over a restart", function()
    local port = s.port
    s:sql "INSERT INTO app.t VALUES (7)"
    s:restart()
    assert.same({ "7" }, s:sql "SELECT n FROM app.t")
    assert.equal(port, s.port)
  end)

  it("keeps what was committed when it is killed", function()
    s:sql "INSERT INTO app.t VALUES (8)"
    s:kill()
    assert.has_error(function()
      s:sql "SELECT 1"
    end)
    s:resume()
    assert.same({ "8" }, s:sql "SELECT n FROM app.t")
  end)

  it("takes new options at a restart, and keeps them when resumed", function()
    s:restart { "--wait-timeout=77", "--init-connect=SET @a = 'b c'" }
    s:stop()
    s:resume()
    assert.same({ "77\tSET @a = 'b c'" }, s:sql "SELECT @@global.wait_timeout, @@global.init_connect")
  end)

  it("accepts connections while it is paused, but answers only when it is continued", function()
    local hurried = ("timeout 0.3 mariadb --no-defaults -uroot --socket=%s -e 'DO 0'"):format(s.socket)
    s:pause()
    assert.is_nil(succeeds(hurried))
    s:continue()
    assert.is_true(succeeds(hurried))
  end)

  it("can be stopped and killed while it is paused, and twice", function()
    for _, stop in ipairs { s.stop, s.kill } do
      s:pause()
      stop(s)
      stop(s)
      s:resume()
    end
    assert.same({ "1" }, s:sql "SELECT 1")
  end)

  it("describes itself as options and as a DSN", function()
    local socket = { socket = s.socket, user = "limited", password = "secret", database = "app", max_size = 2 }
    local tcp = { host = "127.0.0.1", port = s.port, user = "app", password = "secret", database = "other" }
    assert.same(socket, s:options { user = "limited", max_size = 2 })
    assert.same(tcp, s:tcp_options { database = "other" })
    assert.equal(("mariadb://app:secret@127.0.0.1:%d/app"):format(s.port), s:dsn())
  end)
end)

describe("server.start", function()
  it("starts several servers, each with its own data and options", function()
    local a, b = server.start { options = { "--wait-timeout=5" } }, server.start()
    a:sql "CREATE TABLE app.only_here (n INT)"
    assert.same({ "5" }, a:sql "SELECT @@global.wait_timeout")
    assert.same({}, b:sql "SHOW TABLES FROM app")
    assert.not_equal(a.port, b.port)
    a:remove()
    assert.same({ "1" }, b:sql "SELECT 1")
    b:remove()
    assert_nothing_is_left(a.folder)
    assert_nothing_is_left(b.folder)
  end)

  it("raises the server's own words when it does not start", function()
    local _, message = pcall(server.start, { options = { "--no-such-option" } })
    assert.matches("unknown option '--no-such-option'", message, 1, true)
  end)

  it("removes a paused server", function()
    local s = server.start()
    s:pause()
    s:remove()
    assert_nothing_is_left(s.folder)
  end)
end)

describe("server.shared", function()
  it("is the same server for every spec file", function()
    local s = server.shared()
    package.loaded["spec.servers.server"] = nil -- as busted does between files
    assert.equal(s, require("spec.servers.server").shared())
  end)

  it("is the server of MYPOOL_DSN, which cannot be stopped", function()
    local program = [[
      local s = require "spec.servers.server".shared()
      local _, message = pcall(s.kill, s)
      print(s.own, s.host, s.port, s.user, s.password, s.database, s:dsn(), message)
    ]]
    local dsn = "mariadb://me:p%%40ss@db.example:3307/shop"
    local pipe = assert(io.popen(("MYPOOL_DSN='%s' ${LUA:-lua5.4} -e '%s'"):format(dsn:gsub("%%%%", "%%"), program)))
    local expected = "false\tdb.example\t3307\tme\tp@ss\tshop\tmariadb://me:p%40ss@db.example:3307/shop\t"
    assert.equal(expected .. "the server of MYPOOL_DSN is not ours to stop or restart\n", pipe:read "a")
    pipe:close()
  end)
end)

describe("when the process that started a server ends", function()
  -- Runs a program that starts a server. Returns its pipe, pid and the server's folder.
  local function start_owner(ending)
    local program = [[
      io.stdout:setvbuf "line"
      print((io.popen("echo $PPID"):read()))
      local s = require "spec.servers.server".start()
      print(s.folder)
    ]] .. ending
    local pipe = assert(io.popen(("exec ${LUA:-lua5.4} -e '%s' 2>/dev/null"):format(program)))
    return pipe, math.tointeger(pipe:read()), pipe:read()
  end

  for _, signal in ipairs { "INT", "TERM", "HUP", "KILL" } do
    it("by SIG" .. signal .. ", nothing is left", function()
      local pipe, owner, folder = start_owner "while true do end"
      assert.not_equal("", processes_of(folder, owner))
      os.execute(("kill -%s %d"):format(signal, owner))
      pipe:close()
      assert_nothing_is_left(folder, owner)
    end)
  end

  it("normally, its folder is gone at once", function()
    local pipe, owner, folder = start_owner ""
    pipe:close()
    assert.is_false(exists(folder) or false)
    assert_nothing_is_left(folder, owner)
  end)

  it("without closing its Lua state, nothing is left", function()
    local pipe, owner, folder = start_owner "os.exit(0, false)"
    pipe:close()
    assert_nothing_is_left(folder, owner)
  end)

  it("while the server is paused, nothing is left", function()
    local pipe, owner, folder = start_owner "s:pause() os.exit(0, false)"
    pipe:close()
    assert_nothing_is_left(folder, owner)
  end)

  it("while the server is still starting, nothing is left", function()
    local program = [[
      server=$PWD/spec/servers/server.sh
      dir=$(bash "$server" create $$) && echo $$ $dir && exec bash "$server" start $dir
    ]]
    local command = ("exec sh -c '%s' 2>/dev/null"):format(program)
    for delay = 1, 9, 2 do
      local pipe = assert(io.popen(command))
      local owner, folder = pipe:read():match "^(%d+) (.+)$"
      os.execute(("sleep 0.0%d; kill -KILL %d"):format(delay, owner))
      pipe:close()
      assert_nothing_is_left(folder, math.tointeger(owner))
    end
  end)
end)
