-- Transactions: begin and commit by hand, or a function that is run in one, again if need be.

local core = require "mypool.core"
local is_error = require "mypool.is_error"
local options = require "mypool.options"
local scope = require "mypool.scope"
core.internal()

local transaction = {}

local Transaction = {}
core["mypool.transaction"] = Transaction
local metatable = { __index = Transaction, __name = "mypool.transaction", __metatable = false }

-- ---- options ----

local isolation_levels = {
  ["read uncommitted"] = true,
  ["read committed"] = true,
  ["repeatable read"] = true,
  ["serializable"] = true,
}

local known = {
  isolation = function(value)
    if type(value) ~= "string" or not isolation_levels[value:lower()] then
      return "'read uncommitted', 'read committed', 'repeatable read' or 'serializable'"
    end
  end,
  read_only = options.of_type "boolean",
  snapshot = options.of_type "boolean",
  retries = options.integer(0, 1000),
}

-- Raises at the caller's place for options that a transaction does not have.
function transaction.check(given, what)
  if given ~= nil then
    options.check(what, given, known)
  end
end

local function start_statement(given)
  local parts = {}
  if given.snapshot then
    parts[#parts + 1] = "WITH CONSISTENT SNAPSHOT"
  end
  if given.read_only ~= nil then
    parts[#parts + 1] = given.read_only and "READ ONLY" or "READ WRITE"
  end
  return "START TRANSACTION" .. (#parts > 0 and " " or "") .. table.concat(parts, ", ")
end

-- ---- a transaction ----

-- conn, whether the transaction owns it, the one it is nested in, if any.
local function new(conn, owns, outer)
  local depth = outer and outer.depth + 1 or 1
  return setmetatable({ conn = conn, owns = owns, outer = outer, depth = depth, state = "open" }, metatable)
end

-- The end of a transaction ends all that are nested in it.
local function state_of(self)
  return self.outer and self.state == "open" and state_of(self.outer) or self.state
end

local function give_back(self)
  if self.owns then
    self.conn:release()
  end
end

local function savepoint(self)
  return "mypool_" .. self.depth
end

local function must_be_open(self, what)
  if type(self) ~= "table" or getmetatable(self) ~= false or self.commit ~= Transaction.commit then
    core.raise(("bad argument 'self' to '%s' (mypool.transaction expected, got %s)"):format(what, type(self)))
  end
  if state_of(self) ~= "open" then
    core.raise(("bad call of '%s' (this transaction was ended: %s)"):format(what, state_of(self)))
  end
end

-- Begins a transaction on a connection. `owns`: the connection is released when it ends.
function transaction.begin(conn, what, given, owns)
  transaction.check(given, what)
  given = given or {}
  if conn:in_transaction() then
    core.raise(("bad call of '%s' (the connection is in a transaction)"):format(what))
  end
  local self = new(conn, owns)
  local ok, err, errno, sqlstate = true, nil, nil, nil
  if given.isolation then
    ok, err, errno, sqlstate = conn:query("SET TRANSACTION ISOLATION LEVEL " .. given.isolation)
  end
  if ok then
    ok, err, errno, sqlstate = conn:query(start_statement(given))
  end
  if ok then
    return self
  end
  give_back(self)
  return nil, err, errno, sqlstate
end

-- tx:query, one, value, rows, prepare, execute_many: as on a connection.
for _, name in ipairs { "query", "one", "value", "rows", "prepare", "execute_many" } do
  Transaction[name] = function(self, ...)
    must_be_open(self, name)
    return self.conn[name](self.conn, ...)
  end
end

-- Whether the COMMIT took effect cannot be known: the reply was lost.
local function mark_unknown(err)
  if err.executed == "unknown" then
    err.kind = "commit_unknown"
    err.message = "the reply to COMMIT was lost: " .. err.message
  end
end

-- tx:commit(): true. The error is of kind "commit_unknown" when the reply was lost.
function Transaction:commit()
  must_be_open(self, "commit")
  local nested = self.depth > 1
  local ok, err, errno, sqlstate = self.conn:query(nested and "RELEASE SAVEPOINT " .. savepoint(self) or "COMMIT")
  self.state = ok and "committed" or "failed to commit"
  if not ok and not nested then
    mark_unknown(err)
    if err.executed == "no" and not err.fatal then
      self.conn:query "ROLLBACK"
    end
  end
  give_back(self)
  if ok then
    return true
  end
  return nil, err, errno, sqlstate
end

-- tx:rollback(): true, also when the session was lost: the server rolls back by itself then.
function Transaction:rollback()
  must_be_open(self, "rollback")
  self.state = "rolled back"
  local nested = self.depth > 1
  local ok, err, errno, sqlstate = self.conn:query(nested and "ROLLBACK TO SAVEPOINT " .. savepoint(self) or "ROLLBACK")
  give_back(self)
  if ok or err.fatal then
    return true
  end
  return nil, err, errno, sqlstate
end

-- tx:begin(): a savepoint, which ends like a transaction.
function Transaction:begin()
  must_be_open(self, "begin")
  local nested = new(self.conn, false, self)
  local ok, err, errno, sqlstate = self.conn:query("SAVEPOINT " .. savepoint(nested))
  if ok then
    return nested
  end
  return nil, err, errno, sqlstate
end

-- What is still open when it goes out of scope is rolled back: with the session, where that cannot be waited for.
function metatable.__close(self)
  if state_of(self) ~= "open" then
    return
  elseif scope.may_wait(self.conn) then
    self:rollback()
    return
  end
  self.state = "rolled back"
  core.abandon(self.conn)
  give_back(self)
end

function metatable.__tostring(self)
  return ("mypool.transaction (%s)"):format(state_of(self))
end

-- ---- a function in a transaction ----

-- 1213, 1205 and 1020 undo what the function did. So does the loss of the session before COMMIT
-- was sent, after which another connection is needed: `elsewhere` tells whether there will be one.
local function may_run_again(err, elsewhere)
  if not is_error(err) then
    return false
  end
  if err.errno == 1213 or err.errno == 1205 or err.errno == 1020 then
    return true
  end
  return err.kind == "lost" and elsewhere
end

local function pack(...)
  return { n = select("#", ...), ... }
end

local unpack = table.unpack or unpack -- luacheck: ignore

local function rollback_quietly(tx)
  if state_of(tx) == "open" then
    tx:rollback()
  end
end

-- Outcomes of one run: "done" with the values to return; "raise" with the value to raise; or
-- "failed" with nil, error, errno, sqlstate, and whether the function may run again.
local function failed(err, elsewhere, ...)
  return "failed", pack(...), may_run_again(err, elsewhere)
end

local function commit(tx, ...)
  local committed, err, errno, sqlstate = tx:commit()
  if committed then
    return "done", pack(...)
  end
  return failed(err, tx.owns, nil, err, errno, sqlstate)
end

local function settle(tx, ok, ...)
  local first, second = ...
  if ok and first == nil and second ~= nil then
    rollback_quietly(tx)
    return failed(second, tx.owns, ...)
  elseif ok and state_of(tx) == "open" then
    return commit(tx, ...)
  elseif ok then
    return "done", pack(...)
  end
  rollback_quietly(tx)
  if is_error(first) then
    return failed(first, tx.owns, nil, first, first.errno, first.sqlstate)
  end
  return "raise", first
end

local function call(tx, fn)
  return settle(tx, pcall(fn, tx))
end

-- What is raised on the way to the function, by the wait function, must not lose the connection.
local function begun(conn, owns, ok, tx, ...)
  if not ok then
    if owns then
      conn:release()
    end
    error(tx, 0)
  end
  return tx, ...
end

function transaction.begin_safely(conn, what, given, owns)
  return begun(conn, owns, pcall(transaction.begin, conn, what, given, owns))
end

local function attempt(take, given, fn)
  local conn, owns, err, errno, sqlstate = take()
  if not conn then
    return failed(nil, false, nil, err, errno, sqlstate)
  end
  local tx
  tx, err, errno, sqlstate = transaction.begin_safely(conn, "transaction", given, owns)
  if not tx then
    return failed(err, owns, nil, err, errno, sqlstate)
  end
  return scope.hold(tx, call, tx, fn)
end

local function arguments(...)
  local given, fn = ...
  if fn == nil and type(given) == "function" then
    given, fn = nil, given
  end
  transaction.check(given, "transaction")
  if type(fn) ~= "function" then
    core.raise(("bad argument 'fn' to 'transaction' (function expected, got %s)"):format(type(fn)))
  end
  return given or {}, fn
end

-- Runs fn(tx) in a transaction on what `take` returns: a connection, and whether it is to be
-- released afterwards. Returns what fn returned, after COMMIT. `pause(seconds)` is called
-- between two runs.
function transaction.run(take, pause, ...)
  local given, fn = arguments(...)
  local runs_left = given.retries or 2
  local seconds = 5 / 1000
  while true do
    local outcome, values, again = attempt(take, given, fn)
    if outcome == "raise" then
      error(values, 0)
    elseif outcome == "done" or not again or runs_left == 0 then
      return unpack(values, 1, values.n)
    end
    runs_left = runs_left - 1
    pause(seconds * (1 / 2 + math.random()))
    seconds = seconds * 2
  end
end

local function run_nested(self, fn)
  local tx, err, errno, sqlstate = self:begin()
  if not tx then
    return nil, err, errno, sqlstate
  end
  local outcome, values = scope.hold(tx, call, tx, fn)
  if outcome == "raise" then
    error(values, 0)
  end
  return unpack(values, 1, values.n)
end

-- tx:transaction(fn): runs fn(tx) up to a savepoint; an error undoes what fn did, and no more.
-- Options are for the outermost transaction: none here.
function Transaction:transaction(fn, ...)
  must_be_open(self, "transaction")
  if type(fn) == "table" and select("#", ...) > 0 then
    core.raise "bad argument 'options' to 'transaction' (a transaction within another one has none)"
  end
  arguments(fn)
  return run_nested(self, fn)
end

-- Runs fn up to a savepoint of the transaction that a connection is in, however that was begun.
function transaction.within(conn, fn)
  local outer = new(conn, false)
  outer.depth = 1000 -- a savepoint with a name of its own
  return run_nested(outer, fn)
end

return transaction
