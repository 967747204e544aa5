-- busted's helper: what busted printed is out, however the process ends (by a report of leaks, for instance).
io.stdout:setvbuf("line")
