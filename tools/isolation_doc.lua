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

local function table_of(group, results)
  put("\n## %s\n", group.name)
  put "| state | reuse | reset | change user | mypool | |"
  put "|---|---|---|---|---|---|"
  for _, row in ipairs(group) do
    local verdicts = results[row]
    local own = row.exception and "**leaks**, see [exceptions](#exceptions)" or words[verdicts.mypool]
    put(
      "| %s | %s | %s | %s | %s | %s |",
      cell(row.name),
      words[verdicts.reuse],
      words[verdicts.reset],
      words[verdicts.change_user],
      row.exception and verdicts.mypool ~= "leaks" and words[verdicts.mypool] or own,
      cell(row.note or "")
    )
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

A connection to MariaDB or MySQL carries state: a transaction, variables, a role, locks, temporary tables. A pool
lends one connection to many borrowers, and what one of them leaves behind is there for the next, unless the pool
takes it away. This page lists what there is to leave behind, and measures what becomes of it in four ways:

- **reuse**: the pool lends the connection again as it is, and trusts that its borrowers tidied up. Many pools do.
- **reset**: `mysql_reset_connection()` of Connector/C between two loans, as pools do that offer a reset.
- **change user**: `mysql_change_user()` to the same account and database, which logs in anew on the old connection.
- **mypool**: nothing but `conn:release()` and the next `pool:checkout()`, with default options.

Each row dirties a connection, cleans it in that way, and looks at it as the next borrower would; *clean* means that
it shows what a connection shows that was just opened, *leaks* that it shows something else, *breaks* that the next
borrower's own statements fail, *fails* that the cleaning reported an error, so that a careful pool would throw the
connection away. *Clean, new connection* means that mypool threw it away and opened another, unseen. A dash:
there is nothing to compare.

If you choose a pool, look for the rows that your programs could ever bring about, on purpose, by an error in the
middle of something, or through a stored function that somebody else wrote. Two kinds hurt most: those that change
the meaning of the next borrower's statements (`sql_mode`, time zone, default database, temporary tables in front of
real ones), and those that cross a border of trust (roles, user variables, texts of statements, escaping that no
longer matches the server). The answer "our programs do not do that" holds until one does.
]]
put(
  "Measured on MariaDB %s with Connector/C %s and mypool %s.",
  world.observer:value "SELECT VERSION()",
  plain.client_version,
  mypool._VERSION
)
put("\n%d kinds of state. The specs run each of them over a unix socket, TCP and TLS.", counts.rows)
summary(counts)
for _, group in ipairs(leaks.groups) do
  table_of(group, results)
end
exceptions()
put [[

## Limits

- A variable that follows a global one follows it as it is at the reset, not as it was at the connect: after `SET
  GLOBAL`, sessions of the pool take the new value from their next loan on. What must hold belongs into `init_sql`.
- `release{ reset = false }` and the option `reset = "never"` leave a connection as it is: then the column *reuse*
  is yours.

This page is made by `make doc` from `spec/matrix/leaks.lua`, the table that `spec/reset/isolation_spec.lua` runs.]]
