#!/usr/bin/env bash
# Cuts the power of a recording machine again and again and looks at what is left.
#
#   LAB=path/to/run.sh examples/power_cut.sh RECORDER [CUTS] [FOLDER]
#
# RECORDER is a static memsoak-record:
#   RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p memsoak-record --target x86_64-unknown-linux-gnu
# LAB is a program that boots a guest in QEMU: `run.sh --bin FILE --out DIR --disk-image IMAGE KERNEL none -- COMMAND`,
# with the image at /scratch and DIR at /out in the guest; KERNEL (default deb-6.12) is one that it has.
#
# Each guest records to ext4 on the same virtio disk, and says at /out which tick it has seen in the file. At a
# random instant QEMU is killed: what the guest had not given to its disk is gone, as with a disk that keeps what it
# has taken. (What a disk forgets that lies about its cache is not shown by this.) Then, on a copy of the disk, ext4's
# journal is replayed and the file is checked; the next guest mounts the disk itself and continues the file.
set -euo pipefail
recorder=$1 cuts=${2:-50}
work=${3:-$(mktemp -d)}
: "${LAB:?names the program that boots a guest}"
mkdir -p "$work"
image=$work/disk.img
for tool in mkfs.ext4 e2fsck debugfs python3; do
	command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin
	command -v "$tool" >/dev/null || { echo "$tool is not here" >&2; exit 2; }
done
truncate -s 192M "$image"
mkfs.ext4 -q -F "$image"

# Which tick the file holds, whether it is sound, and how many of its numbers are missing.
look() {
	python3 - "$1" <<'PYTHON'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
word = db.execute("PRAGMA integrity_check").fetchone()[0]
last, count = db.execute("SELECT coalesce(max(tick), 0), count(*) FROM tick").fetchone()
print(word.split()[0], last, last - count)
PYTHON
}

guest='memsoak-record run --db /scratch/soak.db --interval 500ms --cpu-budget 100% --min-free 0 2>/out/recorder.log &
while :; do memsoak-record status --db /scratch/soak.db 2>/dev/null | sed -n "s/^last tick *\([0-9]*\) .*/\1/p" >>/out/seen; sleep 0.05; done'

lost=0 unsound=0 set_aside=0 kept=0 cut=0 misses=0
while [ "$cut" -lt "$cuts" ]; do
	out=$work/out
	rm -rf "$out"
	mkdir -p "$out"
	# One guest at a time where several people share a machine.
	exec 9>"${LAB_LOCK:-$work/lock}"
	flock 9
	"$LAB" --bin "$recorder" --out "$out" --disk-image "$image" --time-limit 240 "${KERNEL:-deb-6.12}" none -- "$guest" \
		>"$work/lab.log" 2>&1 9>&- &
	lab=$!
	# From the moment on that this guest's own first tick stands in the file.
	for _ in $(seq 2000); do
		if [ -s "$out/seen" ] && [ "$(tail -n 1 "$out/seen")" -gt "$kept" ] || ! kill -0 "$lab" 2>/dev/null; then break; fi
		sleep 0.1
	done
	sleep "$((RANDOM % 5)).$((RANDOM % 1000))"
	kill -TERM "$lab" 2>/dev/null || true
	wait "$lab" || true
	exec 9>&-
	if [ ! -s "$out/seen" ]; then
		echo "a guest did not come up: its cut is not counted"
		misses=$((misses + 1))
		[ "$misses" -lt 10 ] || exit 2
		continue
	fi
	cut=$((cut + 1))
	seen=$(grep -E '^[0-9]+$' "$out/seen" | tail -n 1)

	cp --sparse=always "$image" "$work/copy.img"
	e2fsck -fy "$work/copy.img" >"$work/fsck.log" 2>&1 || true
	rm -f "$work"/soak.db*
	for name in soak.db soak.db-wal; do
		debugfs -R "dump /$name $work/$name" "$work/copy.img" >/dev/null 2>&1
	done
	[ -s "$work/soak.db-wal" ] || rm -f "$work/soak.db-wal"
	debugfs -R 'ls -p /' "$work/copy.img" 2>/dev/null | grep -q damaged && set_aside=$((set_aside + 1))
	read -r word last holes < <(look "$work/soak.db")
	[ "$word" = ok ] && [ "$holes" = 0 ] || unsound=$((unsound + 1))
	[ "$last" -ge "$seen" ] || lost=$((lost + seen - last))
	kept=$last
	echo "cut $cut: seen up to tick $seen, the file holds $last, integrity_check $word, $holes numbers missing"
done
echo "$cuts power cuts, $kept ticks: $lost committed ticks lost, $unsound files not sound, $set_aside set aside"
[ "$lost" = 0 ] && [ "$unsound" = 0 ] && [ "$set_aside" = 0 ]
