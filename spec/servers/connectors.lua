-- The versions of Connector/C that a program of a spec can run with: the one that is installed, and 3.4 where
-- spec/servers/fetch.sh has brought it.
--
--     for _, connector in ipairs(connectors) do
--       connector.run(text)      -- as spec.support.program
--
-- connector.version is like "3.4.10", connector.hash the one by which it knows a certificate ("sha256"). Where the
-- system's programs want a newer C library than 3.4 was brought with, 3.4 is left out, and connectors.lacks says why.

local program = require "spec.support.program"

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."

local function first_line(command)
  local pipe <close> = assert(io.popen(("(%s) 2>/dev/null"):format(command)))
  return pipe:read()
end

-- Programs of Debian's packages find their own C library only through their own loader. What runs under a sanitizer
-- has the system's with it.
local function brought()
  local root = first_line(("cd '%s/../../build/servers/libmariadb-3.4/root' && pwd -P"):format(folder))
  local loader = root and first_line(("ls '%s'/usr/lib*/ld-linux-*.so.*"):format(root))
  if not loader or os.getenv "MYPOOL_PRELOAD" then
    return nil
  end
  local libraries = first_line(("ls -d '%s'/usr/lib/*-linux-gnu"):format(root))
  local own = first_line "ls -d /usr/lib/*-linux-gnu"
  local lua = first_line "command -v ${LUA:-lua5.4}"
  return {
    before = ("LUA='%s --library-path %s:%s %s'"):format(loader, libraries, own, lua),
    environment = ("MARIADB_PLUGIN_DIR='%s/libmariadb3/plugin'"):format(libraries),
  }
end

local function add(connectors, how)
  function how.run(text)
    return program(text, how.environment, how.before)
  end
  local asked = [[
    local core = require "mypool.core"
    print(core.library_version, core.fingerprint_digits == 64 and "sha256" or "sha1")]]
  local printed = how.run(asked)
  connectors.lacks = printed:match "[^:%s]*: version `GLIBC_[%d.]+' not found"
  if connectors.lacks then
    return
  end
  how.version, how.hash = printed:match "^(3%.%S+)\t(%w+)\n$"
  connectors[#connectors + 1] = assert(how.version and how, printed)
end

local connectors = {}
add(connectors, {})
local other = brought()
if other then
  add(connectors, other)
end
return connectors
