-- The oracle sees what it is there to see.

local fixture = require "spec.support.fixture"
local load = require "spec.support.load"
local sleep = require "spec.support.sleep"

local s = fixture.server()

describe("the oracle", function()
  local one

  local function delete(where)
    s:sql(("DELETE FROM app.load_oracle WHERE %s ORDER BY op LIMIT 1"):format(where))
  end

  setup(function()
    one = load.start(s, "oracle", { host = s.host, port = s.port })
    sleep(0.5)
    one:stop()
  end)

  before_each(function()
    s:sql "CREATE OR REPLACE TABLE app.kept SELECT * FROM app.load_oracle"
  end)

  after_each(function()
    s:sql "TRUNCATE app.load_oracle; INSERT INTO app.load_oracle SELECT * FROM app.kept"
  end)

  local function found()
    local f = one:judge(s)
    return { f.errors, f.twice, f.lost, f.half, f.there }
  end

  it("finds nothing where nothing went wrong", function()
    assert.same({ 0, 0, 0, 0, 0 }, found())
  end)

  it("finds what ran twice", function()
    s:sql "INSERT INTO app.load_oracle (op, part) SELECT op, part FROM app.kept WHERE op = 1000001"
    assert.same({ 0, 1, 0, 0, 0 }, found())
  end)

  it("finds half of an operation", function()
    delete "part = 2"
    assert.same({ 0, 0, 0, 1, 0 }, found())
  end)

  it("finds what is lost", function()
    s:sql "DELETE FROM app.load_oracle WHERE op = 1000001"
    assert.same({ 0, 0, 1, 0, 0 }, found())
  end)

  it("finds what was done and reported as not done", function()
    one.text = one.text:gsub("%f[%d](1000001 insert %S+ %S+) done", "%1 no")
    assert.same({ 1, 0, 0, 0, 1 }, found())
  end)
end)
