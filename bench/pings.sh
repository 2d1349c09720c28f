#!/bin/bash
# What it costs to ping: the CPU of a server whose clients say nothing, at several intervals, beside
# one that does not ping at all. At a tenth of the interval as many pings leave one process as for
# ten times as many clients.
#
#	CONNS      clients of each server (10000)
#	INTERVALS  of --ping-interval, one after the other (25s 5s 1s)
#	WATCH   how long each is watched (120)
#	USHER      the program (./usher)
set -euo pipefail
: "${CONNS:=10000}" "${INTERVALS:=25s 5s 1s}" "${WATCH:=120}" "${USHER:=./usher}"
dir=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -r "$dir"' EXIT

# serve PORT FLAG… starts a server and its clients, and says its process id in $pid.
serve() {
	local port=$1
	shift
	"$USHER" serve --listen "127.0.0.1:$port" --echo /echo --loops 1 --users none --log-level error \
		--admin "127.0.0.1:$((port + 100))" "$@" >"$dir/$port" 2>&1 &
	pid=$!
	started+=("$pid")
	until grep -q '^listening' "$dir/$port"; do
		kill -0 "$pid"
		sleep 0.1
	done
	"$USHER" bench idle "ws://127.0.0.1:$port/echo" --conns "$CONNS" --steps 1 --hold 24h >/dev/null 2>&1 &
	started+=($!)
	until [ "$(find "/proc/$pid/fd" | wc -l)" -gt "$CONNS" ]; do
		kill -0 "$pid"
		sleep 0.2
	done
}

# cpu PID prints the microseconds that its threads have run.
cpu() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%d", sum / 1000 }'; }

# pongs PORT prints how many the server has had: frames of six bytes, and there were no others.
pongs() { curl -sf "http://127.0.0.1:$(($1 + 100))/metrics" | awk '/^usher_received_bytes_total.*echo/ { printf "%d", $2 / 6 }'; }

echo "$(nproc) processors, $CONNS clients, $WATCH s each"
port=9301
serve "$port" --ping-interval 0 --idle-timeout 0
mute=$pid
for interval in $INTERVALS; do
	port=$((port + 1))
	serve "$port" --ping-interval "$interval"
	sleep 2
	before=$(cpu "$pid") silent=$(cpu "$mute") heard=$(pongs "$port") begun=$(date +%s%N)
	sleep "$WATCH"
	after=$(cpu "$pid") still=$(cpu "$mute") heard=$(($(pongs "$port") - heard)) ended=$(date +%s%N)
	awk -v i="$interval" -v pongs="$heard" -v ping=$((after - before)) -v mute=$((still - silent)) -v ns=$((ended - begun)) 'BEGIN {
		printf "--ping-interval %-4s %6.2f %% of a processor, %.2f %% without pings: %6d pings a second, %.1f µs each\n",
			i, ping / ns * 1e5, mute / ns * 1e5, pongs / ns * 1e9, (ping - mute) / pongs }'
	kill "${started[@]: -2}"
done
