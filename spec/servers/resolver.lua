-- What this machine's resolver knows, for specs of names: a bare system may not even know localhost.

local resolver = {}

function resolver.knows(name)
  return os.execute(("getent ahosts '%s' >/dev/null"):format(name)) == true
end

return resolver
