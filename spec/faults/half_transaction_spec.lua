-- No transaction is reported as committed of which a part is missing, and none as undone of which a part is there:
-- random transactions, whose statements fail in all ways that end a transaction or do not, and whose programs look at
-- errors or ignore them. MYPOOL_SECONDS and MYPOOL_FIRST_SEED set for how long, and what they are.

local cqueues = require "cqueues"
local dialect = require "spec.servers.dialect"
local ledger = require "tools.ledger"
local mypool = require "mypool"
local must = require "spec.support.must"
local server = require "spec.servers.server"

local least = os.getenv "MYPOOL_THOROUGH" and 2000 or 80
local seconds = tonumber(os.getenv "MYPOOL_SECONDS" or 0)
local seed = math.tointeger(tonumber(os.getenv "MYPOOL_FIRST_SEED"))

local schema = [[
  CREATE TABLE app.parts (id INT PRIMARY KEY, tx INT, KEY (tx)) ENGINE=InnoDB;
  CREATE TABLE app.locked (id INT PRIMARY KEY) ENGINE=InnoDB;
  INSERT INTO app.locked VALUES (1);
  CREATE TABLE app.other (a INT) ENGINE=InnoDB;
  DELIMITER //
  CREATE PROCEDURE app.half(IN part INT, IN tx INT) BEGIN
    INSERT INTO parts VALUES (part, tx); DELETE FROM locked; END//
  CREATE PROCEDURE app.whole(IN part INT, IN tx INT) INSERT INTO parts VALUES (part, tx)//
  CREATE PROCEDURE app.commits_half(IN part INT, IN tx INT) BEGIN
    INSERT INTO parts VALUES (part, tx); COMMIT; DELETE FROM locked; END//
  CREATE PROCEDURE app.swallows() BEGIN
    DECLARE CONTINUE HANDLER FOR 1205 BEGIN END; DELETE FROM locked; END//]]

describe("a transaction #slow", function()
  local s, pool, holder, full
  local last_tx, last_part

  local function next_part()
    last_part = last_part + 1
    return last_part
  end

  local function insert(tx, number, written)
    local part = next_part()
    local ok, err = tx:query("INSERT INTO parts VALUES (?, ?)", part, number)
    if ok then
      written[part] = true
    end
    return ok, err
  end

  local step -- one statement, or some

  -- A part of a transaction: what it wrote counts once it has succeeded.
  local function nested(tx, number, written)
    local own
    local ok, err = tx:transaction(function(inner)
      own = {}
      for _ = 1, math.random(3) do
        local done, why = step(inner, number, own)
        if not done and math.random(2) == 1 then
          error(why, 0)
        end
      end
      if math.random(4) == 1 then
        return nil, "no"
      end
      return true
    end)
    for part in pairs(ok and own or {}) do
      written[part] = true
    end
    return ok, err
  end

  local function call(name)
    return function(tx, number, written)
      local part = next_part()
      local ok, err = tx:query("CALL " .. name .. "(?, ?)", part, number)
      if ok or err.errno == 1205 then
        written[part] = ok and true or "perhaps" -- what it did before it failed stays, or not
      end
      return ok, err
    end
  end

  local function many(tx, number, written)
    local rows = {}
    for i = 1, 3 do
      rows[i] = { next_part(), number }
    end
    if math.random(3) == 1 then
      rows[3][1] = rows[1][1]
    end
    local ok, err = tx:execute_many("INSERT INTO parts VALUES (?, ?)", rows)
    for _, row in ipairs(ok and rows or {}) do
      written[row[1]] = true
    end
    return ok, err
  end

  local function plain(sql)
    return function(tx)
      return tx:query(sql)
    end
  end

  local function prepared(sql)
    return function(tx)
      local statement, err = tx:prepare(sql)
      if not statement then
        return nil, err
      end
      return statement:execute()
    end
  end

  local steps = {
    insert,
    insert,
    insert,
    nested,
    many,
    call "whole",
    call "half",
    plain "CALL swallows()",
    plain "DELETE FROM locked",
    prepared "DELETE FROM locked",
    plain "SELECT * FROM missing",
    plain "CREATE OR REPLACE TABLE other (a INT)",
    plain "CREATE TABLE other (a INT)",
    plain "COMMIT",
    plain "ROLLBACK",
    plain "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'a deadlock'",
  }
  local full_lock_table = plain "SELECT COUNT(*) FROM pages LOCK IN SHARE MODE"

  function step(tx, number, written)
    if full and math.random(20) == 1 then
      return full_lock_table(tx)
    end
    -- harmful ones are rarer, or nothing would ever be committed
    return steps[math.random(2) == 1 and math.random(6) or math.random(#steps)](tx, number, written)
  end

  -- Returns the result, the error, and what the last run wrote.
  local function run(number)
    local written
    local careful = math.random(2) == 1
    local called, ok, err = pcall(pool.transaction, pool, function(tx)
      written = {}
      for _ = 1, math.random(6) do
        local done, why = step(tx, number, written)
        if not done and careful then
          return nil, why
        end
      end
      return "committed"
    end)
    return called and ok, err, written
  end

  local function truth(number)
    local found = {}
    for _, row in ipairs(must(pool:query("SELECT id FROM parts WHERE tx = ?", number))) do
      found[row.id] = true
    end
    return found
  end

  -- nil, or what is wrong.
  local function verdict(ok, err, written, found)
    if ok then
      for part, how in pairs(written) do
        if how == true and not found[part] then
          return "committed without a part"
        end
      end
      for part in pairs(found) do
        if not written[part] then
          return "committed with a part that was undone"
        end
      end
    elseif mypool.is_error(err) and err.executed == "no" and next(found) then
      return "undone, but for a part"
    end
  end

  local function soak(title)
    local outcomes, violations, statements = {}, {}, 0
    local deadline = cqueues.monotime() + seconds
    while last_tx < least or cqueues.monotime() < deadline do
      last_tx = last_tx + 1
      local before = last_part
      local ok, err, written = run(last_tx)
      statements = statements + last_part - before
      local wrong = verdict(ok, err, written, truth(last_tx))
      violations[#violations + 1] = wrong and ("%d: %s: %s"):format(last_tx, wrong, tostring(err))
      local outcome = ok and "committed" or mypool.is_error(err) and tostring(err.errno) or "other"
      outcomes[outcome] = (outcomes[outcome] or 0) + 1
    end
    local failed = last_tx - (outcomes.committed or 0)
    ledger.enter(title, { faults = failed, statements = statements, half = #violations })
    assert.same({}, violations)
    assert.is_true((outcomes.committed or 0) > 0, "none was committed")
    assert.is_true(failed > 0, "all were committed")
  end

  local function begin(options)
    if seed then
      math.randomseed(seed)
    end
    s = server.start()
    if full then
      s:stop()
      assert(os.execute(("cd '%s/data' && rm -f ibdata1 ib_logfile* ibtmp1 undo*"):format(s.folder)))
    end
    s:restart(options)
    s:sql(schema)
    last_tx, last_part = 0, 0
    pool = mypool.new(s:options { max_size = 2 })
    holder = mypool.new(s:options())
  end

  local held

  local function hold(sql)
    local tx = assert(holder:begin())
    must(tx:query(sql))
    held[#held + 1] = tx
  end

  before_each(function()
    held = {}
  end)

  after_each(function()
    holder:close()
    pool:close()
    s:remove()
  end)

  it("is all or nothing where a lock wait that times out undoes its statement", function()
    full = false
    steps[#steps + 1] = call "commits_half"
    begin { "--innodb-lock-wait-timeout=0" }
    hold "SELECT * FROM locked FOR UPDATE"
    soak "half transactions: statements undone"
  end)

  it("is all or nothing where a lock wait that times out, and a full lock table, undo all", function()
    dialect.needs("data files that may be deleted", pending)
    full = true
    steps[#steps] = nil -- with the same error everything might have been undone: nobody can tell
    begin {
      "--innodb-lock-wait-timeout=0",
      "--innodb-rollback-on-timeout=1",
      "--innodb-page-size=4k",
      "--innodb-buffer-pool-size=5M",
    }
    s:sql [[
      CREATE TABLE app.pages (id INT PRIMARY KEY, pad VARCHAR(1900) CHARACTER SET latin1) ENGINE=InnoDB;
      INSERT INTO app.pages SELECT seq, REPEAT('x', 1200) FROM seq_1_to_36500]]
    hold "SELECT COUNT(*) FROM pages LOCK IN SHARE MODE"
    hold "SELECT COUNT(*) FROM pages LOCK IN SHARE MODE"
    hold "SELECT * FROM locked FOR UPDATE"
    soak "half transactions: all undone"
  end)
end)
