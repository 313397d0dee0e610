#!/bin/sh
# Captures a board on which memsoak-record cannot run: a shell and busybox are enough.
#   capture.sh DIR [INTERVAL_S [COUNT]]     every 300 s until it is stopped, if nothing else is said
# makes DIR/000001, DIR/000002, ... for `memsoak-record import --db soak.db DIR`; after a reboot it
# goes on behind the last one. With 100 processes a capture takes 2 MB of a disk with blocks of 4 KiB
# and a second or two of a CPU. Neither command lines nor the host's name are kept.
[ $# -ge 1 ] && mkdir -p "$1" && dir=$(cd "$1" && pwd) && cd / || {
    echo "usage: capture.sh DIR [INTERVAL_S [COUNT]]" >&2
    exit 2
}
every=${2:-300} count=${3:-0} part=$dir/.part number=0 taken=0
umask 077
trap 'rm -rf "$part"; exit 0' INT TERM
files='proc/uptime proc/version proc/self/auxv proc/sys/kernel/osrelease proc/sys/kernel/random/boot_id
    proc/sys/vm/overcommit_memory proc/meminfo proc/zoneinfo proc/buddyinfo proc/vmstat proc/slabinfo
    proc/pressure/memory proc/net/sockstat* proc/sys/fs/*-nr proc/sys/fs/dentry-state proc/swaps
    proc/loadavg proc/stat proc/sysvipc/shm proc/modules proc/vmallocinfo proc/pagetypeinfo
    proc/allocinfo sys/kernel/debug/page_owner_stacks/show_stacks sys/kernel/debug/kmemleak
    sys/block/zram*/*stat sys/block/zram*/disksize sys/kernel/mm/hugepages/*/*_hugepages
    sys/kernel/mm/ksm/* sys/kernel/mm/cma/*/* sys/kernel/debug/cma/*/* sys/kernel/debug/extfrag/*
    sys/module/zswap/parameters/* sys/kernel/debug/zswap/* sys/devices/system/node/node*/meminfo
    sys/devices/system/node/node*/numastat sys/fs/cgroup/cgroup.controllers
    sys/fs/cgroup/unified/cgroup.controllers'
of_group='current peak max high swap.current swap.max stat events usage_in_bytes max_usage_in_bytes limit_in_bytes
    failcnt oom_control kmem.usage_in_bytes kmem.tcp.usage_in_bytes'

keep() { # copies what is there; fails only when the copy cannot be written
    for from; do
        [ -f "$from" ] && [ -r "$from" ] || continue
        mkdir -p "$part/${from%/*}" && cat "$from" 2>/dev/null | cat >"$part/$from" || return 1
        [ -s "$part/$from" ] || rm "$part/$from"
    done
}

shoot() {
    rm -rf "$part" && mkdir "$part" && printf 'time = "%s"\narch = "%s"\n' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(uname -m)" >"$part/MANIFEST.toml" &&
        keep $files || return 1
    for of in proc/[0-9]*; do
        keep "$of/statm" "$of/status" "$of/stat" || return 1
        [ -r "$of/fd" ] && [ -d "$part/$of" ] || continue
        ls "$of/fd" 2>/dev/null | cat >"$part/$of/fd" || return 1
    done
    for of in sys/fs/cgroup sys/fs/cgroup/* sys/fs/cgroup/*/* sys/fs/cgroup/*/*/* sys/fs/cgroup/*/*/*/*; do
        [ -f "$of/memory.stat" ] || continue
        for file in $of_group; do keep "$of/memory.$file" || return 1; done
    done
}

for old in "$dir"/[0-9][0-9][0-9][0-9][0-9][0-9]; do [ ! -d "$old" ] || number=${old##*/}; done
number=${number#"${number%%[!0]*}"} # a number that begins with 0 is octal
while :; do
    number=$((${number:-0} + 1)) taken=$((taken + 1))
    shoot && mv "$part" "$dir/$(printf %06d "$number")" || {
        rm -rf "$part"
        echo "capture.sh: cannot write to $dir" >&2
        exit 1
    }
    [ "$taken" -ne "$count" ] || exit 0
    sleep "$every"
done
