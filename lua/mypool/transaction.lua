-- Transactions: begin and commit by hand, or a function that is run in one, again if need be.

local core = require "mypool.core"
local failure = require "mypool.failure"
local hooks = require "mypool.hooks"
local is_error = require "mypool.is_error"
local names = require "mypool.names"
local options = require "mypool.options"
local raising = require "mypool.raising"
local scope = require "mypool.scope"
local text = require "mypool.text"
core.internal()

local transaction = {}

local Transaction = {}
core["mypool.transaction"] = Transaction
local metatable = { __index = Transaction, __name = "mypool.transaction", __metatable = false }

-- By the option errors = "raise".
local Raising = {}
local raising_metatable = { __index = Raising, __name = metatable.__name, __metatable = false }

-- The methods of a connection that return what fails, whatever the option says.
local Connection = core["mypool.connection"]

-- ---- options ----

local isolation_levels = {
  ["read uncommitted"] = true,
  ["read committed"] = true,
  ["repeatable read"] = true,
  ["serializable"] = true,
}

local known = {
  isolation = function(value)
    if type(value) ~= "string" or not isolation_levels[names.lower(value)] then
      return "'read uncommitted', 'read committed', 'repeatable read' or 'serializable'"
    end
  end,
  read_only = options.of_type "boolean",
  snapshot = options.of_type "boolean",
  retries = options.integer(0, 1000),
}

-- Raises at the caller's place for options that a transaction does not have.
function transaction.check(given, what)
  if given == nil then
    return
  end
  options.check(what, given, known)
  if given.snapshot and given.isolation and names.lower(given.isolation) ~= "repeatable read" then
    core.raise "bad option 'snapshot' (the server ignores it with any isolation but 'repeatable read')"
  end
end

local function start_statement(given)
  if not next(given) then
    return "START TRANSACTION"
  end
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

-- conn, whether the transaction owns it, the one it is nested in, if any, whether it ends the loan of a connection
-- that it does not own. `number`: by which the session knows the transaction, once it has begun.
local function new(conn, owns, outer, last)
  return setmetatable({
    conn = conn,
    owns = owns,
    last = owns or last or false,
    outer = outer or false,
    depth = outer and outer.depth + 1 or 1,
    number = outer and outer.number or false,
    state = "open",
    retiring = false,
    failure = false,
  }, core.raises(conn) and raising_metatable or metatable)
end

-- The end of a transaction ends all that are nested in it.
local function state_of(self)
  return self.outer and self.state == "open" and state_of(self.outer) or self.state
end

local function give_back(self)
  if self.owns then
    self.retiring = core.retiring(self.conn)
    self.conn:release()
  end
end

local function savepoint(self)
  return "mypool_" .. self.depth
end

local value_last = text.method("value", core.shapes.VALUE + core.shapes.LAST)

-- Runs a statement that has no result: true, or nil and an error. (As a value it makes no table.) `last`: behind it
-- the connection goes back to the pool.
local function send(conn, sql, last)
  local _, err = (last and value_last or Connection.value)(conn, sql)
  return not err or nil, err
end

local function must_be_open(self, what)
  if type(self) ~= "table" or getmetatable(self) ~= false or self.transaction ~= Transaction.transaction then
    core.raise_self(self, what, "mypool.transaction", "tx")
  end
  if state_of(self) ~= "open" then
    core.raise(("bad call of '%s' (this transaction was ended: %s)"):format(what, state_of(self)))
  end
end

local function start(self, what, given)
  local conn = self.conn
  if conn:in_transaction() then
    core.raise(("bad call of '%s' (the connection is in a transaction)"):format(what))
  end
  local ok, err = true, nil
  if given.isolation then
    ok, err = send(conn, "SET TRANSACTION ISOLATION LEVEL " .. given.isolation)
  end
  if ok then
    ok, err = send(conn, start_statement(given))
  end
  if ok then
    self.number = core.watch(conn)
    return self
  end
  give_back(self)
  return failure.values(err)
end

-- Begins a transaction on a connection, which stays with its holder.
function transaction.begin(conn, what, given)
  transaction.check(given, what)
  return start(new(conn, false), what, given or {})
end

-- Calls a method of the connection, unless another transaction, or none, is in the place of this one: a reset, or
-- ROLLBACK by the program's own hand, has ended it, and what follows would commit by itself.
local function call(self, name, ...)
  local same, err = core.watches(self.conn, self.number)
  if not same then
    return failure.of_statement(err, ...)
  end
  return Connection[name](self.conn, ...)
end

-- tx:query, one, value, rows, prepare, execute_many: as on a connection.
for _, name in ipairs { "query", "one", "value", "rows", "prepare", "execute_many" } do
  Transaction[name] = function(self, ...)
    must_be_open(self, name)
    return call(self, name, ...)
  end
end

-- A transaction that could not be rolled back must not be gone on with.
local function roll_back(conn, sql, last)
  local ok, err = send(conn, sql, last)
  if not ok and not err.fatal then
    core.spoil(conn)
  end
  return ok, err
end

local function roll_back_all(self)
  return roll_back(self.conn, "ROLLBACK", self.last)
end

local function pack(...)
  return { n = select("#", ...), ... }
end

-- The end of a transaction, for the program. A failure is kept: a function that runs in the transaction may go on
-- as if there had been none.
local function finish(self, states, ok, err)
  self.state = ok and states[1] or states[2]
  give_back(self)
  if ok then
    return true
  end
  self.failure = pack(failure.values(err))
  return failure.values(err)
end

-- ---- COMMIT ----

-- When the reply to a COMMIT is lost nobody can know whether it took effect.
local function send_commit(self)
  local ok, err = send(self.conn, "COMMIT", self.last)
  if not ok and err.executed == "unknown" then
    err.kind = "commit_unknown"
    err.message = "the reply to COMMIT was lost: " .. err.message
  end
  return ok, err
end

-- After a transaction that had ended before its COMMIT, ROLLBACK makes the session usable again.
local function commit_all(self)
  local conn = self.conn
  local ok, err = core.watches(conn, self.number)
  if not ok then
    return nil, err
  end
  ok, err = core.unwatch(conn)
  if ok then
    ok, err = send_commit(self)
  end
  if not ok and not err.fatal then
    roll_back_all(self)
  end
  return ok, err
end

local function commit_savepoint(self)
  return call(self, "query", "RELEASE SAVEPOINT " .. savepoint(self))
end

local committed = { "committed", "failed to commit" }

-- tx:commit(): true. The error is of kind "commit_unknown" when the reply was lost; it says so when the transaction
-- had ended before.
function Transaction:commit()
  must_be_open(self, "commit")
  return finish(self, committed, (self.depth > 1 and commit_savepoint or commit_all)(self))
end

-- ---- ROLLBACK ----

-- True when it was undone, also by a reset, or with its session. What the server refuses, as it refuses to roll back a
-- prepared XA transaction, may outlast the session.
local function undone(ok, err)
  if ok or err.fatal and err.kind ~= "server" then
    return true
  end
  return nil, err
end

-- nil where a part of it may have been committed.
local function undone_by_others(err)
  if err.executed == "no" then
    return true
  end
  return nil, err
end

local function rollback_all(self)
  local same, err = core.watches(self.conn, self.number)
  if not same then
    return undone_by_others(err)
  end
  same, err = core.unwatch(self.conn)
  if same or err.executed == "no" then
    return undone(roll_back_all(self))
  end
  roll_back_all(self)
  return nil, err
end

local function rollback_savepoint(self)
  local same, err = core.watches(self.conn, self.number)
  if not same then
    return undone_by_others(err)
  end
  return undone(roll_back(self.conn, "ROLLBACK TO SAVEPOINT " .. savepoint(self)))
end

local rolled_back = { "rolled back", "failed to roll back" }

-- tx:rollback(): true, also when the session was lost: the server rolls back by itself then. An error when something
-- in the transaction had ended it before, and so, as a rule, committed it. What is nested and cannot be rolled back
-- alone takes the whole transaction with it: that then accepts nothing but its end.
function Transaction:rollback()
  must_be_open(self, "rollback")
  return finish(self, rolled_back, (self.depth > 1 and rollback_savepoint or rollback_all)(self))
end

-- tx:begin(): a savepoint, which ends like a transaction.
function Transaction:begin()
  must_be_open(self, "begin")
  local nested = new(self.conn, false, self)
  local ok, err = call(self, "query", "SAVEPOINT " .. savepoint(nested))
  if ok then
    return nested
  end
  return failure.values(err)
end

-- A transaction that is still open when it goes out of scope is rolled back: with the session, where that cannot be
-- waited for.
function metatable.__close(self)
  if state_of(self) ~= "open" then
    return
  elseif scope.may_wait(self.conn) then
    Transaction.rollback(self)
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

-- A deadlock or the like undoes what the function did. So does the loss of the session before COMMIT was sent, and
-- what makes the server refuse to write, after which another connection is needed: a transaction that owns its
-- connection gets another.
local function may_run_again(err, tx)
  if not is_error(err) then
    return false
  end
  return core.may_run_again(err.errno, tx.owns and tx.retiring) or tx.owns and err.kind == "lost"
end

local unpack = table.unpack or unpack -- luacheck: ignore

-- Outcomes of one run: "done" with the values to return; "raise" with the value to raise; or "failed" with nil,
-- error, errno, sqlstate, which may be of_program: returned by the function; and whether that may run again.
local function failed(tx, values)
  return "failed", values, may_run_again(values[2], tx)
end

-- A function that returned nothing has succeeded, too.
local function done(...)
  return "done", select("#", ...) > 0 and pack(...) or pack(true)
end

local function commit(tx, ...)
  if Transaction.commit(tx) then
    return done(...)
  end
  return failed(tx, tx.failure)
end

-- The news that something was committed outweighs the reason why it was to be undone. Where it only could not be
-- rolled back, a connection of its own does that at its release; any other accepts nothing but ROLLBACK.
local function undo(tx, values)
  if state_of(tx) == "open" then
    Transaction.rollback(tx)
  end
  local kept, why = tx.failure, values[2]
  if not kept or kept[2] == why then
    return failed(tx, values)
  elseif kept[2].executed == "no" then
    return "failed", values, tx.owns and may_run_again(why, tx)
  end
  if is_error(why) then
    kept[2].message = ("%s (it was to be rolled back after this: %s)"):format(kept[2].message, why.message)
  end
  return failed(tx, kept)
end

local function after_run(tx, ok, ...)
  local first, second = ...
  if ok and first == nil and second ~= nil then
    local values = pack(...)
    values.of_program = true
    return undo(tx, values)
  elseif ok and state_of(tx) == "open" then
    return commit(tx, ...)
  elseif ok and tx.failure then
    return failed(tx, tx.failure)
  elseif ok then
    return done(...)
  end
  if is_error(first) then
    return undo(tx, pack(failure.values(first)))
  end
  undo(tx, pack(nil, first))
  return "raise", first
end

local function perform(tx, fn)
  return after_run(tx, pcall(fn, tx))
end

-- An error that is raised on the way to the function, by the wait function, must not lose the connection.
local function started(self, ok, tx, ...)
  if not ok then
    give_back(self)
    error(tx, 0)
  end
  return tx, ...
end

local function start_safely(self, what, given)
  return started(self, pcall(start, self, what, given))
end

-- Begins a transaction on a connection that is released when it ends.
function transaction.begin_owned(conn, what, given)
  return start_safely(new(conn, true), what, given or {})
end

-- `begun`, ...: what its start has returned.
local function run_begun(tx, fn, begun, ...)
  if begun then
    return scope.hold(tx, perform, tx, fn)
  end
  return failed(tx, pack(begun, ...))
end

-- Returns or raises what a function in a transaction of the pool's, or the connection's, came to.
local function finish_run(owner, outcome, values)
  if outcome == "raise" then
    error(values, 0)
  elseif outcome == "failed" and not values.of_program and core.raises(owner) then
    error(values[2], 0)
  end
  return unpack(values, 1, values.n)
end

local function attempt(owner, take, given, fn)
  local conn, owns, err, last = take(owner)
  if not conn then
    return "failed", pack(failure.values(err)), false
  end
  local tx = new(conn, owns, nil, last)
  return run_begun(tx, fn, start_safely(tx, "transaction", given))
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

-- In a pool that retries nothing at all, a function is not run again either, unless its own option says so.
local function retries_of(owner, given)
  return given.retries or (core.retries(owner) > 0 and 2 or 0)
end

local function tell_rerun(owner, number, err)
  local pool, place = core.rerun(owner)
  hooks.rerun(pool, place, number, err)
end

-- Runs fn(tx) in a transaction of `owner`, the pool or the connection that was asked, on what take(owner) returns: a
-- connection; whether it is to be released afterwards; an error where there is none; whether its holder releases it.
-- Returns what fn returned, after COMMIT. pause(owner, seconds) is called between two runs.
function transaction.run(owner, take, pause, ...)
  local given, fn = arguments(...)
  local retries = retries_of(owner, given)
  local runs_left = retries
  local seconds = 5 / 1000
  while true do
    local outcome, values, again = attempt(owner, take, given, fn)
    if not again or runs_left == 0 then
      return finish_run(owner, outcome, values)
    end
    runs_left = runs_left - 1
    tell_rerun(owner, retries - runs_left + 1, values[2])
    pause(owner, seconds * (1 / 2 + math.random()))
    seconds = seconds * 2
  end
end

local function run_nested(self, fn)
  local tx, err = Transaction.begin(self)
  if not tx then
    return failure.of(self.conn, err)
  end
  return finish_run(self.conn, scope.hold(tx, perform, tx, fn))
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

local function unwatched(conn, ok, ...)
  core.unwatch(conn)
  if not ok then
    error((...), 0)
  end
  return ...
end

-- Runs fn up to a savepoint of the transaction that a connection is in, however that was begun. One by hand is
-- watched meanwhile.
function transaction.within(conn, fn)
  local by_hand = core.watches(conn, 0)
  local outer = new(conn, false)
  outer.depth = 1000 -- a savepoint with a name of its own
  outer.number = core.watch(conn)
  if by_hand then
    return unwatched(conn, pcall(run_nested, outer, fn))
  end
  return run_nested(outer, fn)
end

names.advise("mypool.transaction", Transaction, {
  query = "execute, exec",
  ["result.insert_id"] = "last_insert_id",
  ["a parameter ? needs no escaping"] = "escape, quote",
})

raising.fill(Raising, Transaction, "query one value rows prepare execute_many commit rollback begin")
raising_metatable.__close, raising_metatable.__tostring = metatable.__close, metatable.__tostring

return transaction
