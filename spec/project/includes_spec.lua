-- What `make lint` refuses: includes that cross the folders of src, files that do not begin with the header of their
-- own prototypes, and files of a folder that reach each other.

local root

-- Runs a shell command; returns what it printed, and whether it succeeded.
local function run(command, ...)
  local pipe = assert(io.popen(command:format(...) .. " 2>&1"))
  local printed = pipe:read "a"
  return printed, pipe:close() == true
end

local function write(name, text)
  assert(run("mkdir -p \"$(dirname '%s/src/%s')\"", root, name))
  local file <close> = assert(io.open(root .. "/src/" .. name, "w"))
  assert(file:write(text))
end

-- What is said of the sources, of which those in C are compiled first: the lines in their order, and whether all is
-- well.
local function check(...)
  for _, name in ipairs { ... } do
    local object = root .. "/obj/" .. name:gsub("%.c$", ".o")
    local printed, ok = run(
      [[mkdir -p "$(dirname '%s')" && ${CC:-cc} -O2 -fPIC -I'%s/src' -c '%s/src/%s' -o '%s']],
      object, root, root, name, object
    )
    assert(ok, printed)
  end
  local printed, ok = run("${LUA:-lua5.4} tools/includes.lua '%s/src' '%s/obj'", root, root)
  local lines = {}
  for line in printed:gmatch "[^\n]+" do
    lines[#lines + 1] = line
  end
  table.sort(lines)
  return lines, ok
end

local function assert_well(...)
  local lines, ok = check(...)
  assert.same({}, lines)
  assert.is_true(ok)
end

local function assert_refused(expected, ...)
  local lines, ok = check(...)
  assert.same(expected, lines)
  assert.is_false(ok)
end

local wanted = '#include "driver.h"\n'

describe("tools/includes.lua", function()
  before_each(function()
    root = assert(run "mktemp -d"):gsub("%s+$", "")
    run("mkdir -p '%s/src' '%s/obj'", root, root)
    write("outcome.h", "#include <stdint.h>\n")
    write("result.h", '#include "outcome.h"\n')
    write("sql.h", '#include "result.h"\n')
    write("mypool.h", '#include "result.h"\n#include "sql.h"\n')
    write("driver.h", '#include "mypool.h"\n')
  end)

  after_each(function()
    run("rm -r '%s'", root)
  end)

  it("has nothing to say of folders that use what they may", function()
    write("pool/queue.h", '#include "driver.h"\nvoid queue(void);\n')
    write("pool/queue.c", '#include "queue.h"\n#include <string.h>\nvoid queue(void) {}\n')
    write("pool/loan.c", '#include "mypool.h"\n#include "queue.h"\nvoid loan(void);\nvoid loan(void) { queue(); }\n')
    write("mariadb/call.c", '#include "driver.h"\n#include "outcome.h"\n#include <poll.h>\n')
    assert_well("pool/queue.c", "pool/loan.c", "mariadb/call.c")
  end)

  it("refuses another folder's headers, and a lower header that wants a higher one", function()
    write("pool/pool.h", "")
    write("mariadb/call.c", '#include "driver.h"\n#include "pool/pool.h"\n')
    write("sql/scan.c", '#include "mypool.h"\n')
    write("outcome.h", '#include "result.h"\n')
    assert_refused {
      'mariadb/call.c may not include "pool/pool.h"',
      'outcome.h may not include "result.h"',
      'sql/scan.c may not include "mypool.h"',
    }
  end)

  it("refuses the system's headers, Lua's and libmariadb's where they are not wanted", function()
    write("pool/loan.c", '#include "driver.h"\n#include <poll.h>\n  # include <mysql.h>\n')
    write("mariadb/call.c", '#include "driver.h"\n#include <lua.h>\n#include <poll.h>\n#include <mysql.h>\n')
    write("lua/core.c", '#include "mypool.h"\n#include <lauxlib.h>\n#include <poll.h>\n#include <unistd.h>\n')
    assert_refused {
      "lua/core.c may not include <unistd.h>",
      "mariadb/call.c may not include <lua.h>",
      "pool/loan.c may not include <mysql.h>",
      "pool/loan.c may not include <poll.h>",
    }
  end)

  it("wants the header of a file's own prototypes to be the first that it includes", function()
    write("pool/queue.h", "")
    write("pool/queue.c", '#include "driver.h"\n#include "queue.h"\n')
    write("pool/loan.c", '#include "queue.h"\n')
    write("pool/idle.c", "#include <string.h>\n#include \"mypool.h\"\n")
    write("os/wakeup.h", "")
    write("os/wakeup_eventfd.c", '#include "wakeup.h"\n')
    write("os/wakeup_kqueue.c", '#include "outcome.h"\n')
    assert_refused {
      "os/wakeup_kqueue.c does not begin with the header of its own prototypes",
      "pool/idle.c does not begin with the header of its own prototypes",
      "pool/loan.c does not begin with the header of its own prototypes",
      "pool/queue.c does not begin with the header of its own prototypes",
    }
  end)

  it("knows every folder, or says so", function()
    write("cache/cache.h", "")
    assert_refused { "cache/cache.h: no rule says what a file of the folder 'cache' may include" }
  end)

  it("names the calls by which files reach each other", function()
    write("pool/loan.c", wanted .. "void queue(void);\nvoid loan(void) { queue(); }\n")
    write("pool/queue.c", wanted .. "void idle(void);\nvoid queue(void) { idle(); }\n")
    write("pool/idle.c", wanted .. "void loan(void);\nvoid idle(void) { loan(); }\n")
    assert_refused(
      { "pool: a circle: idle.c names loan of loan.c, loan.c names queue of queue.c, queue.c names idle of idle.c" },
      "pool/loan.c",
      "pool/queue.c",
      "pool/idle.c"
    )
  end)

  it("tells of every circle of a folder", function()
    write("pool/loan.c", wanted .. "void queue(void), idle(void);\nvoid loan(void) { queue(); idle(); }\n")
    write("pool/queue.c", wanted .. "void loan(void);\nvoid queue(void) { loan(); }\n")
    write("pool/idle.c", wanted .. "void loan(void);\nvoid idle(void) { loan(); }\n")
    assert_refused({
      "pool: a circle: idle.c names loan of loan.c, loan.c names idle of idle.c",
      "pool: a circle: loan.c names queue of queue.c, queue.c names loan of loan.c",
    }, "pool/loan.c", "pool/queue.c", "pool/idle.c")
  end)

  it("takes a function in a table for plugged in, not for called", function()
    local declared = wanted .. "void queue(int), loan(void), lost(void);\n"
    write("pool/loan.c", declared .. "void loan(void) { queue(1); }\nvoid lost(void) {}\n")
    write("pool/queue.c", declared .. "void (*const ends[])(void) = {lost, loan};\nvoid queue(int i) { ends[i](); }\n")
    assert_well("pool/loan.c", "pool/queue.c")
  end)
end)
