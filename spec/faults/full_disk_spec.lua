-- A full disk: of a table's file, which the server tells as a full table, and of its temporary files. The statement
-- fails whole, the session stays.

local ledger = require "tools.ledger"
local pools = require "spec.support.pools"
local server = require "spec.servers.server"
local whole = require "spec.support.whole"

-- A megabyte in rows, for InnoDB itself may crash when it undoes a long value that did not fit.
local insert = "INSERT INTO big (t) SELECT REPEAT('x', 2000) FROM seq_1_to_500"

after_each(pools.close)

local function words_of(err)
  return { err.kind, err.errno, err.sqlstate, err.executed, err.retryable, err.fatal }
end

describe("a tablespace that may not grow", function()
  local s

  -- A server that is full cannot even drop a table.
  before_each(function()
    s = server.start {
      options = {
        "--innodb-file-per-table=0",
        "--innodb-data-file-path=ibdata1:12M:autoextend:max:24M",
      },
    }
    s:sql "CREATE TABLE app.big (n INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(2000)) ENGINE=InnoDB"
  end)

  after_each(function()
    s:remove()
  end)

  -- Inserts until that fails. Returns how many succeeded, and the error.
  local function fill(conn)
    for count = 0, 100 do
      local done, err = conn:query(insert)
      if not done then
        return count, err
      end
    end
  end

  local function assert_full(err)
    assert.same({ "server", 1114, "HY000", "no", false, false }, words_of(err), err.message)
  end

  local function rows()
    return math.tointeger(s:sql("SELECT COUNT(*) FROM app.big")[1])
  end

  for _, way in ipairs { "options", "tcp_options" } do
    it(("undoes the statement that meets it, keeps those before it, and leaves the session: %s"):format(way), function()
      local pool = pools.new(s[way](s, { max_size = 2 }))
      local count, err
      do
        local conn <close> = assert(pool:checkout())
        count, err = fill(conn)
        assert_full(err)
        assert.equal(500 * count, (conn:value "SELECT COUNT(*) FROM big"))
      end
      assert.equal(500 * count, rows())
      ledger.enter("server: full disk", { faults = 1, statements = count + 1 })
      whole(pool, 2)
      pools.has_opened(2, pool)
    end)

    it(("undoes a transaction that meets it, which is not run again: %s"):format(way), function()
      local pool = pools.new(s[way](s, { max_size = 2 }))
      local runs, count = 0, nil
      local result, err = pool:transaction(function(tx)
        local failure
        runs = runs + 1
        count, failure = fill(tx)
        return nil, failure
      end)
      assert.is_nil(result)
      assert_full(err)
      assert.equal(1, runs)
      assert.is_true(count > 0)
      assert.equal(0, rows())
      ledger.enter("server: full disk", { faults = 1, statements = count + 1 })
      whole(pool, 2)
      pools.has_opened(2, pool)
    end)
  end
end)

describe("a full disk for temporary files", function()
  local s, disk

  -- A file system of two texts, for whoever may mount one; it ends with this process.
  setup(function()
    local pipe = io.popen [[
      disk=$(mktemp -d) && chmod 777 $disk && mount -t tmpfs -o size=2m,mode=777 mypool $disk 2>/dev/null || {
        rmdir $disk; exit
      }
      owner=$PPID
      (while kill -0 $owner && [ -e $disk ]; do sleep 0.5; done; umount -l $disk; rmdir $disk) \
        >/dev/null 2>&1 </dev/null &
      echo $disk]]
    disk = pipe:read()
    pipe:close()
    if disk then
      s = server.start { options = { "--tmpdir=" .. disk, "--sort-buffer-size=65536" } }
    end
  end)

  teardown(function()
    if disk then
      s:remove()
      os.execute(("umount -l '%s'; rmdir '%s'"):format(disk, disk))
    end
  end)

  it("fails the statement that needs them, by its number, and leaves the session", function()
    if not disk then
      return pending "no file system can be mounted here"
    end
    s:sql "CREATE TABLE app.sorted (n INT)"
    local pool = pools.new(s:options { max_size = 2 })
    local sorted = [[
      INSERT INTO sorted SELECT COUNT(*) FROM
        (SELECT seq, CONCAT(seq, REPEAT('x', 500)) AS t FROM seq_1_to_20000 ORDER BY t LIMIT 15000) AS wide]]
    for _ = 1, 3 do
      local result, err = pool:query { sorted, timeout = 20 }
      assert.is_nil(result)
      assert.same({ "server", 3, "HY000", "no", false, false }, words_of(err), err.message)
    end
    assert.same({ "0" }, s:sql "SELECT COUNT(*) FROM app.sorted")
    pools.has_opened(1, pool)
    ledger.enter("server: full disk", { faults = 3, statements = 3 })
    whole(pool, 2)
  end)
end)
