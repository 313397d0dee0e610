#!/usr/bin/env bash
# Real programs beside known leakers: none of the programs may be called a leak, each leaker has to be.
#
#   examples/side_by_side.sh [SECONDS] [DIR]     (default 600, target/side_by_side; root sees the most)
#
# Takes Redis at its maxmemory, a JVM, Node and Python with bounded caches, stress-ng in several
# modes, and a compile job, each where it is installed (Debian: redis-server default-jdk-headless
# nodejs python3 stress-ng). leak_hunt records, scores and gives the exit status.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
out=${2:-target/side_by_side}
leakers=${LEAKERS:-anon,memfd,pipes,fds,udp,threads}
cargo build --release --quiet --example leak_hunt
hunt=${CARGO_TARGET_DIR:-target}/release/examples/leak_hunt
work=$(mktemp -d)
started=()
# Each job is a process group of its own, so that it ends with all that it has started.
# The shell's words about jobs that it ends itself are no news.
trap 'exec 2>/dev/null; for job in "${started[@]}"; do kill -- "-$job" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT
set -m

names=()
# begin NAME COMMAND...: runs it in the background; its processes' names begin with NAME.
begin() {
	local name=$1
	shift
	names+=("$name")
	"$@" </dev/null >"$work/$name.log" 2>&1 &
	started+=($!)
}
# has COMMAND...: whether all of them are installed.
has() {
	local command
	for command; do
		command -v "$command" >/dev/null || {
			echo "$command is not installed: left out"
			return 1
		}
	done
}
# renamed NAME COMMAND: the same program under a name of its own, to be told from others of its sort.
renamed() {
	ln -sf "$(readlink -f "$(command -v "$2")")" "$work/$1"
	echo "$work/$1"
}

if has redis-server redis-benchmark; then
	begin redis-server redis-server --port 0 --unixsocket "$work/redis.sock" --save '' --dir "$work" \
		--maxmemory 48mb --maxmemory-policy allkeys-lru
	redis_load() {
		while sleep 0.5; do
			redis-benchmark -s "$work/redis.sock" -n 4000 -r 1000000 -d 700 -c 4 -t set,get -q || true
		done
	}
	begin redis-benchmark redis_load
fi

if has java javac; then
	cat >"$work/Service.java" <<-'END'
		import java.util.*;

		class Service {
		    public static void main(String[] args) throws Exception {
		        var random = new Random(1);
		        var cache = new LinkedHashMap<Integer, byte[]>(16, 0.75f, true) {
		            protected boolean removeEldestEntry(Map.Entry<Integer, byte[]> eldest) {
		                return size() > 20_000;
		            }
		        };
		        while (true) {
		            for (int i = 0; i < 2_000; i++)
		                cache.computeIfAbsent(random.nextInt(1_000_000), key -> new byte[random.nextInt(2_000)]);
		            Thread.sleep(100);
		        }
		    }
		}
	END
	javac -d "$work" "$work/Service.java"
	begin sbs-java "$(renamed sbs-java java)" -Xmx128m -cp "$work" Service
fi

if has node; then
	cat >"$work/service.js" <<-'END'
		const cache = new Map();
		let key = 0;
		setInterval(() => {
		    for (let i = 0; i < 1000; i++) {
		        cache.set(key++, 'x'.repeat(Math.floor(Math.random() * 1000)) + key);
		        if (cache.size > 30000) cache.delete(cache.keys().next().value);
		    }
		}, 100);
	END
	begin sbs-node "$(renamed sbs-node node)" "$work/service.js"
fi

if has python3; then
	cat >"$work/service.py" <<-'END'
		import functools, random, threading, time

		@functools.lru_cache(maxsize=20000)
		def answer(key):
		    return bytearray(random.randrange(3000))

		def request():
		    for _ in range(50):
		        answer(random.randrange(1_000_000))

		while True:
		    requests = [threading.Thread(target=request) for _ in range(random.randrange(16))]
		    for r in requests: r.start()
		    for r in requests: r.join()
		    time.sleep(0.1)
	END
	python=$(python3 -c 'import sys; print(sys.executable)')
	begin sbs-python "$(renamed sbs-python "$python")" "$work/service.py"
fi

if has stress-ng; then
	stress() {
		cd "$work"
		while :; do
			for mode in "--vm 1 --vm-bytes 64M" "--malloc 1 --malloc-bytes 64M" "--fork 1" "--pthread 1" \
				"--pipe 1" "--sock 1" "--epoll 1" "--dentry 1 --dentries 1000" "--mmap 1 --mmap-bytes 64M"; do
				# shellcheck disable=SC2086 # a mode is several words
				nice -n 19 stress-ng $mode --timeout 5 --temp-path "$work" || true
				sleep 5
			done
		done
	}
	begin stress-ng stress
fi

if has cargo; then
	compile() {
		cargo new --quiet --vcs none "$work/small"
		cd "$work/small"
		unset CARGO_TARGET_DIR
		while :; do
			touch src/main.rs
			nice -n 19 cargo build --quiet --offline || true
			sleep 3
		done
	}
	begin rustc compile
	names+=(cargo)
fi

# They have started, and what they do is what they will be doing.
sleep 10
for job in "${started[@]}"; do
	kill -0 "$job" 2>/dev/null || {
		echo "a program has ended at once; its last words:"
		tail -n 3 "$work"/*.log
		exit 2
	}
done
beside=$(IFS=, && echo "${names[*]}")
echo "beside: $beside"
"$hunt" --seconds "$seconds" --out "$out" --kinds "$leakers" --beside "$beside"
