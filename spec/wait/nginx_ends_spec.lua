-- What a request of nginx leaves behind, however it ends, comes back: the slot, the place in line, the session, and the
-- statement is stopped.

local fixture = require "spec.support.fixture"

local s = fixture.server()

local site = require "spec.support.site"(s)
if not site then
  return
end

describe("a client that goes away", function()
  it("in a statement: it is stopped, the slot is back, the session clean and used again", function()
    site.start {
      max_size = 1,
      server = [[ location = /abort { lua_check_client_abort on; content_by_lua_block {
        local pool = require("app").pool
        pool:with(function(db)
          db:query "SET @a = 1"
          db:query "SELECT SLEEP(30)"
        end)
      } } ]],
    }
    local opened
    for _ = 1, 3 do
      local leave = site.web:visit "/abort"
      site.await_statements("SELECT SLEEP", 1)
      leave()
      site.assert_all_back()
      opened = opened or site.stat "opened"
    end
    assert.equal(3, site.stat "abandoned")
    assert.equal(0, site.stat "forgotten")
  end)

  it("in line: its place is free", function()
    local unlock = site.lock()
    site.start {
      max_size = 1,
      server = [[ location = /abort { lua_check_client_abort on; content_by_lua_block {
        require("app").pool:query "SELECT 1"
      } } ]],
    }
    local holder = site.begin_value "UPDATE held SET n = n + 1"
    site.await_statements("UPDATE held", 1)
    local leave = site.web:visit "/abort"
    site.await_stat("waiting", 1)
    leave()
    site.await_stat("waiting", 0)
    unlock()
    assert.equal("nil\n", (holder()))
    site.assert_all_back()
  end)

  it("is not looked for without lua_check_client_abort: the statement runs to its end", function()
    local unlock = site.lock()
    site.start {
      server = [[
        location = /stay { content_by_lua_block { require("app").pool:query "UPDATE held SET n = n + 1" } }
        location = /abort { lua_check_client_abort on; content_by_lua_block {
          require("app").pool:query "SELECT SLEEP(30)"
        } }
      ]],
    }
    local leave_stay, leave_abort = site.web:visit "/stay", site.web:visit "/abort"
    site.await_statements("UPDATE held", 1)
    site.await_statements("SELECT SLEEP", 1)
    leave_stay()
    leave_abort()
    site.await_stat("abandoned", 1)
    unlock()
    site.assert_all_back()
    assert.equal("1", s:sql("SELECT n FROM app.held")[1])
    assert.equal(1, site.stat "abandoned")
  end)
end)

describe("a request that ends itself", function()
  local ends = {
    ["by ngx.exit in pool:with"] = [[pool:with(function(db) db:query "SET @a = 1" ngx.exit(404) end)]],
    ["by ngx.exit with a connection in hand"] = [[local db = pool:checkout() db:query "SET @a = 1" ngx.exit(404)]],
    ["by ngx.redirect in a transaction"] = [[pool:transaction(function(tx) tx:query "DO 1" ngx.redirect "/ping" end)]],
    ["by ngx.exec in a loop over rows"] = [[for _ in pool:rows "SELECT 1 UNION SELECT 2" do ngx.exec "/ping" end]],
    ["by ngx.exit beside a thread that queries"] = [[
      ngx.thread.spawn(function() pool:query "SELECT SLEEP(30)" end)
      ngx.sleep(0.2)
      ngx.exit(404)]],
    ["by killing its thread in a statement"] = [[
      local thread = ngx.thread.spawn(function() pool:query "SELECT SLEEP(30)" end)
      ngx.sleep(0.2)
      ngx.thread.kill(thread)]],
  }
  for name, code in pairs(ends) do
    it(name .. " gives all back at once", function()
      site.start {
        max_size = 1,
        http = site.finish,
        server = ("location = /end { content_by_lua_block { local pool = require('app').pool %s } }"):format(code),
      }
      for _ = 1, 3 do
        site.get "/end"
        site.assert_all_back()
      end
      assert.equal(0, site.stat "forgotten")
      assert.equal("0", s:sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX")[1])
      if code:find "transaction" then
        site.expects "given back with a transaction open, which was undone"
      end
    end)
  end

  it("without finish() leaves its connections to the collector, and who waits in line asks for it", function()
    site.start {
      max_size = 2,
      pool = "leak_after = 100",
      server = [[ location = /end { content_by_lua_block {
        local db = require('app').pool:checkout() ngx.exit(404)
      } } ]],
    }
    site.get "/end"
    site.get "/end"
    assert.equal(2, site.stat "lent")
    assert.equal("7\n", site.value "SELECT 7")
    site.expects "was never released"
  end)

  it("by an error is answered with 500, and the log has its words", function()
    site.start {
      max_size = 1,
      http = site.finish,
      server = [[ location = /end { content_by_lua_block {
        require("mypool.wait.nginx").call(function()
          local _, err = require("app").pool:query "SELECT nonsense"
          error(err)
        end)
      } } ]],
    }
    assert.equal("500", select(2, site.get "/end"))
    site.assert_all_back "SELECT nonsense"
    site.expects "Unknown column 'nonsense'.*stack traceback"
  end)
end)
