-- Waits for so many seconds, in which no coroutine runs.
return function(seconds)
  os.execute("sleep " .. seconds)
end
