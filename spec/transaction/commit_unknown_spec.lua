-- A COMMIT whose answer is lost is neither run again nor taken for done.

local fixture = require "spec.support.fixture"
local must = require "spec.support.must"
local pools = require "spec.support.pools"
local relay = require "spec.servers.relay"

local s = fixture.shared_server()
local ids = fixture.table(s, "moves", "id INT PRIMARY KEY")

after_each(pools.close)

describe("a COMMIT whose outcome cannot be known", function()
  local r, pool

  before_each(function()
    r = relay.start { host = s.host, port = s.port }
    pool = pools.new(s:tcp_options { max_size = 1, host = r.host, port = r.port, query_timeout = 5 })
  end)

  after_each(function()
    pools.close()
    r:stop()
  end)

  local function lose_commit(...)
    local cut = table.pack(...)
    local runs = 0
    local result, err, errno = pool:transaction(function(tx)
      runs = runs + 1
      must(tx:query "INSERT INTO moves VALUES (1)")
      r:cut_here(table.unpack(cut))
      return "done"
    end)
    assert.is_nil(result)
    assert.equal(1, runs)
    assert.equal(err.errno, errno)
    assert.same({ "commit_unknown", "unknown", true }, { err.kind, err.executed, err.fatal })
    assert.is_false(err.retryable)
    assert.is_truthy(err.message:find("the reply to COMMIT was lost", 1, true))
    assert.equal(0, pool:stats().lent)
    assert.is_true(pool:ping())
  end

  it("is an error of the kind commit_unknown when the reply is lost, and is not run again", function()
    lose_commit("down", 1, "fin")
    assert.equal("1", ids())
  end)

  it("is the same after a reset of the network connection", function()
    lose_commit("down", 1, "rst")
    assert.equal("1", ids())
  end)

  it("is the same when the COMMIT may not even have arrived", function()
    lose_commit("up", 7, "fin")
    assert.equal("NULL", ids())
  end)

  it("is the same when no reply comes in time", function()
    pool = pools.new(s:tcp_options { max_size = 2, host = r.host, port = r.port, query_timeout = 0.3 })
    lose_commit("down", 0, "hold")
    r:release()
    assert.equal("1", ids())
  end)

  it("is returned by a commit by hand, too", function()
    local tx <close> = assert(pool:begin())
    must(tx:query "INSERT INTO moves VALUES (1)")
    r:cut_here("down", 1, "fin")
    local ok, err = tx:commit()
    assert.is_nil(ok)
    assert.same({ "commit_unknown", "unknown" }, { err.kind, err.executed })
    assert.equal("mypool.transaction (failed to commit)", tostring(tx))
    assert.equal(0, pool:stats().lent)
  end)

  it("does not concern a savepoint: the loss of its session undoes the whole transaction", function()
    local runs = 0
    assert.equal("done", pool:transaction(function(tx)
      runs = runs + 1
      return tx:transaction(function(inner)
        must(inner:query("INSERT INTO moves VALUES (?)", runs))
        if runs == 1 then
          r:cut_here("down", 1, "fin")
        end
        return "done"
      end)
    end))
    assert.same({ 2, "2" }, { runs, ids() })
  end)
end)
