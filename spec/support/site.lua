-- A site in nginx that uses a pool, for the specs of a file: one starts it, and with the spec it ends, in good order,
-- and with nothing in error.log but what the spec expects. nil where there is no nginx; a pending spec says why then.
--
--     local site = require("spec.support.site")(s) -- the server of a fixture
--     site.start { max_size = 1, server = "location = /x { … }" }
--     assert.equal("7\n", site.value "SELECT 7")
--     site.expects "a pattern that error.log should match"

local assert = require "luassert"
local busted = require "busted"
local eventually = require "spec.support.eventually"
local nginx = require "spec.servers.nginx"
local pools = require "spec.support.pools"

-- The module app: its pool, say, and what a spec adds. The collector is stopped: nothing comes back by chance.
local app = [[
  local app = {}
  collectgarbage "stop"
  app.pool = require("mypool").new {
    %s, user = "app", password = "secret", database = "app", name = "shop",
    max_size = %d, checkout_timeout = %g, wait = require "mypool.wait.nginx"%s
  }
  local pool = app.pool

  -- Answers the value, or the words of an error.
  function app.say(value, err)
    ngx.say(err and tostring(err) or tostring(value))
  end

  %s
  return app
]]

local locations = [[
  location = /value { content_by_lua_block {
    local app = require "app"
    app.say(app.pool:value(ngx.unescape_uri(ngx.var.arg_sql)))
  } }
  location = /stat { content_by_lua_block { ngx.say(require("app").pool:stats()[ngx.var.arg_of]) } }
]]

-- Of the adapter: releases what a request still holds at its end.
local FINISH = [[ log_by_lua_block { require("mypool.wait.nginx").finish() } ]]

local function escaped(sql)
  return "/value?sql=" .. sql:gsub("[^%w]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end)
end

local function new(s)
  local site = { finish = FINISH, web = nil }
  local expected

  -- options.at: where the server is, unless at its socket; options.pool: more options of the pool; options.app: code of
  -- the module; http, server, main, env, workers: as of nginx.start.
  function site.start(options)
    options = options or {}
    site.web = nginx.start {
      workers = options.workers,
      main = options.main,
      env = options.env,
      http = options.http,
      app = app:format(
        options.at or ("socket = %q"):format(s.socket),
        options.max_size or 8,
        options.checkout_timeout or 30,
        options.pool and ", " .. options.pool or "",
        options.app or ""
      ),
      server = locations .. (options.server or ""),
    }
    return site.web
  end

  function site.get(path, options)
    return site.web:get(path, options)
  end

  function site.value(sql)
    return (site.web:get(escaped(sql)))
  end

  -- Begins to ask for it, and returns a function that returns the answer and its status.
  function site.begin_value(sql)
    return site.web:begin(escaped(sql))
  end

  function site.stat(of)
    return tonumber((site.web:get("/stat?of=" .. of)))
  end

  function site.await_stat(of, wanted)
    eventually(function()
      return site.stat(of) == wanted
    end)
  end

  -- How many statements that begin so run on the server.
  function site.statements(text)
    return #s:sql(("SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE '%s%%'"):format(text))
  end

  function site.await_statements(text, count)
    eventually(function()
      return site.statements(text) == (count or 1)
    end)
  end

  -- Locks the row that "UPDATE held SET n = n + 1" wants. Returns a function that unlocks it.
  function site.lock()
    s:sql "CREATE OR REPLACE TABLE app.held (n INT) ENGINE=InnoDB; INSERT INTO app.held VALUES (0)"
    local pool, conn = pools.lend(s:options { max_size = 1 })
    assert(conn:query "START TRANSACTION")
    assert(conn:query "SELECT n FROM held FOR UPDATE")
    return function()
      conn:release()
      pool:close()
    end
  end

  function site.await_back()
    site.await_stat("lent", 0)
    site.await_stat("waiting", 0)
  end

  -- What requests did is over, on both sides; the pool serves, from a session that nothing was left in.
  function site.assert_all_back(text)
    site.await_back()
    site.await_statements(text or "SELECT SLEEP", 0)
    assert.equal("7\n", site.value "SELECT 7")
    assert.equal("nil\n", site.value "SELECT @a")
  end

  function site.expects(pattern)
    expected = pattern
  end

  -- Ends it; returns what error.log complains of.
  function site.quit()
    local web = site.web
    site.web = nil
    return web and web:quit() or ""
  end

  busted.before_each(function()
    expected = nil
  end)

  busted.after_each(function()
    local complaints = site.quit()
    pools.close()
    if expected then
      assert.match(expected, complaints)
    else
      assert.equal("", complaints)
    end
    s:await_empty()
  end)

  return site
end

return function(s)
  if not nginx.why_not() then
    return new(s)
  end
  busted.it("mypool in nginx", function()
    busted.pending(nginx.why_not())
  end)
end
