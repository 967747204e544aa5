-- Prints the rockspec of a release whose archive lies at an address, for `make dist`.
--
--   lua tools/dist.lua ROCKSPEC URL MD5

local path, url, md5 = ...

-- They go into a Lua string.
assert(not url:find '["\\%c]', "URL must be an address without quotes, backslashes and line breaks")
assert(md5:find("^%x+$") and #md5 == 32, "no checksum: neither md5sum nor md5 is there")

local file = assert(io.open(path))
local text = file:read "*a"
file:close()

local source = ('source = {\n  url = "%s",\n  md5 = "%s",\n}\n'):format(url, md5)
local released, count = text:gsub("%-%-[^\n]*\nsource = %b{}\n", function()
  return source
end)
assert(count == 1, path .. " has no source, or several")
io.write(released)
