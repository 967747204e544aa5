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

local function output(command)
  local pipe = io.popen(command .. " 2>&1")
  local printed = pipe:read "a"
  assert(pipe:close(), printed)
  return printed
end

-- Makes the certificates, where there are none. Returns the full name of their folder.
local function make()
  local command = "bash '%s/certificates.sh' '%s' && readlink -f '%s'"
  return output(command:format(folder, certificates, certificates)):match "([^\n]+)\n$"
end

-- The full name of such a file, for programs that run in another folder.
function tls.path(name)
  return ("%s/%s.pem"):format(make(), name)
end

-- The fingerprint of a certificate in this file, or of this name, with the colons: as the libmariadb that is
-- loaded wants it, or by another hash ("sha1", "sha256").
function tls.fingerprint(name, hash)
  make()
  local path = name:find "/" and name or tls.file(name)
  hash = hash or require("mypool.core").fingerprint_digits == 64 and "sha256" or "sha1"
  return output(("openssl x509 -in '%s' -noout -fingerprint -%s"):format(path, hash)):match "=([%x:]+)"
end

-- Command line options of mariadbd.
function tls.server_options()
  local path = make()
  return "--ssl-ca=" .. path .. "/ca.pem",
    "--ssl-cert=" .. path .. "/server.pem",
    "--ssl-key=" .. path .. "/server-key.pem"
end

return tls
