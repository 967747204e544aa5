#!/usr/bin/env bash
# Installs what a make target needs and the system lacks: install.sh GROUP...
# Installs Debian packages as root or through sudo; elsewhere it says what is missing.

set -u
PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec # servers live there, users' paths do not have it

# What Debian calls the Lua of the Makefile, which may be any of these, and its headers.
lua=${LUA:-lua5.4}
case ${lua##*/} in
  *luajit*) lua_library=luajit lua_package='luajit|luajit2' lua_headers='libluajit-5.1-dev|libluajit2-5.1-dev' ;;
  *5*) lua_library=${lua##*/} lua_package=${lua##*/} lua_headers=lib${lua##*/}-dev ;;
  *) lua_library=lua5.4,lua-5.4,lua54,lua5.5,lua lua_package=lua5.4 lua_headers=liblua5.4-dev ;;
esac

compiler=${CC:-cc}
compiler=${compiler%% *}
[[ $compiler == *clang* ]] && compiler_package=clang || compiler_package=gcc

# mariadb-server-core holds only programs: unlike mariadb-server it starts no service. Of several names for a package
# the first that apt knows is taken; older releases have the server's version in it.
maria_server='mariadb-server-core|mariadb-server-core-10.6|mariadb-server-core-10.5'
maria_client='mariadb-client-core|mariadb-client-core-10.6|mariadb-client-core-10.5'

# group     check                        Debian package       what it is for
table="
build       command $compiler            $compiler_package    compiling
build       command make                 make                 building
build       command pkg-config           pkg-config           finding the libraries
build       library libmariadb           libmariadb-dev       mysql.h and the client library
build       library $lua_library         $lua_headers         lua.h
run         command $lua                 $lua_package         running Lua programs
server      command mariadbd             $maria_server        the private server
server      command mariadb-install-db   $maria_server        the data of the private server
server      command my_print_defaults    $maria_client        mariadb-install-db calls it
server      command mariadb              $maria_client        looking at the server past mypool
test        command busted               lua-busted           running the specs
checked     command dpkg-source          dpkg-dev             unpacking the source of Lua
test        module  lpeg                 lua-lpeg             CSV in examples/importer.lua
test        module  cjson                lua-cjson            JSON in examples/service.lua
locale      command localedef            libc-bin             making the locales of specs
locale      file    /usr/share/i18n/locales/ps_AF locales     what they are made of
test        command luarocks             luarocks             installing by the rockspec
test        command git                  git                  a rock of what is tagged
cqueues     module  cqueues              lua-cqueues          specs of the cqueues adapter
luv         module  luv                  lua-luv              specs of the luv adapter
handlers    command wrk                  wrk                  the load of make demo-handlers
handlers    module  cjson                lua-cjson            JSON in examples/handlers
nginx       command curl                 curl                 requests of specs to nginx
luajit      command luajit               luajit               specs under LuaJIT
luajit      library luajit               libluajit-5.1-dev    lua.h of LuaJIT
bench-lua   module  luasql.mysql         lua-sql-mysql        a contender of the benchmark
bench-lua   module  dbd.mysql            lua-dbi-mysql        a contender of the benchmark
bench-go    command go                   golang-go            a contender of the benchmark
bench-go    file    /usr/share/gocode/src/github.com/go-sql-driver/mysql/driver.go golang-github-go-sql-driver-mysql-dev a contender of the benchmark
bench-node  command node                 nodejs               two contenders of the benchmark
bench-node  command npm                  npm                  two contenders of the benchmark
bench-charts command gnuplot             gnuplot-nox          the charts of doc/why/performance.md
fuzz        command clang                clang                fuzzing scanner, encoder and client
lint        command luacheck             lua-check            checking Lua files
lint        command clang-format         clang-format         formatting C files
openssl     command openssl              openssl              certificates for specs of TLS
openssl     module  openssl.ssl.context  lua-luaossl          TLS of the scripted server
haproxy     command haproxy              haproxy              a balancer in front of servers, for specs
cluster     command rsync                rsync                the state of a Galera node travels by it
cluster     command ss                   iproute2             the scripts of Galera look who listens
coverage    command gcovr                gcovr                which lines the specs run
valgrind    command valgrind             valgrind             memory checks
clang       command clang                clang                building with another compiler
debian      command debootstrap          debootstrap          a fresh Debian to try a checkout in
systems     command npm                  npm                  fetching a compiler for other systems
"

is_there() {
  local kind=$1 name names
  IFS=, read -r -a names <<<"$2"
  for name in "${names[@]}"; do
    case $kind in
      command) command -v "$name" ;;
      library) pkg-config --exists "$name" ;;
      file) test -e "$name" ;;
      module) "$lua" -e "require '$name'" ;;
      *) echo "install.sh: unknown check '$kind'" >&2 && exit 2 ;;
    esac >/dev/null 2>&1 && return
  done
  return 1
}

# Sets `packages`, and `reasons` in words.
find_missing() {
  local group check name package purpose
  packages=() reasons=()
  while read -r group check name package purpose; do
    [[ $group && " $* " == *" $group "* ]] || continue
    is_there "$check" "$name" && continue
    reasons+=("  $name ($purpose; on Debian: $package)")
    [[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
  done <<<"$table"
}

check_groups() {
  local group
  for group; do
    [[ $table == *$'\n'"$group "* ]] || { echo "install.sh: there is no group '$group'" >&2 && exit 2; }
  done
}

explain() {
  echo "$1" >&2
  printf '%s\n' "${reasons[@]}" >&2
  exit 1
}

apt() {
  local sudo=()
  ((EUID)) && sudo=(sudo)
  ((EUID)) && [[ ! -t 0 ]] && sudo+=(-n) # nobody is there to type a password
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" 2>&1
}

# Of the names of each package the one that apt knows; the first where it knows none, for the message.
choose_packages() {
  local names name i
  for i in "${!packages[@]}"; do
    IFS='|' read -r -a names <<<"${packages[i]}"
    packages[i]=${names[0]}
    for name in "${names[@]}"; do
      apt-cache show "$name" >/dev/null 2>&1 && packages[i]=$name && break
    done
  done
}

# Old lists of packages may do: an update that fails is told, and no more.
install_packages() {
  local log
  log=$(apt update) || echo "apt-get update failed, so what apt knows may be old: $(grep -m 1 '^[EW]:' <<<"$log")" >&2
  choose_packages
  echo "Installing ${packages[*]}"
  log=$(apt install -y --no-install-recommends "${packages[@]}") && return
  echo "$log" >&2
  explain "The installation failed. Missing are:"
}

check_groups "$@"
find_missing "$@"
((${#packages[@]})) || exit 0
command -v apt-get >/dev/null || explain "Please install what is missing:"
((EUID == 0)) || command -v sudo >/dev/null || explain "Please install what is missing, or run this as root:"
install_packages
find_missing "$@"
((${#packages[@]} == 0)) || explain "Still missing after the installation:"
