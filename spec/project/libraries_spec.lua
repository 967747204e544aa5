-- Connector/C 3.3 and 3.4 have the same name for the loader, and differ within: a module that was built with one must
-- work with the other, which comes with the next upgrade of the system, or say in words that it does not.

local program = require "spec.support.program"
local server = require "spec.servers.server"

local root = "build/servers/libmariadb-3.4/root/usr"

-- Runs a command without the flags of the `make test` that runs this file. Returns whether it succeeded, and what it
-- printed.
local function run(command)
  local clean = "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u BUILD -u LUA -u LUA_VERSION timeout 300 "
  local pipe <close> = assert(io.popen(clean .. command .. " 2>&1"))
  local printed = pipe:read "a"
  return pipe:close() == true, printed
end

-- Why 3.4 is not here; nil: it is.
local function find()
  if os.getenv "MYPOOL_PRELOAD" then
    return "the other library runs with another C library, which has no sanitizer"
  end
  local ok, printed = run "bash spec/servers/fetch.sh libmariadb-3.4"
  return not ok and printed:gsub("\n", " ") or nil
end

-- All that mypool does to libmariadb's inside is done here: reads in vain, replies to a prepare, what is stopped, TLS.
local text = [[
  package.cpath = %q .. package.cpath
  local mypool = require "mypool"
  local options = %s
  local function all(wait)
    options.wait = wait
    local pool = mypool.new(options)
    local conn = assert(pool:checkout())
    assert(conn:query "SET @mine = 1")
    assert(conn:prepare "SELECT ? + 1":value(6) == 7)
    assert(#conn:query "SELECT seq FROM seq_1_to_10000" == 10000)
    conn:release()
    assert(pool:value "SELECT @mine IS NULL" == 1)
    local _, err = pool:query { "SELECT SLEEP(20)", timeout = 0.2 }
    assert(err.kind == "timeout")
    assert(pool:value("SELECT ?", "again") == "again")
    pool:close()
  end
  all()
  require "cqueues".new():wrap(all, require "mypool.wait.cqueues"):loop()
  local r <close> = require "spec.servers.relay".start(%q)
  options.socket, options.host, options.port, options.wait, options.retries = nil, r.host, r.port, nil, 0
  local conn = assert(mypool.new(options):checkout())
  r:corrupt_here("down", 11, 3) -- as if the statement had three parameters
  assert(not conn:prepare "SELECT ? + ?")
  print(require "mypool.core".library_version)
]]

describe("mypool, built with one version of Connector/C", function()
  local s, lacks, connectors

  setup(function()
    lacks = find()
    if not lacks then
      s = server.shared()
      connectors = require "spec.servers.connectors"
      lacks = connectors.lacks
    end
  end)

  -- The folder of the module; the running one was built with the library that is installed.
  local function build(version)
    if version ~= "3.4" then
      return "./build"
    end
    local folder = "build/connector-" .. version
    local libraries = select(2, run("ls -d " .. root .. "/lib/*-linux-gnu")):match "%S+"
    local ok, log = run(
      ("make BUILD=%s MARIADB_INCDIR=%s/include/mariadb MARIADB_LIBDIR=%s %s/mypool/core.so"):format(
        folder,
        root,
        libraries,
        folder
      )
    )
    assert(ok, log)
    return folder
  end

  local function options()
    local given = s:options {}
    return ("{ socket = %q, user = %q, password = %q, database = %q, max_size = 1, server_public_key = %s }"):format(
      given.socket,
      given.user,
      given.password,
      given.database,
      s.public_key and ("%q"):format(s.public_key)
    )
  end

  for _, built in ipairs { "3.3", "3.4" } do
    it(("%s, works with either, or says what is wrong"):format(built), function()
      if lacks then
        return pending(lacks)
      end
      local folder = build(built)
      assert.equal(2, #connectors)
      for _, connector in ipairs(connectors) do
        local source = text:format("./" .. folder .. "/?.so;", options(), s.host .. ":" .. s.port)
        local printed, ended_well = program(source, connector.environment, connector.before, 60)
        assert.is_true(ended_well, ("with %s: %s"):format(connector.version, printed))
        assert.is_truthy(printed:find(connector.version, 1, true), printed)
      end
    end)
  end
end)
