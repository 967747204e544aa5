#!/usr/bin/env bash
# Makes certificates for specs: certificates.sh DIR. What DIR then holds is listed at the end; each NAME.pem is
# signed by ca.pem unless its name says otherwise. All servers share server-key.pem, all clients client-key.pem.

set -eu
made=made-$(cksum <"$0" | cut -d' ' -f1) # other certificates, another mark
mkdir -p "$1/issued"
cd "$1"
[ -f "$made" ] && exit 0

cat >config <<'END'
[ca]
default_ca = any
[any]
database = index
new_certs_dir = issued
default_md = sha256
rand_serial = yes
unique_subject = no
policy = name
[name]
commonName = supplied
END

authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.pem"
}

# NAME KEY EXTENSION [ISSUER [FIRST-YEAR LAST-YEAR]]
certificate() {
  openssl req -new -key "$2-key.pem" -subj "/CN=$1" -out "$1.csr"
  openssl ca -batch -notext -config config -cert "${4-ca}.pem" -keyfile "${4-ca}-key.pem" -in "$1.csr" -out "$1.pem" \
    -startdate "${5-2020}0101000000Z" -enddate "${6-2120}0101000000Z" -extfile <(echo "$3")
}

# 127.1 is an address to every resolver, and to OpenSSL a name.
names=DNS:localhost,DNS:127.1
here=subjectAltName=$names,IP:127.0.0.1
client=extendedKeyUsage=clientAuth
{
  : >index
  openssl genrsa -out server-key.pem 2048
  openssl genrsa -out client-key.pem 2048
  authority ca
  authority foreign-ca
  certificate server server "$here"
  certificate server-by-name server "subjectAltName=$names"
  certificate server-by-address server subjectAltName=IP:127.0.0.1
  certificate server-elsewhere server subjectAltName=DNS:db.example.org,IP:192.0.2.1
  certificate server-expired server "$here" ca 2020 2021
  certificate server-future server "$here" ca 2100 2110
  certificate server-foreign server "$here" foreign-ca
  certificate server-client server "$here"$'\n'"$client" # a client's, from which nobody can make a server's
  openssl req -x509 -key server-key.pem -days 3650 -subj "/CN=localhost" -addext "$here" -out server-self-signed.pem
  certificate client client "$client"
  certificate client-expired client "$client" ca 2020 2021
  certificate client-foreign client "$client" foreign-ca
} >log 2>&1 || { cat log >&2; exit 1; }
touch "$made"
