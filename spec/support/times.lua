-- So many functions, each of which calls f with its number: what schedulers run.

return function(count, f)
  local functions = {}
  for i = 1, count do
    functions[i] = function()
      f(i)
    end
  end
  return functions
end
