-- The methods of a pool beyond checkout: the methods of a connection, on one that is taken for the
-- call and given back after it.

local core = require "mypool.core"
local failure = require "mypool.failure"
local Connection = require "mypool.connection"
local bulk = require "mypool.bulk"
local describe = require "mypool.describe"
local hooks = require "mypool.hooks"
local making = require "mypool.making"
local is_error = require "mypool.is_error"
local names = require "mypool.names"
local raising = require "mypool.raising"
local rows = require "mypool.stream"
local run = require "mypool.run"
local scope = require "mypool.scope"
local text = require "mypool.text"
local transaction = require "mypool.transaction"
core.internal()

local Pool = core["mypool.pool"]

local start, give_back, shapes = core.checkout, core.give_back, core.shapes
local lent_of, has_hooks = hooks.lent_of, hooks.exist_of

-- Goes on with what `start` began for the function `what` of the program's call. The hooks may find a
-- session wanting: then there is neither a connection nor an error. (Five values at most follow the handle;
-- "..." would cost as much as the checkout.)
local function try(self, what, seconds, conn, handle, a, b, c, d, e)
  local options = hooks.options_of[self]
  local err
  if conn and not options then
    return conn
  elseif not conn then
    conn, err = run(handle, a, b, c, d, e)
  end
  if options then
    conn, err = hooks.after_checkout(self, options, conn, err)
  end
  if conn then
    return conn
  elseif err ~= nil then
    return nil, err
  end
  return try(self, what, seconds, start(self, what, seconds))
end

-- Connections that the program has forgotten come back when their handles are collected. A full
-- collection is dear, so a busy program gets one a second at most. Who waits in line has it there (collect.c).
local collected = setmetatable({}, { __mode = "k" })

local function may_collect(self)
  local now = core.now(self)
  if collected[self] and now - collected[self] < 1 then
    return false
  end
  collected[self] = now
  return true
end

-- An error may also be what on_connect returned: anything.
local function is_exhausted(err)
  return is_error(err) and err.kind == "exhausted"
end

-- After a checkout that has failed.
local function try_again(self, what, seconds, err)
  if is_exhausted(err) and core.wait(self) == core.poll and may_collect(self) then
    collectgarbage()
    return try(self, what, seconds, start(self, what, seconds))
  end
  return nil, err
end

local function checkout(self, what, seconds)
  local conn, err = try(self, what, seconds, start(self, what, seconds))
  if conn then
    return conn
  end
  return try_again(self, what, seconds, err)
end

-- Tells the adapter of a connection that the program holds from now on; what that raises is raised.
local function tell_lent(lent, conn)
  local ok, raised = pcall(lent, conn)
  if ok then
    return conn
  end
  give_back(conn)
  error(raised, 0)
end

local function checkout_to_hold(self, what)
  local conn, err = checkout(self, what)
  local lent = lent_of[self]
  if conn and lent then
    return tell_lent(lent, conn)
  end
  return conn, err
end

-- pool:checkout([seconds]): a connection, within checkout_timeout or `seconds`. (Begun in this function itself, as a
-- call more would make the search for the caller's place longer.)
function Pool:checkout(seconds)
  local conn, handle, a, b, c, d, e = start(self, "checkout", seconds)
  if conn and not has_hooks[self] then
    return conn
  end
  local err
  conn, err = try(self, "checkout", seconds, conn, handle, a, b, c, d, e)
  if not conn then
    conn, err = try_again(self, "checkout", seconds, err)
  end
  if conn then
    local lent = lent_of[self]
    return lent and tell_lent(lent, conn) or conn
  end
  return failure.values(err)
end

-- Gives the connection back, which the program has had if it was `lent`; raises what the call raised, as it was.
local function finish(conn, lent, ok, ...)
  give_back(conn, lent)
  if ok then
    return ...
  end
  error((...), 0)
end

-- As a success is told from a failure, also by assert.
local function true_for_nothing(...)
  if select("#", ...) == 0 then
    return true
  end
  return ...
end

local function lend(conn, fn)
  return true_for_nothing(finish(conn, true, pcall(fn, conn)))
end

-- pool:with(fn): calls fn(conn), returns what it returns; true when that is nothing.
function Pool:with(fn)
  core.check_pool(self, "with")
  if type(fn) ~= "function" then
    core.raise(("bad argument 'fn' to 'with' (function expected, got %s)"):format(type(fn)))
  end
  local conn, err = checkout_to_hold(self, "with")
  if not conn then
    return failure.of(self, err)
  end
  return scope.hold(conn, lend, conn, fn)
end

local function on_a_connection(name, method)
  return function(self, ...)
    local conn, err = checkout(self, name)
    if not conn then
      return failure.of_statement(err, ...)
    end
    return finish(conn, false, pcall(method, conn, ...))
  end
end

local function once(name, shape)
  return on_a_connection(name, text.method(name, shape + shapes.ONCE + shapes.LAST))
end

-- pool:query, one, value, ping: as on a connection. Those that need a statement's connection any further raise:
-- statements that take a lock before they are sent, those that leave a transaction open when they have run.
Pool.query = once("query", shapes.RESULT)
Pool.one = once("one", shapes.ROW)
Pool.value = once("value", shapes.VALUE)
Pool.ping = on_a_connection("ping", Connection.ping)

local function execute_many(conn, sql, many)
  core.check_locks(conn, sql)
  return bulk(conn, sql, many, true)
end

-- pool:execute_many(sql, rows): as on a connection; raises for a statement that takes a lock.
Pool.execute_many = on_a_connection("execute_many", execute_many)

local stream_once = text.method("rows", shapes.STREAM + shapes.ONCE)

local function begin_rows(conn, ...)
  return rows(conn, stream_once(conn, ...))
end

local function owned(conn, ok, stream, ...)
  if ok and stream then
    stream.owns = true
    return stream, ...
  end
  return finish(conn, false, ok, stream, ...)
end

-- pool:rows(sql, ...): as on a connection, which is lent as long as the loop runs; raises as pool:query does, at
-- the end of the loop.
function Pool:rows(...)
  local conn, err = checkout_to_hold(self, "rows")
  if not conn then
    return failure.of_statement(err, ...)
  end
  return owned(conn, pcall(begin_rows, conn, ...))
end

-- pool:begin([options]): a transaction on a connection of its own, which ends with it.
function Pool:begin(given)
  core.check_pool(self, "begin")
  transaction.check(given, "begin")
  local conn, err = checkout_to_hold(self, "begin")
  if not conn then
    return failure.values(err)
  end
  return transaction.begin_owned(conn, "begin", given)
end

local function pause(self, seconds)
  local waiter = core.connection(self, "transaction")
  return run(waiter, core.pause(waiter, seconds))
end

local function take(self)
  local conn, err = checkout_to_hold(self, "transaction")
  return conn, true, err
end

-- pool:transaction([options,] fn): as conn:transaction, on a connection of its own for each run.
function Pool:transaction(...)
  core.check_pool(self, "transaction")
  return transaction.run(self, take, pause, ...)
end

-- pool:stats(): a table of counts; what each means stands in the documentation.
Pool.stats = core.stats

-- pool:describe(): what the pool is doing, as a text of a few lines for people.
Pool.describe = describe

-- Waits until the last loan has ended, or the time is up.
local function wait_for_loans(self, deadline)
  local lent, fd, wait = core.shut(self, true)
  while lent > 0 and fd >= 0 and core.now(self) < deadline do
    wait(fd, deadline - core.now(self))
    lent, fd, wait = core.shut(self, true)
  end
end

-- pool:reader([options]): another pool, for reading from the same servers. Raises for options that a reader does not
-- take, and for a pool whose sessions are not reset.
function Pool:reader(given)
  local is_closed = core.check_pool(self, "reader")
  local reader = making.reader(self, given)
  if is_closed then
    reader:close()
  end
  return reader
end

-- pool:close([grace]): no more checkouts, neither from its readers; waits up to `grace` seconds for the connections
-- that are lent, then cuts them. Returns true. In a plain blocking program nothing could come back meanwhile, so there
-- it does not wait.
function Pool:close(grace)
  if grace ~= nil and (type(grace) ~= "number" or grace < 0 or grace ~= grace) then
    core.raise(("bad argument 'grace' to 'close' (number of seconds expected, got %s)"):format(type(grace)))
  end
  core.check_pool(self, "close")
  local family, deadline, wait = making.family(self), core.now(self) + (grace or 0), nil
  for _, pool in ipairs(family) do
    wait = select(3, core.shut(pool)) -- a reader has that of its pool
  end
  for _, pool in ipairs(grace and wait ~= core.poll and family or {}) do
    wait_for_loans(pool, deadline)
  end
  for _, pool in ipairs(family) do
    core.abort(pool)
  end
  return true
end

names.advise("mypool.pool", Pool, {
  query = "execute, exec",
  ["result.insert_id"] = "last_insert_id",
  ["a parameter ? needs no escaping"] = "escape, quote",
  checkout = "get_connection, acquire, get",
  ["conn:release()"] = "release",
  ["begin or transaction give what has it"] = "commit, rollback",
  ["check out a connection first: it lives as long as its loan"] = "prepare",
})

raising.fill(core["raising mypool.pool"], Pool, "checkout query one value rows execute_many begin ping")

return Pool
