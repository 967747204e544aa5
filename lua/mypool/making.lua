-- Makes pools of options that are complete, and readers of such pools.

local core = require "mypool.core"
local hooks = require "mypool.hooks"
local options = require "mypool.options"
core.internal()

local making = {}

-- What the program gave each pool, and the readers made of it: as values, which are gone before they are finalized.
local given_of = setmetatable({}, { __mode = "k" })
local readers_of = setmetatable({}, { __mode = "k" })

local function make(complete, given)
  hooks.watch(complete)
  local pool = core.new(complete)
  hooks.keep(pool, complete)
  given_of[pool] = given
  return pool
end

-- A worker of nginx that is blocked serves nobody, and nothing else would tell why.
local function warn_in_nginx(complete)
  if not complete.scheduler and type(ngx) == "table" and ngx.get_phase then -- luacheck: ignore
    local pool = complete.name and ("pool '%s'"):format(complete.name) or "a pool"
    core.warn(("mypool: %s blocks its worker of nginx when it waits (wait = require 'mypool.wait.nginx')"):format(pool))
  end
end

-- A pool, from the arguments of mypool.new.
function making.pool(...)
  local complete, given = options.pool(...)
  warn_in_nginx(complete)
  return make(complete, given)
end

-- A pool for reading from the servers of another one.
function making.reader(pool, given)
  local reader = make(options.reader(given_of[pool], given))
  readers_of[pool] = readers_of[pool] or setmetatable({}, { __mode = "v" })
  readers_of[pool][{}] = reader
  return reader
end

-- The pool itself and what is to be closed with it: its readers, and theirs.
function making.family(pool, list)
  list = list or {}
  list[#list + 1] = pool
  for _, reader in pairs(readers_of[pool] or {}) do
    making.family(reader, list)
  end
  return list
end

return making
