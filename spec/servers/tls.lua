-- Certificates for specs, made once in build/: tls.ca signed tls.server_options(), tls.foreign_ca did not;
-- tls.file(name) is one of certificates.sh.

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local certificates = folder .. "/../../build/spec/certificates"

local tls = {
  ca = certificates .. "/ca.pem",
  foreign_ca = certificates .. "/foreign-ca.pem",
  client_cert = certificates .. "/client.pem",
  client_key = certificates .. "/client-key.pem",
}

function tls.file(name)
  return certificates .. "/" .. name .. ".pem"
end

-- Command line options of mariadbd.
function tls.server_options()
  local make = ("bash '%s/certificates.sh' '%s' 2>&1 && readlink -f '%s'"):format(folder, certificates, certificates)
  local pipe = io.popen(make)
  local printed = pipe:read "a"
  assert(pipe:close(), printed)
  local path = printed:match "([^\n]+)\n$"
  return "--ssl-ca=" .. path .. "/ca.pem",
    "--ssl-cert=" .. path .. "/server.pem",
    "--ssl-key=" .. path .. "/server-key.pem"
end

return tls
