#!/usr/bin/env bash
# Makes certificates for specs: certificates.sh DIR. DIR then holds ca.pem, server.pem and -key.pem for
# localhost and 127.0.0.1, client.pem and -key.pem, and foreign-ca.pem, which signed none of them.

set -eu
mkdir -p "$1"
cd "$1"
[ -f done ] && exit 0

authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.pem"
}

certificate() { # name, extension
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 3650 -out "$1.pem" \
    -extfile <(echo "$2")
}

{
  authority ca
  authority foreign-ca
  certificate server "subjectAltName=DNS:localhost,IP:127.0.0.1"
  certificate client "extendedKeyUsage=clientAuth"
} >log 2>&1 || { cat log >&2; exit 1; }
touch "done"
