-- What the Makefile and the rockspec promise: an installed mypool works from anywhere, exports one
-- symbol, and each folder of src can include only what it may use.

-- Builds of users: the flags of a `make test SANITIZE=1` that runs this file are not theirs.
local clean = "env -u LD_PRELOAD -u ASAN_OPTIONS -u LSAN_OPTIONS -u MAKEFLAGS -u MFLAGS -u MAKELEVEL"
  .. " -u SANITIZE -u BUILD -u LUA_PATH -u LUA_CPATH -u LUA_INIT "

-- Runs a shell command; returns whether it succeeded, and what it printed.
local function try(command, ...)
  local pipe <close> = assert(io.popen(clean .. "sh -c '" .. command:format(...):gsub("'", "'\\''") .. "' 2>&1"))
  local printed = pipe:read "a"
  return pipe:close() == true, printed
end

local function run(command, ...)
  local ok, printed = try(command, ...)
  assert(ok, printed)
  return printed
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do
    lines[#lines + 1] = line
  end
  table.sort(lines)
  return lines
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

local rockspec = "rockspec/mypool-dev-1.rockspec"
local released = "rockspec/mypool-0.2.0-1.rockspec"
local lua_files = lines_of(run "cd lua && find mypool -name '*.lua'")

local doc_files = lines_of(run "find README.md LICENSE CHANGELOG.md CONTRIBUTING.md SECURITY.md doc -type f")

local function installed_files()
  local files = { "lib/lua/5.4/mypool/core.so", "share/lua/5.4/mypool.d.lua" }
  for _, file in ipairs(lua_files) do
    files[#files + 1] = "share/lua/5.4/" .. file
  end
  table.sort(files)
  return files
end

-- Requires mypool in another folder, from nothing but this installation.
local function try_installation(prefix)
  return run(
    [[cd / && LUA_PATH="%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua" LUA_CPATH="%s/lib/lua/5.4/?.so" lua5.4 -e '
      local mypool = require "mypool"
      for _, file in ipairs { %s } do
        assert(package.searchpath(file, package.path))
      end
      local pool <const> = mypool.new { host = "127.0.0.1", port = 1, retries = 0 }
      local ok, err = pool:ping()
      print(mypool._VERSION, ok, err.kind)']],
    prefix,
    prefix,
    prefix,
    '"' .. table.concat(lua_files, '", "'):gsub("%.lua", ""):gsub("/init", "") .. '"'
  )
end

describe("the build", function()
  local folder

  lazy_setup(function()
    folder = run("mktemp -d"):match "^[^\n]+"
  end)

  lazy_teardown(function()
    run("rm -rf %s", folder)
  end)

  it("exports luaopen_mypool_core and nothing else", function()
    local core = assert(package.searchpath("mypool.core", package.cpath))
    local names = {}
    for line in run("nm -D --defined-only %s", core):gmatch "[^\n]+" do
      names[#names + 1] = line:match "^%x+ %u (.*)$"
    end
    assert.same({ "luaopen_mypool_core" }, names)
  end)

  it("is looked for where it will be when its Lua is yet to be installed", function()
    local commands = run "make -n demo LUA=/nowhere/lua5.5"
    assert.truthy(commands:find("build/lua5.5/?.so", 1, true), commands)
  end)

  describe("make install", function()
    it("puts the files below DESTDIR and PREFIX, from where mypool can be required", function()
      run("make install DESTDIR=%s/root PREFIX=/opt/mypool", folder)
      local prefix = folder .. "/root/opt/mypool"
      assert.same({ "./opt" }, lines_of(run("cd %s/root && find . -mindepth 1 -maxdepth 1", folder)))
      local files = installed_files()
      for _, file in ipairs(doc_files) do
        files[#files + 1] = "share/doc/mypool/" .. file
      end
      table.sort(files)
      assert.same(files, lines_of(run("cd %s && find * -type f", prefix)))
      assert.match("^0%.%d+%.%d+%snil%sconnect\n$", try_installation(prefix))
    end)

    it("prints what to set where Lua does not look", function()
      local printed = run("make install DESTDIR=%s/root PREFIX=/opt/mypool", folder)
      assert.matches('export LUA_PATH="/opt/mypool/share/lua/5.4/?.lua;', printed, 1, true)
      assert.matches('export LUA_CPATH="/opt/mypool/lib/lua/5.4/?.so;;"', printed, 1, true)
      assert.is_nil(run("make install DESTDIR=%s/usual PREFIX=/usr/local", folder):find("export", 1, true))
    end)

    it("is taken away by make uninstall, which leaves what others put there", function()
      run("make install DESTDIR=%s/root PREFIX=/opt/mypool", folder)
      run("touch %s/root/opt/mypool/share/lua/5.4/mypool/own.lua", folder)
      run("make uninstall DESTDIR=%s/root PREFIX=/opt/mypool", folder)
      local left = lines_of(run("cd %s/root/opt/mypool && find * -type f", folder))
      assert.same({ "share/lua/5.4/mypool/own.lua" }, left)
      assert.equal("", run("find %s/root -path '*/doc/mypool*'", folder))
    end)
  end)

  -- ---- luarocks ----

  -- A rockspec is a Lua program that sets globals.
  local function load_rockspec(path)
    local fields = {}
    assert(loadfile(path, "t", fields))()
    return fields
  end

  -- LuaRocks compiles with gcc, of which it also learns in which folder Debian keeps libraries; without gcc it is told.
  local instead = "CC=${CC:-cc} MARIADB_INCDIR=/usr/include MARIADB_LIBDIR=$(pkg-config --variable=libdir libmariadb)"
  local without_gcc = (" $(command -v gcc >/dev/null || echo %s)"):format(instead) -- the first value of a name counts

  local function luarocks(arguments, ...)
    return run("cd %s/rock && HOME=%s luarocks " .. arguments .. without_gcc, folder, folder, ...)
  end

  describe("the rockspec", function()
    local commit_all = "git -c user.name=spec -c user.email=spec@localhost commit -qm rock"

    lazy_setup(function()
      run("mkdir %s/rock && cp -r Makefile src lua rockspec doc tools *.md LICENSE %s/rock", folder, folder)
    end)

    it("of the release is that of the checkout, with the version and its tag", function()
      local release, checkout = load_rockspec(released), load_rockspec(rockspec)
      local version = require("mypool")._VERSION
      assert.same({ version .. "-1", "v" .. version }, { release.version, release.source.tag })
      release.version, release.source = checkout.version, checkout.source
      assert.same(checkout, release)
    end)

    for _, path in ipairs { rockspec, released } do
      it("passes luarocks lint: " .. path, function()
        luarocks("--lua-version 5.4 lint %s", path)
      end)
    end

    it("installs a mypool that can be required, by luarocks make alone", function()
      luarocks("--lua-version 5.4 make --tree=%s/tree %s", folder, rockspec)
      assert.same(installed_files(), lines_of(run("cd %s/tree && find lib/lua share/lua -type f", folder)))
      assert.match("^0%.%d+%.%d+%snil%sconnect\n$", try_installation(folder .. "/tree"))
    end)

    it("takes Connector/C from where it is told, and looks below it", function()
      local headers = run("pkg-config --cflags-only-I libmariadb"):match "-I(%S+)"
      run("mkdir -p %s/elsewhere && cp -r %s %s/elsewhere/mysql", folder, headers, folder)
      run("rm -rf %s/rock/build", folder)
      local told = ("MARIADB_INCDIR=%s/elsewhere"):format(folder)
      luarocks("--lua-version 5.4 make --tree=%s/told %s %s", folder, released, told)
      assert.truthy(run("cat %s/rock/build/obj/mariadb/call.d", folder):find(folder .. "/elsewhere/mysql/", 1, true))
    end)

    it("builds for LuaJIT, which says that it is 5.1", function()
      luarocks("--lua-version 5.1 make --tree=%s/jit %s LUA=luajit", folder, released)
      local share = folder .. "/jit/share/lua/5.1/"
      local paths = ('LUA_PATH="%s?.lua;%s?/init.lua" LUA_CPATH="%s/jit/lib/lua/5.1/?.so"'):format(share, share, folder)
      run("cd / && %s luajit -e 'require [[mypool]]'", paths)
    end)

    it("makes a rock of what is tagged", function()
      run("cd %s/rock && rm -rf build && git init -q && git add . && %s && git tag v0.2.0", folder, commit_all)
      local copy = folder .. "/mypool-0.2.0-1.rockspec" -- with the address of this repository
      run("sed s,file://[.],file://%s/rock, %s/rock/%s >%s", folder, folder, released, copy)
      luarocks("--lua-version 5.4 pack %s", copy)
      assert.truthy(run("unzip -l %s/rock/mypool-0.2.0-1.src.rock", folder):find("mypool-0.2.0-1.rockspec", 1, true))
    end)

    -- Makes the archive and its rockspec of a release that lies in this folder.
    local function dist(place)
      local version = require("mypool")._VERSION
      local archive, specification = ("mypool-%s.tar.gz"):format(version), ("mypool-%s-1.rockspec"):format(version)
      run("mkdir -p %s/%s && rm -rf %s/dist && cp -r %s/rock %s/dist", folder, place, folder, folder, folder)
      run("cd %s/dist && rm -rf build .git && git init -q && git add . && %s", folder, commit_all)
      run("cd %s/dist && make dist URL=file://%s/%s/%s", folder, folder, place, archive)
      run("mv %s/dist/build/dist/* %s/%s", folder, folder, place)
      return ("%s/%s/"):format(folder, place), archive, specification
    end

    it("is made by make dist, with an archive of which luarocks packs and installs without a network", function()
      local place, archive, specification = dist "published"
      assert.same(lines_of(archive .. "\n" .. specification), lines_of(run("ls %s", place)))
      local fields = load_rockspec(place .. specification)
      assert.equal("file://" .. place .. archive, fields.source.url)
      fields.source = load_rockspec(released).source
      assert.same(load_rockspec(released), fields)
      luarocks("--lua-version 5.4 lint %s%s", place, specification)
      luarocks("--lua-version 5.4 pack %s%s", place, specification)
      local rock = specification:gsub("%.rockspec$", ".src.rock")
      luarocks("--lua-version 5.4 install --tree=%s/released %s", folder, rock)
      assert.equal(require("mypool")._VERSION .. "\tnil\tconnect\n", try_installation(folder .. "/released"))
    end)

    it("of make dist refuses an archive that is another one", function()
      local place, archive, specification = dist "changed"
      run("echo more >>%s%s", place, archive)
      local ok, printed = try("cd %s && HOME=%s luarocks --lua-version 5.4 pack %s", place, folder, specification)
      assert.is_false(ok)
      assert.truthy(printed:find "MD5", printed)
    end)
  end)

  -- ---- what each folder may include ----

  describe("a file of", function()
    local copy

    lazy_setup(function()
      copy = folder .. "/copy"
      run("mkdir %s && cp -r Makefile src %s", copy, copy)
    end)

    -- Compiles a file in this folder of src just as the Makefile compiles the others.
    local function compile(place, include)
      local text = ("#include %s\nextern int trial;\nint trial = 1;\n"):format(include)
      write(("%s/src/%s/trial.c"):format(copy, place), text)
      return try("cd %s && rm -f build/obj/%s/trial.o && make build/obj/%s/trial.o", copy, place, place)
    end

    local function may_include(place, include)
      it(("src/%s compiles with %s"):format(place, include), function()
        assert(compile(place, include))
      end)
    end

    local function may_not_include(place, include)
      it(("src/%s does not compile with %s"):format(place, include), function()
        if try("printf '#include %s\\n' | cc -E - ", include) then
          pending(("on this system %s can be included by everybody"):format(include))
          return
        end
        local ok, printed = compile(place, include)
        assert.falsy(ok)
        assert.truthy(printed:find "No such file" or printed:find "file not found", printed) -- gcc, clang
      end)
    end

    may_include("pool", '"driver.h"')
    may_not_include("pool", "<mysql.h>")
    may_not_include("pool", "<lua.h>")
    may_include("lua", "<lua.h>")
    may_not_include("lua", "<mysql.h>")
    may_include("mariadb", "<mysql.h>")
    may_not_include("mariadb", "<lua.h>")

    it("src/pool and src/lua includes no header of the others by a longer path", function()
      local function includes(place, pattern)
        return select(2, try("grep -nE '#include [<\"]([^>\"]*/)?(%s)' src/%s/*", pattern, place))
      end
      local mysql, lua = "my(sql|_)|ma_|errmsg|mariadb[_/]|session\\.h", "lua|lauxlib"
      assert.equal("", includes("pool", mysql .. "|" .. lua))
      assert.equal("", includes("lua", mysql))
      assert.equal("", includes("mariadb", lua))
    end)
  end)
end)
