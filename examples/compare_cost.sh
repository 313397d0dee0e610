#!/usr/bin/env bash
# What recording costs beside other recorders, under the reference load, one after the other.
#
#   examples/compare_cost.sh [SAMPLES]        (as root; default 120 samples at 1 s)
#
# Takes sadc (Debian: sysstat) and atop where they are installed. CPU is user + system time of the
# process, from its exit; the file's growth is its size at the end over the samples, so the schema
# and the first full picture are in it. Prints a Markdown table. Needs GNU time (Debian: time).
set -euo pipefail
cd "$(dirname "$0")/.."
samples=${1:-120}
cargo build --release --quiet --workspace --example reference_load
bin=$PWD/target/release
work=$(mktemp -d)
mkfifo "$work/stdin"
"$bin/examples/reference_load" <"$work/stdin" >"$work/load.out" &
load=$!
exec 8>"$work/stdin"
trap 'kill $load 2>/dev/null || true; exec 8>&-; rm -rf "$work"' EXIT
until grep -q ready "$work/load.out"; do sleep 0.2; done
echo "$(cat "$work/load.out"); $(ls -d /proc/[0-9]* | wc -l) processes; $samples samples at 1 s; Linux $(uname -r)"
echo
echo "| recorder | CPU ms a sample | user | system | bytes a sample | peak RSS MiB |"
echo "|---|--:|--:|--:|--:|--:|"
# NAME FILE COMMAND...
measure() {
	local name=$1 file=$2 bytes=0 user system rss f
	shift 2
	/usr/bin/time -o "$work/time" -f '%U %S %M' "$@" >/dev/null 2>&1
	read -r user system rss <"$work/time"
	for f in "$file" "$file-wal"; do
		[ -e "$f" ] && bytes=$((bytes + $(stat -c %s "$f")))
	done
	awk -v n="$samples" -v name="$name" -v u="$user" -v s="$system" -v rss="$rss" -v b="$bytes" 'BEGIN {
		printf "| %s | %.1f | %.1f | %.1f | %d | %.1f |\n", name, 1e3 * (u + s) / n, 1e3 * u / n, 1e3 * s / n, b / n, rss / 1024 }'
}
PATH=$PATH:/usr/lib/sysstat:/usr/lib/sa
if command -v sadc >/dev/null; then
	measure "sadc (no processes)" "$work/sa" sadc 1 "$samples" "$work/sa"
	measure "sadc -S XALL" "$work/saall" sadc -S XALL 1 "$samples" "$work/saall"
fi
if command -v pidstat >/dev/null; then
	measure "pidstat -r -p ALL (text)" "$work/pidstat" bash -c "LC_ALL=C exec pidstat -r -h -p ALL 1 $samples >$work/pidstat"
fi
if command -v atop >/dev/null; then
	measure "atop -w" "$work/atop" atop -w "$work/atop" 1 "$samples"
fi
measure "memsoak-record" "$work/soak.db" "$bin/memsoak-record" run --db "$work/soak.db" --interval 1s --duration "${samples}s"
echo
echo "Samples that memsoak-record took of its costliest sources:"
"$bin/memsoak-record" status --db "$work/soak.db" | grep -E '^(process|slabinfo|vmallocinfo|pagetypeinfo) '
