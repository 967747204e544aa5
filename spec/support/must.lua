-- The assert of a program, which raises the error as it is: that of busted makes a string of it.
return function(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ok, ...
end
