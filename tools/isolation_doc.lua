-- Prints doc/why/isolation.md: measures every row of spec/matrix/leaks.lua. Run by `make doc`.

local isolation = require "spec.matrix.isolation"
local leaks = require "spec.matrix.leaks"
local mypool = require "mypool"
local plain = require "spec.plain"

local words = {
  clean = "clean",
  replaced = "clean, new connection",
  leaks = "**leaks**",
  breaks = "**breaks**",
  fails = "fails",
  hangs = "**hangs**",
  ["n/a"] = "–",
}

local function measure_all(world)
  local counts, results = {}, {}
  leaks.each(function(row)
    local verdicts = {}
    for _, treatment in ipairs(isolation.treatments) do
      local verdict = isolation.measure(world, row, treatment, "socket")
      verdicts[treatment] = verdict
      local key = treatment .. " " .. verdict
      counts[key] = (counts[key] or 0) + 1
    end
    results[row] = verdicts
    counts.rows = (counts.rows or 0) + 1
  end)
  return results, counts
end

local function put(format, ...)
  print((format:format(...)))
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

local function own_word(row, verdict)
  if row.exception and verdict == "leaks" then
    return "**leaks**, see [exceptions](#exceptions)"
  end
  return words[verdict]
end

local function put_table(rows, results)
  put "\n| state | reuse | reset | change user | mypool | |"
  put "|---|---|---|---|---|---|"
  for _, row in ipairs(rows) do
    local verdicts = results[row]
    put(
      "| %s | %s | %s | %s | %s | %s |",
      cell(row.name),
      words[verdicts.reuse],
      words[verdicts.reset],
      words[verdicts.change_user],
      own_word(row, verdicts.mypool),
      cell(row.note or "")
    )
  end
end

-- The rows of a group that a reset does not clean, and the others.
local function divided(group, results)
  local left, cleaned = {}, {}
  for _, row in ipairs(group) do
    table.insert(results[row].reset == "clean" and cleaned or left, row)
  end
  return left, cleaned
end

local function put_where_a_reset_is_not_enough(results)
  put "\n## Where the server's reset is not enough"
  for _, group in ipairs(leaks.groups) do
    local left = divided(group, results)
    if #left > 0 then
      put("\n### %s", group.name)
      put_table(left, results)
    end
  end
end

local function put_what_a_reset_cleans(results)
  put "\n## What the server's reset cleans\n"
  put "A pool that resets each session is as good as mypool here, at the price of a round trip for each loan. One that"
  put "does not reset them leaks all of it."
  for _, group in ipairs(leaks.groups) do
    local _, cleaned = divided(group, results)
    if #cleaned > 0 then
      put("\n<details><summary>%s: %d</summary>", group.name, #cleaned)
      put_table(cleaned, results)
      put "\n</details>"
    end
  end
end

local function exceptions()
  put "\n## Exceptions\n"
  put "What no client can clean, and why:\n"
  leaks.each(function(row)
    if row.exception then
      put("- **%s**: %s", row.name, row.exception)
    end
  end)
end

local function summary(counts)
  put "\n| | leaks | breaks, fails or hangs | clean |"
  put "|---|---|---|---|"
  local names = {
    reuse = "reuse, nothing done",
    reset = "`mysql_reset_connection`",
    change_user = "`mysql_change_user`",
    mypool = "mypool",
  }
  for _, treatment in ipairs(isolation.treatments) do
    local function count(...)
      local sum = 0
      for _, verdict in ipairs { ... } do
        sum = sum + (counts[treatment .. " " .. verdict] or 0)
      end
      return sum
    end
    put(
      "| %s | %d | %d | %d |",
      names[treatment],
      count "leaks",
      count("breaks", "fails", "hangs"),
      count("clean", "replaced")
    )
  end
end

local world <close> = isolation.start()
local results, counts = measure_all(world)

put [[
# What the next borrower of a connection sees

mypool hands on a session that is as new: of the kinds of state below, it leaves none behind that a client can clean.
Plain reuse leaves nearly all of them, and the server's own reset still leaves the default database, roles, query texts
and what the client believes of the session.
]]
put(
  "%d kinds of state, measured on MariaDB %s with Connector/C %s and\nmypool %s. "
    .. "The specs run each of them over a unix socket, TCP and TLS.",
  counts.rows,
  world.observer:value "SELECT VERSION()",
  plain.client_version,
  mypool._VERSION
)
summary(counts)
put [[

If you choose a pool, look for the rows that your programs could ever bring about, on purpose, by an error in the
middle of something, or through a stored function that somebody else wrote. Two kinds hurt most: those that change
the meaning of the next borrower's statements (`sql_mode`, time zone, default database, temporary tables in front of
real ones), and those that cross a border of trust (roles, user variables, texts of statements, escaping that no
longer matches the server). The answer "our programs do not do that" holds until one does.

The columns are four ways to treat a connection between two loans:

- **reuse**: the pool lends the connection again as it is, and trusts that its borrowers tidied up. Many pools do.
- **reset**: `mysql_reset_connection()` of Connector/C, as pools do that offer a reset.
- **change user**: `mysql_change_user()` to the same account and database, which logs in anew on the old connection.
- **mypool**: nothing but `conn:release()` and the next `pool:checkout()`, with default options.

Each row dirties a connection, treats it in that way, and looks at it as the next borrower would:

- *clean*: it shows what a connection shows that was just opened. *Clean, new connection*: mypool threw it away and
  opened another, unseen.
- *leaks*: it shows something else.
- *breaks*: the next borrower's own statements fail. *Fails*: the cleaning reported an error, so that a careful pool
  would throw the connection away.
- A dash: there is nothing to compare.]]
put_where_a_reset_is_not_enough(results)
put_what_a_reset_cleans(results)
exceptions()
put [[

## Limits

- A variable that follows a global one follows it as it is at the reset, not as it was at the connect: after `SET
  GLOBAL`, sessions of the pool take the new value from their next loan on. What must hold belongs into `init_sql`.
- `release{ reset = false }` and the option `reset = "never"` leave a connection as it is: then the column *reuse*
  is yours.

This page is made by `make doc` from `spec/matrix/leaks.lua`, the table that `spec/reset/isolation_spec.lua` runs.]]
