-- Rows that everybody changes, on all nodes of a Galera cluster at once: transactions collide, and are run again.

local breaking = require "spec.support.breaking"
local fixture = require "spec.support.fixture"
local galera = require "spec.servers.galera"
local pools = require "spec.support.pools"
local schedulers = require "spec.support.schedulers"

local reason = galera.reason_against()
if reason then
  pending("skipped, as there is no Galera: " .. reason)
  return
end

local cluster = fixture.started(galera.start)

after_each(pools.close)

it("a pool that spreads over the nodes adds to four rows without an error, and exactly", function()
  local scheduler, tasks, failures = schedulers.cqueues(), {}, {}
  cluster[1]:sql "CREATE TABLE app.hot (id INT PRIMARY KEY, n INT NOT NULL)"
  cluster[1]:sql "INSERT INTO app.hot VALUES (1, 0), (2, 0), (3, 0), (4, 0)"
  cluster:await_whole()
  local options = { balance = "spread", max_size = 9, wait = scheduler.wait }
  local pool = pools.new(cluster[1]:hosts_options(cluster, options))
  for task = 1, 12 do
    tasks[task] = function()
      for i = 1, 30 do
        local done, err = pool:transaction({ retries = 10 }, function(tx)
          return tx:query("UPDATE hot SET n = n + 1 WHERE id = ?", (task + i) % 4 + 1)
        end)
        failures[#failures + 1] = not done and tostring(err) or nil
      end
    end
  end
  scheduler.run(table.unpack(tasks))
  breaking.note("hot rows, spread: 360 transactions, %d run again", pool:stats().transactions_rerun)
  assert.same({}, failures)
  assert.same({ "360" }, cluster[1]:sql "SET wsrep_sync_wait = 1; SELECT SUM(n) FROM app.hot")
end)
