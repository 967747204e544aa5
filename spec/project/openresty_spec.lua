-- The files of doc/openresty.md serve requests as they stand there, but for the addresses in them.

local fixture = require "spec.support.fixture"
local nginx = require "spec.servers.nginx"

if nginx.why_not() then
  it("doc/openresty.md", function()
    pending(nginx.why_not())
  end)
  return
end

local s = fixture.server()

-- Its fenced blocks by what stands behind their backticks.
local function blocks()
  local found, name = {}, nil
  for line in io.lines "doc/openresty.md" do
    local begins = line:match "^```(.*)$"
    if begins then
      name = begins ~= "" and begins or nil
      found[name or ""] = ""
    elseif name then
      found[name] = found[name] .. line .. "\n"
    end
  end
  return found
end

local function replace(text, from, to)
  local at, last = text:find(from, 1, true)
  assert(at, from .. " is not in the page")
  return text:sub(1, at - 1) .. to .. text:sub(last + 1)
end

describe("doc/openresty.md", function()
  it("has files that serve requests", function()
    s:sql "CREATE TABLE app.users (id INT PRIMARY KEY, name VARCHAR(20)); INSERT INTO app.users VALUES (1, 'Ann')"
    local page = blocks()
    local http = replace(page.nginx, "listen 8080", "listen unix:PREFIX/doc.sock")
    local account = 'host = "db", user = "app", password = "secret", database = "shop"'
    local own = ('socket = %q, user = "app", password = "secret", database = "app"'):format(s.socket)
    local web = nginx.start {
      http = http,
      files = {
        ["app/db.lua"] = replace(page["lua app/db.lua"], account, own),
        ["app/user.lua"] = page["lua app/user.lua"],
      },
    }
    local over = { curl = ("--unix-socket %s/doc.sock"):format(web.prefix) }
    assert.equal("Ann\n", (web:get("/?id=1", over)))
    assert.equal("nobody\n", (web:get("/?id=2", over)))
    s:sql "DROP TABLE app.users"
    assert.equal("500", select(2, web:get("/?id=1", over)))
    assert.match("doesn't exist", web:quit())
  end)
end)
