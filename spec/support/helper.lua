-- busted's helper: what is done before any spec file is loaded.

-- What busted printed is out, however the process ends (by a report of leaks, for instance).
io.stdout:setvbuf "line"

-- Said once, not by each spec that would start it.
local chosen = os.getenv "SERVER"
if chosen and chosen ~= "" and not os.execute 'bash spec/servers/fetch.sh --check "$SERVER"' then
  os.exit(2)
end

-- What is loaded here busted keeps. Everything else it loads anew for each spec file, which luv does not bear: its loop
-- ends with the first copy of the library, and the next one uses it all the same.
pcall(require, "luv")
