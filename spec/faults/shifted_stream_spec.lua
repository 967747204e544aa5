-- A stream of replies that is out of step, between a real server and the pool: one reply of the server's is left out,
-- comes twice, or has an OK behind it, at each place of a conversation in turn. No answer is another statement's.
--
-- `make test` takes each place a few times; with MYPOOL_THOROUGH there are 10,000 tries. MYPOOL_CYCLES sets how many.

local fixture = require "spec.support.fixture"
local ledger = require "tools.ledger"
local mypool = require "mypool"
local relay = require "spec.servers.relay"
local schedulers = require "spec.support.schedulers"

local s = fixture.server()

local kinds = { "drop", "double", "add" }
local LONGEST = 14 -- replies of a conversation and its reset, and some
local COROUTINES = 16

local tries = math.tointeger(
  tonumber(os.getenv "MYPOOL_CYCLES" or os.getenv "MYPOOL_THOROUGH" and 10000 or 5 * #kinds * LONGEST)
)

-- An answer is right or there is none.
local function check(what, expected, found, err)
  if found ~= expected and not (found == nil and err) then
    error(("%s: %s instead of %s"):format(what, tostring(found), tostring(expected)), 0)
  end
end

-- Statements of all kinds, whose answers are the number's.
local function converse(pool, number)
  local conn = pool:checkout()
  if not conn then
    return
  end
  check("an earlier loan's", nil, conn:value "SELECT @mine")
  local set = conn:query("SET @mine = ?", number)
  check("text", number, conn:value("SELECT ?", number))
  local rows, err = conn:query("SELECT seq + ? AS n FROM seq_1_to_3", number)
  for i = 1, 3 do
    check("row " .. i, number + i, rows and #rows == 3 and rows[i].n, rows and "" or err)
  end
  local statement <close> = conn:prepare "SELECT ? + 0 AS n"
  if statement then
    check("prepared", number, statement:value(number))
  end
  if set then
    check("its own", number, conn:value "SELECT @mine")
  end
  conn:release()
end

-- Tries with one pool behind a relay of its own. `take` gives the next: a kind and a place.
local function run(take, counts, wait, init_sql)
  local between = relay.start { port = s.port }
  local pool = mypool.new(s:tcp_options {
    port = between.port,
    max_size = 1,
    query_timeout = 0.3,
    connect_timeout = 0.5,
    checkout_timeout = 1,
    wait = wait,
    init_sql = init_sql,
  })
  for number, kind, place in take do
    if pool:value "SELECT 1" == 1 then
      local lent <close> = pool:checkout()
      lent:release() -- its reset has been answered
      assert(pool:ping())
      between:shift(kind, place)
      for i = 0, 1 do
        local ok, message = pcall(converse, pool, 10 * number + i)
        if not ok then
          error(("%s at reply %d, loan %d: %s"):format(kind, place, i + 1, message), 0)
        end
      end
      counts[kind] = (counts[kind] or 0) + 1
    end
  end
  counts.lost = counts.lost + pool:stats().closed
  pool:close()
  between:stop()
end

describe("replies out of step", function()
  it("are nobody's answer", function()
    local next_try, counts = 0, { lost = 0 }
    local function take()
      if next_try < tries then
        next_try = next_try + 1
        return next_try, kinds[next_try % #kinds + 1], next_try // #kinds % LONGEST
      end
    end
    local cqueues = schedulers.cqueues()
    local calls = {}
    for i = 1, COROUTINES do
      calls[i] = function()
        run(take, counts, cqueues.wait, i % 2 == 0 and "SET @base = 1" or nil)
      end
    end
    cqueues.run(table.unpack(calls))
    local all = counts.drop + counts.double + counts.add
    assert.is_true(all > 0.9 * tries, all)
    assert.is_true(counts.lost > 0.3 * tries, counts.lost)
    ledger.enter("a reply too few or too many", { faults = all, statements = 14 * all })
  end)
end)
