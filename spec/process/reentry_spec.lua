-- What a program's own functions do in the middle of a call, and what becomes of memory meanwhile, must not bring
-- the program down.

local fixture = require "spec.support.fixture"
local pools = require "spec.support.pools"
local program = require "spec.support.program"

local s = fixture.shared_server()

after_each(pools.close)

-- Runs a program that has `options(extra)`; returns what it printed, or fails with it.
local function run(text)
  local head = [[
    local core = require "mypool.core"
    local mypool = require "mypool"
    local function options(extra)
      extra.socket, extra.user, extra.password, extra.database = %q, "app", "secret", "app"
      return extra
    end
  ]]
  local printed, ok, status = program(head:format(s.socket) .. text)
  assert.is_true(ok, tostring(status) .. "\n" .. printed)
  return printed
end

it("the options of a statement may have a metamethod that ends its connection", function()
  local printed = run [[
    local pool = mypool.new(options {})
    for _, how in ipairs { "release", "discard" } do
      local conn
      local function ending(given)
        return setmetatable(given, { __index = function(_, name)
          if name == "timeout" then
            conn[how](conn)
          end
        end })
      end
      conn = assert(pool:checkout())
      print(select(2, pcall(conn.query, conn, ending { "SELECT 1" })))
      conn = assert(pool:checkout())
      local statement = assert(conn:prepare "SELECT ?"):with(ending {})
      print(select(2, pcall(statement.execute, statement, 1)))
    end
    print(pool:value "SELECT 7")]]
  assert.equal(4, select(2, printed:gsub("this connection was released at ", "")), printed)
  assert.match("\n7\n$", printed)
end)

describe("the form that a program wants its rows in, and the end of its stream, are its own", function()
  -- The other use of the connection asks for another form, and is a stream in the end.
  local head = [[
    local pool = mypool.new(options {})
    local conn = assert(pool:checkout())
    local text, stream = ("x"):rep(100)
    local function use()
      assert(conn:query { "SELECT 2 AS b", rows = "array", max_result_bytes = 10, timeout = 0.5 })
    end
    local function begin_stream()
      stream = select(4, conn:rows "SELECT 2 AS b UNION SELECT 3")
    end
    local function read_stream()
      return stream().b, stream().b, stream()
    end
  ]]

  it("whatever a metamethod of its options does", function()
    local printed = run(head .. [[
      local function using(given, f)
        return setmetatable(given, { __index = function(_, name) return name == "timeout" and f() or nil end })
      end
      local statement = assert(conn:prepare "SELECT ? AS a")
      print(conn:query(using({ "SELECT ? AS a" }, use), text)[1].a == text)
      print(statement:with(using({}, use)):execute(text)[1].a == text)
      print(select(2, conn:query(using({ "SELECT 1 AS a" }, begin_stream))).message)
      print(read_stream())
      print(select(2, statement:with(using({}, begin_stream)):execute(text)).message)
      print(read_stream())
      conn:release()]])
    local busy = "rows are being read one by one: end that loop first\n2\t3\tnil\n"
    assert.equal("true\ntrue\n" .. busy:rep(2), printed)
  end)

  it("whatever a finalizer does just before the session is asked how it reads the statement", function()
    local printed = run(head .. [[
      local f -- that of this turn, once
      local function arm(with)
        f = with
        setmetatable({}, { __gc = function()
          local g = f
          f = nil
          return g and pcall(g)
        end })
      end
      local answers = {}
      for i = 1, 600 do
        collectgarbage("incremental", 100, 400, 6)
        arm(i % 2 == 0 and use or begin_stream)
        for k = 1, i % 60 do
          local _ = { k }
        end
        local result, err = conn:query([=[SELECT "it\"s" AS a, ? AS b]=], text)
        local answer = result and tostring(#result == 1 and result[1].b == text) or err.message
        f = nil
        if stream then
          answer = answer .. " " .. table.concat({ read_stream() }, " ")
          stream = nil
        end
        answers[answer] = (answers[answer] or 0) + 1
      end
      for answer in pairs(answers) do
        print(answer)
      end
      conn:release()]])
    local lines = {}
    for line in printed:gmatch "[^\n]+" do
      lines[line] = true
    end
    lines["true 2 3"] = nil -- it ran after the query
    assert.same({ ["rows are being read one by one: end that loop first 2 3"] = true, ["true"] = true }, lines)
  end)
end)

describe("the password function", function()
  it("is called on the coroutine of the call, whatever on_event did before in others", function()
    local asked_on
    local pool
    pool = pools.new(s:options {
      max_size = 2,
      leak_after = 0.001,
      password = function()
        asked_on = coroutine.running()
        return "secret"
      end,
      on_event = function()
        coroutine.wrap(function()
          pool:stats()
        end)()
      end,
    })
    local first <close> = assert(pool:checkout())
    local started = os.clock()
    while os.clock() - started < 0.01 do -- luacheck: ignore
    end
    local second <close> = assert(pool:checkout())
    assert.is_true(first:is_held() and second:is_held())
    assert.equal(coroutine.running(), asked_on)
  end)
end)

describe("the function `forget` of a wait adapter", function()
  it("finds a pool that is being collected to be none", function()
    local printed = run [[
      local pool
      local function forget()
        local ok, why = pcall(pool.close, pool)
        print(ok, why:match "mypool.pool expected")
      end
      pool = mypool.new(options { wait = { wait = core.poll, forget = forget } })
      assert(pool:value "SELECT 1")
      os.exit(true, true)]]
    assert.match("^false\tmypool.pool expected\n", printed)
    assert.not_match("true", printed)
  end)
end)

it("a connection that has ended keeps nothing of its coroutine alive", function()
  local pool = pools.new(s:options())
  local alive, kept = setmetatable({}, { __mode = "k" }), {}
  local function borrow(how)
    coroutine.wrap(function()
      alive[coroutine.running()] = true
      local conn = assert(pool:checkout())
      assert(conn:query("SELECT ?", "x"))
      kept[how] = conn
      conn[how](conn)
    end)()
  end
  borrow "release"
  borrow "discard"
  collectgarbage()
  collectgarbage()
  assert.is_nil(next(alive))
  assert.is_false(kept.release:is_held() or kept.discard:is_held())
end)

-- The stack of a coroutine that waits is made smaller by the collector.
it("a wide result may come in pieces", function()
  assert.equal(
    "100\t0\ttrue\n",
    run [[
      local pool = mypool.new(options { wait = function(fd, seconds) return coroutine.yield(fd, seconds) end })
      local columns = {}
      for i = 1, 1000 do
        columns[i] = ("seq + %d AS c%d"):format(i, i)
      end
      local sql = "SELECT " .. table.concat(columns, ", ") .. ", SLEEP(IF(seq % 40 = 0, 0.02, 0)) FROM seq_1_to_100"
      local waits, rows = 0, nil
      local task = coroutine.create(function()
        rows = assert(pool:query(sql))
      end)
      local ok, fd, seconds = coroutine.resume(task)
      while coroutine.status(task) ~= "dead" do
        waits = waits + 1
        collectgarbage()
        collectgarbage()
        core.poll(fd, seconds)
        ok, fd, seconds = coroutine.resume(task)
      end
      assert(ok, fd)
      local wrong = 0
      for n, row in ipairs(rows) do
        for i = 1, 1000 do
          wrong = wrong + (row["c" .. i] == n + i and 0 or 1)
        end
      end
      print(#rows, wrong, waits > 3)]]
  )
end)

-- The values of parameters are taken out of messages, so they are needed as long as there may be one. A string of
-- this size has memory of its own, which is unmapped once it is free.
describe("the parameters of a prepared statement live as long as its result", function()
  setup(function()
    s:sql [[DELIMITER //
      CREATE OR REPLACE FUNCTION too_far() RETURNS INT
      BEGIN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too far'; RETURN 1; END//]]
  end)

  local text = [[
    local value = mypool.binary(("x"):rep(8 * 1024 * 1024))
    local function drop()
      value[1] = nil
      collectgarbage()
      collectgarbage()
    end
    local function prepare(wait)
      local conn = assert(mypool.new(options { wait = wait }):checkout())
      return assert(conn:prepare "SELECT IF(seq < 2000, LENGTH(?), too_far()) FROM seq_1_to_3000")
    end
  ]]

  it("when its rows are read one by one", function()
    local printed = run(text .. [[
      local stream = prepare():rows(value)
      drop()
      print(pcall(function()
        for _ in stream do -- luacheck: ignore
        end
      end))]])
    assert.match("^false\t%S+ line%):%d+: too far %(1644%)\n", printed)
  end)

  it("when it is waited for", function()
    local printed = run(text .. [[
      local statement = prepare(function(fd, seconds)
        drop()
        return core.poll(fd, seconds)
      end)
      value[1] = ("x"):rep(8 * 1024 * 1024)
      local _, err = statement:execute(value)
      print(err.message, err.errno, err.sqlstate)]])
    assert.match("^too far\t1644\t45000\n", printed)
  end)
end)
