#!/usr/bin/env bash
# A private MariaDB server in a temporary folder: started, broken on purpose, removed.
#
#   server.sh create OWNER_PID        makes a folder and prints its name; the folder, and the
#                                     server in it, end with the process OWNER_PID
#   server.sh start DIR [OPTION...]   runs the server with these options; prints its port and socket
#   server.sh stop | kill DIR         ends it by SIGTERM or by SIGKILL, and waits until it is gone
#   server.sh resume DIR              runs it again: same data, options and port
#   server.sh options DIR [OPTION...] gives it other options, for when it is run again
#   server.sh pause | continue DIR    SIGSTOP and SIGCONT
#   server.sh remove DIR              ends it and deletes the folder
#   server.sh run [OPTION... --] COMMAND...
#                                     runs a command with MYPOOL_DSN pointing at a new server
#
# In the folder: data/, tmp/, sock, pid (while it runs), port, options, error.log, guard (a fifo).

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=$here/server.sh
archives=$here/../../build/server
patience=30
# Servers live in sbin or libexec, which are not on everybody's path.
PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec

fail() {
  echo "server.sh: $*" >&2
  exit 1
}

# ---- Processes ------------------------------------------------------------------------------------

# Sets `state` and `birth`. A pid with another birth (its start time) is another process.
look_at() {
  local stat='' fields
  state=gone birth=
  IFS= read -r -d '' stat 2>/dev/null <"/proc/$1/stat"
  [[ $stat ]] || return 1
  read -r -a fields <<<"${stat##*) }" # the name before it may contain blanks and parentheses
  state=${fields[0]} birth=${fields[19]}
}

# A process that nobody has waited for yet (Z) is dead, but only together with its last thread.
is_gone() {
  look_at "$1" || return 0
  local threads=("/proc/$1/task"/*)
  [[ $state == [ZX] && ${#threads[@]} -le 1 ]]
}

await_end() {
  local deadline=$((SECONDS + patience))
  until is_gone "$1"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.01
  done
}

command_line() {
  argv=()
  mapfile -d '' argv 2>/dev/null <"/proc/$1/cmdline"
}

# Sets `pid`. The pid file outlives a killed server, so the process must name our data.
find_server() {
  pid=
  [[ -s $1/pid ]] && read -r pid <"$1/pid" || return 1
  command_line "$pid"
  [[ " ${argv[*]} " == *" --datadir=$1/data "* ]]
}

# Whatever runs on the folder, also half-way through a start, or to bring a Galera node its state. Sets `pids`.
find_workers() {
  local process
  pids=()
  for process in /proc/[0-9]*; do
    command_line "${process#/proc/}"
    case " ${argv[*]} " in
      *" --datadir=$1/"* | *" $1/data"* | *"server.sh start $1 "* | *"server.sh resume $1 "*) pids+=("${process#/proc/}") ;;
    esac
  done
}

# Sockets of the caller that we keep open would keep its connections alive.
close_inherited_files() {
  local file fd
  for file in "/proc/$BASHPID/fd"/*; do
    fd=${file##*/}
    [[ $fd -le 2 || $file -ef $me ]] || exec {fd}>&-
  done
}

# ---- The folder and its guard ---------------------------------------------------------------------

# Clients give socket paths at most 107 bytes, mariadb-install-db cannot bear blanks, and TMPDIR may be anything.
temporary_folder() {
  local parent
  for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm; do
    [[ $parent =~ ^/[A-Za-z0-9/._-]{0,79}$ ]] && mktemp -d "$parent/mypool.XXXXXXXX" 2>/dev/null && return
  done
  fail "no temporary folder with a short path"
}

delete() {
  local try
  for ((try = 0; try < 100; try++)); do
    find_workers "$1"
    ((${#pids[@]})) && kill -KILL "${pids[@]}" 2>/dev/null # wakes a paused one, too
    ((${#pids[@]})) || rm -rf "$1" 2>/dev/null && [[ ! -e $1 ]] && return
    sleep 0.02
  done
  fail "could not delete $1"
}

# Runs in a session of its own, so that what ends the owner's terminal or process group passes it by.
# It looks at the owner instead of holding a pipe to it: every child of the owner would inherit the pipe.
guard() {
  local owner=$1 owner_birth folder
  trap '' INT HUP PIPE
  close_inherited_files
  look_at "$owner" || fail "there is no process $owner"
  owner_birth=$birth
  folder=$(temporary_folder) || exit
  trap 'delete "$folder"; exit' TERM
  mkdir "$folder/tmp" && mkfifo "$folder/guard" && exec 3<>"$folder/guard" || {
    delete "$folder"
    fail "cannot write to $folder"
  }
  echo "$folder"
  exec >/dev/null 2>&1
  until read -r -t 0.2 -u 3; do # until `remove` writes
    look_at "$owner" && [[ $birth == "$owner_birth" && $state != [ZX] ]] || break
  done
  delete "$folder"
}

create() {
  setsid bash "$me" guard "$1" </dev/null & # the caller's pipe ends when the guard has printed the name
}

remove() {
  local try
  echo 1<>"$1/guard" # opened for both so that it does not block, even without a guard
  for ((try = 0; try < 200; try++)); do
    [[ -e $1 ]] || return 0
    sleep 0.01
  done
  delete "$1"
}

# ---- Data -----------------------------------------------------------------------------------------

accounts() {
  local name host
  echo "FLUSH PRIVILEGES;" # a server that is being installed knows no accounts before it
  echo "CREATE DATABASE app CHARACTER SET utf8mb4;"
  echo "CREATE DATABASE other CHARACTER SET utf8mb4;"
  for host in "'%'" "'localhost'"; do
    for name in app limited; do echo "CREATE USER $name@$host IDENTIFIED BY 'secret';"; done
    echo "GRANT ALL ON *.* TO app@$host WITH GRANT OPTION;"
    echo "GRANT ALL ON app.* TO limited@$host;"
  done
}

small=(
  --loose-innodb-log-file-size=4M --loose-innodb-flush-method=nosync --loose-innodb-use-native-aio=0
  --loose-innodb-autoextend-increment=4 --innodb-buffer-pool-size=32M
  --key-buffer-size=1M --loose-aria-pagecache-buffer-size=2M
)
[[ $EUID == 0 ]] && small+=(--user=root)
. "$here/kinds.sh"

# Unpacking fresh data is ten times faster than installing them. They stay fresh for one mariadbd and one server.sh.
archive_name() {
  local key
  key=$({ stat -L -c '%n %s %Y' "$(command -v "${program[-1]}")" && cat "$me" "$here/kinds.sh"
    [[ $flavour == mariadb ]] || sequences; } | cksum)
  echo "$archives/$SERVER-${key%% *}.tar"
}

keep_data() {
  mkdir -p "$archives" && rm -f "$archives/$SERVER"-*.tar* &&
    tar -cf "$2.$$" -C "$1/new" . && mv "$2.$$" "$2"
} 2>/dev/null

make_data() {
  local archive
  archive=$(archive_name)
  rm -rf "$1/new" && mkdir "$1/new" || exit
  if ! tar -xf "$archive" -C "$1/new" 2>/dev/null; then
    rm -rf "$1/new"
    install_data "$1"
    keep_data "$1" "$archive"
  fi
  mv "$1/new" "$1/data"
}

# ---- The server -----------------------------------------------------------------------------------

# What is committed must survive a SIGKILL, so it is written at once (2), but never synced.
launch() {
  local dir=$1 port=$2
  shift 2
  rm -f "$dir/pid" "$dir/sock.lock" # the number of a killed server may be another process's by now
  [[ $EUID != 0 || $user == root ]] || chown -R "$user" "$dir"
  (
    close_inherited_files
    exec setsid "${program[@]}" --no-defaults "${kind_options[@]}" --datadir="$dir/data" --tmpdir="$dir/tmp" \
      --socket="$dir/sock" --pid-file="$dir/pid" --bind-address=127.0.0.1 --port="$port" \
      "${small[@]/--user=root/--user=$user}" --innodb-flush-log-at-trx-commit=2 --loose-innodb-temp-data-file-path=ibtmp1:12M:autoextend \
      --innodb-buffer-pool-load-at-startup=0 --innodb-buffer-pool-dump-at-shutdown=0 --skip-log-bin \
      --skip-name-resolve --character-set-server=utf8mb4 "$@" </dev/null >>"$dir/error.log" 2>&1
  ) &
  await_answer "$dir" $!
}

await_answer() {
  local deadline=$((SECONDS + patience))
  until [[ -s $1/pid ]] && mariadb --no-defaults --skip-ssl --user=root --socket="$1/sock" -e 'DO 0' 2>/dev/null; do
    is_gone "$2" && return 1
    ((SECONDS < deadline)) || break
    sleep 0.01
  done
  ((SECONDS < deadline)) && return
  kill -KILL "$2"
  return 1
}

give_up() {
  tail -n 20 "$1/error.log" >&2
  fail "the server did not start; above is the end of its log"
}

# A port is free only if mariadbd gets it. Below 32768 the kernel gives none to clients.
launch_on_some_port() {
  local dir=$1 try port
  shift
  for ((try = 0; try < 20; try++)); do
    port=$((15000 + RANDOM % 17000))
    launch "$dir" "$port" "$@" && echo "$port" >"$dir/port" && return
    grep -q 'Bind on TCP/IP port' "$dir/error.log" || return 1
    rm -f "$dir/error.log"
  done
  return 1
}

resume() {
  local dir=$1 options=()
  choose_kind
  find_server "$dir" && fail "the server in $dir runs already"
  mapfile -d '' options <"$dir/options"
  [[ -d $dir/data ]] || make_data "$dir"
  if [[ -e $dir/port ]]; then
    launch "$dir" "$(<"$dir/port")" "${options[@]}" || give_up "$dir"
  else
    launch_on_some_port "$dir" "${options[@]}" || give_up "$dir"
  fi
  echo "$(<"$dir/port") $dir/sock"
}

options() {
  local dir=$1
  shift
  printf '%s\0' "$@" >"$dir/options"
  (($#)) || : >"$dir/options"
}

start() {
  options "$@"
  resume "$1"
}

stop() {
  find_server "$1" || return 0
  kill -TERM "$pid" && kill -CONT "$pid" # a paused one acts on the first signal only after the second
  await_end "$pid" || fail "the server in $1 does not stop"
}

# With what it has started to bring it its state, if it is a Galera node.
kill_server() {
  find_server "$1" || return 0
  kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid"
  await_end "$pid" || fail "the server in $1 does not die"
}

signal() {
  find_server "$2" || fail "no server runs in $2"
  kill "-$1" "$pid"
}

# A signal is on its way for a while: until the last thread has stopped, a statement may be answered.
pause() {
  signal STOP "$1"
  for ((i = 0; i < 1000; i++)); do
    cut -d')' -f2 "/proc/$pid/task/"*/stat | grep -qv '^ T' || return 0
    sleep 0.002
  done
  fail "the server in $1 does not pause"
}

run() {
  local options=() dir port status
  if [[ " $* " == *" -- "* ]]; then
    while [[ $1 != -- ]]; do options+=("$1") && shift; done
    shift
  fi
  dir=$(create $$) && [[ $dir ]] || exit 1
  port=$(start "$dir" "${options[@]}") || { remove "$dir"; exit 1; }
  MYPOOL_DSN="mariadb://app:secret@127.0.0.1:${port%% *}/app" "$@"
  status=$?
  remove "$dir"
  return $status
}

# Nothing else may ever be deleted or filled.
check_folder() {
  [[ -p $1/guard ]] || fail "'$1' is not a folder made by 'server.sh create'"
}

case ${1-} in
  create | guard | run) "$@" ;;
  start | stop | resume | options) check_folder "${2-}" && "$@" ;;
  kill) check_folder "${2-}" && kill_server "$2" ;;
  pause) check_folder "${2-}" && pause "$2" ;;
  continue) check_folder "${2-}" && signal CONT "$2" ;;
  remove) [[ ! -e ${2-} ]] || { check_folder "$2" && remove "$2"; } ;;
  *) sed -n '2,/^$/s/^# \{0,1\}//p' "$me" >&2; exit 2 ;;
esac
