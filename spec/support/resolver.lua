-- What this machine's resolver knows, for specs of names: a bare system may not even know localhost.

local resolver = {}

-- How many addresses the name has.
function resolver.addresses(name)
  local pipe <close> = assert(io.popen(("getent ahosts '%s'"):format(name)))
  local seen, count = {}, 0
  for line in pipe:lines() do
    local address = line:match "^%S+"
    count = count + (seen[address] and 0 or 1)
    seen[address] = true
  end
  return count
end

return resolver
