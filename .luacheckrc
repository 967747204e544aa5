std = "lua54"
max_line_length = 120
exclude_files = { "build" }
files["lua"] = { std = "min" } -- what 5.1, LuaJIT and 5.4 share
files["lua/mypool.d.lua"] = { ignore = { "212", "241" } } -- declarations have no bodies
files["spec"] = { std = "lua54+busted" }
files["examples/suite"] = { std = "lua54+busted" }
