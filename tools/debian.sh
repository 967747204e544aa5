#!/usr/bin/env bash
# Runs `make demo` and `make test` in a fresh Debian, in which nothing is installed yet: debian.sh SUITE [VARIABLE=VALUE...]
#
# debootstrap makes the system in build/debian/SUITE; the checkout is copied into it; the variables are make's. Mounts
# and processes are its own and gone with it. Skips, with one line that says why, where none can be made.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
PATH=$PATH:/usr/sbin:/sbin
suite=${1:?which suite of Debian} && shift
root=$PWD/build/debian/$suite

skip() {
  echo "skipped: no fresh Debian $suite ($*)"
  exit 0
}

make_root() {
  ((EUID == 0)) || skip "it takes root to make one"
  tools/install.sh debian >/dev/null 2>&1 || skip "there is no debootstrap"
  mkdir -p "${root%/*}" && rm -rf "$root"
  debootstrap --variant=minbase "$suite" "$root" "$(spec/servers/fetch.sh --mirror)" >"$root.log" 2>&1 ||
    skip "debootstrap: $(tail -n 1 "$root.log")"
  unshare --mount --pid --fork true 2>/dev/null || skip "no mounts of its own are allowed"
  cat /etc/resolv.conf >"$root/etc/resolv.conf"
  echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/mirror-may-be-old"
}

# within COMMAND: in the system, as its root.
within() {
  unshare --mount --pid --fork --kill-child --propagation private bash -c '
    mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/tmp" &&
      exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 bash -c "$2"' - "$root" "$1"
}

make_root
mkdir -p "$root/root/mypool" && tar -c --exclude=./build --exclude=./.git . | tar -x -C "$root/root/mypool" || exit
within "{ apt-get -qq update && apt-get -qq -y install make; } >/dev/null 2>&1" || skip "make cannot be installed"
status=0
within "cd /root/mypool && make demo $*" || status=1
within "cd /root/mypool && make test $*" || status=1
rm -rf "$root"
exit "$status"
