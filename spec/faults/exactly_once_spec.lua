-- No statement runs twice, and none is reported as done that did not run: INSERTs whose connection is cut at each
-- byte of the exchange, both ways, by FIN and by RST, and INSERTs whose coroutine is closed, or whose wait raises, at
-- each of its waits.
--
-- `make test-faults` tries every byte over TCP: the handshake's with `query`, a part of them in the other ways, which
-- have nothing to send there. Over TLS, where a connection costs much more and the lengths differ from one handshake
-- to the next, it tries every byte behind the handshake with `query`, and goes through the rest by strides. `make
-- test` tries each fifth byte at most. MYPOOL_EVERY_BYTE=1 leaves out nothing, and takes half an hour.

local dialect = require "spec.servers.dialect"
local exactly_once = require "spec.support.exactly_once"
local ledger = require "tools.ledger"

local every_byte = os.getenv "MYPOOL_EVERY_BYTE"
local thorough = os.getenv "MYPOOL_THOROUGH"
local least = thorough and 1 or 5
local fresh, pooled, resetting, later = table.unpack(exactly_once.states)

-- Distances of the bytes cut at: in the handshake, and behind it with query and the other ways; and the states in
-- which `make test`, too, ends coroutines.
local transports = {
  {
    name = "TCP",
    tls = false,
    strides = { [fresh] = { 13, 1, 1 }, [pooled] = { 0, 1, 1 }, [resetting] = { 0, 1, 1 }, [later] = { 0, 1, 1 } },
    plain = { [fresh] = true, [pooled] = true, [resetting] = true, [later] = true },
    ended = { pooled },
  },
  {
    name = "TLS",
    tls = true,
    strides = { [fresh] = { 131, 5, 7 }, [pooled] = { 0, 1, 4 }, [resetting] = { 0, 7, 11 }, [later] = { 0, 1, 4 } },
    plain = { [pooled] = true },
    ended = {},
  },
}
if dialect.lacks "TLS" then
  pending(dialect.lacks "TLS")
  transports[2] = nil
end

local function strides_of(transport, state, way)
  local handshake, query, other = table.unpack(transport.strides[state])
  if way.name == "query" then
    return math.max(least, transport.tls and handshake or 1), math.max(least, query)
  end
  return handshake, math.max(least, other)
end

-- What must have been met, or the cuts missed their aim.
local function check_aim(found, ...)
  for _, name in ipairs { ... } do
    assert.is_true((found.outcomes[name] or 0) > 0, "never met: " .. name)
  end
  assert.is_true(found.counts.faults >= found.counts.statements * 0.95, "too few connections were cut")
end

for _, transport in ipairs(transports) do
  describe(("#slow over %s, an INSERT by"):format(transport.name), function()
    local trial

    setup(function()
      trial = exactly_once.start { tls = transport.tls }
    end)

    teardown(function()
      trial:stop()
    end)

    -- handshake_stride, stride: the same both ways.
    local function run(plan, handshake_stride, stride)
      plan.handshake_stride = every_byte and 1 or handshake_stride
      plan.stride = plan.stride or every_byte and { up = 1, down = 1 } or { up = stride, down = stride }
      local found = trial:run(plan)
      ledger.enter(("exactly once: %s over %s"):format(plan.way.name, transport.name), found.counts)
      assert.same({}, found.violations)
      return found
    end

    for _, state in ipairs(exactly_once.states) do
      for _, way in ipairs(exactly_once.ways) do
        local handshake_stride, stride = strides_of(transport, state, way)

        it(("%s, %s, runs once or its error says so, wherever it is cut"):format(way.name, state.name), function()
          dialect.needs(state.needs, pending)
          local plan = { way = way, state = state, scheduler = exactly_once.coroutines() }
          local found = run(plan, handshake_stride, stride)
          local refused = state == later and "no, absent" or nil
          check_aim(found, "done, present", "unknown, absent", "unknown, present", refused)
        end)

        if transport.plain[state] then
          it(("%s, %s, does the same in a plain program"):format(way.name, state.name), function()
            dialect.needs(state.needs, pending)
            check_aim(run({ way = way, state = state }, 97, 23), "done, present")
          end)
        end
      end
    end

    for _, state in ipairs(thorough and exactly_once.states or transport.ended) do
      for _, way in ipairs(exactly_once.ways) do
        it(("%s, %s, is all or nothing wherever its coroutine ends"):format(way.name, state.name), function()
          local found = trial:run_ended { way = way, state = state }
          ledger.enter(("coroutines ended: %s over %s"):format(way.name, transport.name), found.counts)
          assert.same({}, found.violations)
          assert.is_true(found.counts.faults > 1 and found.outcomes["done, present"] > 0)
        end)
      end
    end

    it("a query of megabytes, which is cut while it is sent, runs once or its error says so", function()
      dialect.needs("rows of megabytes", pending)
      local found = run { way = exactly_once.large_query, state = pooled, stride = { up = 600000, down = 4 } }
      check_aim(found, "done, present", "unknown, present")
    end)
  end)
end
