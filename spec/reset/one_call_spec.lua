-- What one call of the pool leaves behind in its session, which has its reset right behind it: nothing. The rows of
-- spec/matrix/leaks.lua, left by the statement itself, by a function, by a trigger, by an error in the middle of rows,
-- and by transactions.

local dialect = require "spec.servers.dialect"
local fixture = require "spec.support.fixture"
local isolation = require "spec.matrix.isolation"
local leaks = require "spec.matrix.leaks"
local mypool = require "mypool"

if dialect.lacks "COM_RESET_CONNECTION" then
  return pending(dialect.lacks "COM_RESET_CONNECTION")
end

local world = fixture.started(isolation.start)

setup(function()
  assert(world.observer:query "CREATE TABLE app.pulled (a INT)")
end)

-- The statements by which a row makes a session dirty; nil where it takes more than statements.
local function statements_of(row)
  if not row.dirty or row.account or row.database ~= nil or row.spoils or row.alone or row.exception then
    return nil
  end
  local texts = {}
  local function record(_, text, ...)
    if type(text) ~= "string" or select("#", ...) > 0 then
      error "not by text alone"
    end
    texts[#texts + 1] = text
    return {}
  end
  local recorder = { query = record, value = record, one = record }
  if not pcall(row.dirty, recorder, { id = "mine" }) or #texts == 0 then
    return nil
  end
  return texts
end

local function root(text)
  return (pcall(dialect.run, world.observer, text))
end

-- Makes what runs them, by this template; false where the server allows them in none. Each row comes several times.
local made = {}

local function make(template, texts)
  local text = template:format(table.concat(texts, "; "))
  if made[template] ~= text then
    made[template], made.worked = text, root(text)
  end
  return made.worked
end

local function make_function(texts)
  return make(
    "CREATE OR REPLACE FUNCTION app.mess() RETURNS INT SQL SECURITY INVOKER BEGIN %s; RETURN 1; END",
    texts
  )
end

local function make_trigger(texts)
  return make(
    "CREATE OR REPLACE TRIGGER app.pull BEFORE INSERT ON app.pulled FOR EACH ROW BEGIN %s; END",
    texts
  )
end

local function in_transaction(undo)
  return function(pool, texts)
    local all = true
    pool:transaction({ retries = 0 }, function(tx)
      for _, text in ipairs(texts) do
        all = tx:query(text) and all
      end
      return undo and nil or true, undo and "undone" or nil
    end)
    return all
  end
end

local few = dialect.is_mysql and 30 or 45
local stride = not os.getenv "MYPOOL_THOROUGH" and 4 or nil

-- leave(pool, texts): false where the row cannot be left so.
local ways = {
  ["by itself"] = {
    least = 5,
    leave = function(pool, texts)
      return #texts == 1 and texts[1]:find "^SELECT" and pool:query(texts[1])
    end,
  },
  ["by a function"] = {
    least = few,
    leave = function(pool, texts)
      return make_function(texts) and pool:value "SELECT mess()"
    end,
  },
  ["by a trigger"] = {
    least = few,
    stride = stride, -- to make one takes the server its time
    leave = function(pool, texts)
      return make_trigger(texts) and pool:query "INSERT INTO pulled VALUES (1)"
    end,
  },
  ["with an error in the middle of the rows"] = {
    least = few,
    leave = function(pool, texts)
      if not make_function(texts) then
        return false
      end
      local ok, _, errno = pool:query [[
        SELECT mess(), REPEAT('x', 1000), IF(seq = 200, (SELECT 1 UNION SELECT 2), 1) FROM seq_1_to_300]]
      return not ok and errno == 1242
    end,
  },
  ["by a transaction that is committed"] = { least = 60, leave = in_transaction(false) },
  ["by a transaction that is undone"] = { least = 60, leave = in_transaction(true) },
}

local function new(transport, more)
  local options = isolation.options(world, {}, transport)
  options.max_size = 1
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return mypool.new(options)
end

local function probe(row, conn)
  local ok, answer = pcall(row.probe, conn, isolation.environment(world))
  return ok and answer or "raised " .. tostring(answer)
end

local function look(row, pool)
  return pool:with(function(conn)
    return probe(row, conn)
  end)
end

local function clean_answer(row)
  if row.clean then
    return row.clean
  end
  local pool = new "socket"
  local answer = look(row, pool)
  pool:close()
  return answer
end

-- What the next borrower sees; nil where the row cannot be left so: a lock, for one, is refused.
local function seen_behind(row, way, texts, pool)
  local ok, left = pcall(way.leave, pool, texts)
  local answer = ok and left and look(row, pool) or nil
  if row.cleanup then
    row.cleanup(isolation.environment(world))
  end
  return answer
end

-- Whether anything would be seen without the reset.
local function is_visible(row, way, texts, clean)
  local pool = new("socket", { reset = "never" })
  local seen = seen_behind(row, way, texts, pool)
  pool:close()
  return seen and seen ~= clean
end

for name, way in pairs(ways) do
  describe("left " .. name .. ",", function()
    it("nothing of the matrix reaches the next borrower", function()
      local count, together, visible = 0, 0, 0
      local by = { new "socket", new "tls" }
      local number = 0
      leaks.each(function(row)
        local texts = statements_of(row)
        number = number + (texts and 1 or 0)
        if not texts or number % (way.stride or 1) > 0 then
          return
        end
        local clean = clean_answer(row)
        for _, pool in ipairs(by) do
          local before = pool:stats().resets_together
          local seen = seen_behind(row, way, texts, pool)
          if seen then
            count = count + 1
            assert.equal(clean, seen, row.name)
            together = together + pool:stats().resets_together - before
          end
        end
        if not row.cleanup and is_visible(row, way, texts, clean) then
          visible = visible + 1
        end
      end)
      for _, pool in ipairs(by) do
        pool:close()
      end
      local least = way.least // (way.stride or 1)
      assert.is_true(count >= 2 * least, "only so many could be left: " .. count)
      assert.is_true(together >= count * 0.8, "only so many took the reset with them: " .. together)
      assert.is_true(visible >= least // 2, "only so many would have been seen: " .. visible)
    end)
  end)
end
