#!/bin/bash
# Connects and leaves, again and again, over a table of users that stay, each with a token of
# its own and in a chat room: the memory of the servers is to stay what it was.
#
#	CONNECTS  how many in all (10000000)
#	TABLE     users that stay (100000)
#	SERVERS   processes that they are spread over, with fewer than 20,000 each (6)
#	USHER     the program (./usher)
set -euo pipefail
: "${CONNECTS:=10000000}" "${TABLE:=100000}" "${SERVERS:=6}" "${USHER:=./usher}"
first=9201 last=$((9200 + SERVERS)) each=$((TABLE / SERVERS))
dir=$(mktemp -d)
servers=() clients=()
trap 'kill "${clients[@]}" "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -r "$dir"' EXIT
head -c 48 /dev/urandom | base64 >"$dir/secret"

for port in $(seq "$first" "$last"); do
	"$USHER" serve --listen "127.0.0.1:$port" --secret-file "$dir/secret" --log-level error >"$dir/$port" 2>&1 &
	servers+=($!)
done
sleep 1
for port in $(seq "$first" "$last"); do
	"$USHER" bench idle "ws://127.0.0.1:$port/ws/lobby" --silent --steps 1 --hold 24h --conns "$each" \
		--secret-file "$dir/secret" --sub "stays-$port" >/dev/null 2>&1 &
	clients+=($!)
done

resident() { # of all servers, in KiB
	local sum=0 pid
	for pid in "${servers[@]}"; do
		sum=$((sum + $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")))
	done
	echo "$sum"
}

for pid in "${servers[@]}"; do
	until [ "$(find "/proc/$pid/fd" | wc -l)" -gt "$each" ]; do
		kill -0 "$pid"
		sleep 0.2
	done
done

done=0 round=0 warm=
while [ "$done" -lt "$CONNECTS" ]; do
	round=$((round + 1)) # of other users than the one before
	"$USHER" bench handshake "ws://127.0.0.1:{$first..$last}/ws/lobby" --conns $((50 * SERVERS)) -d 20s --json \
		--secret-file "$dir/secret" --sub "comes-$round" >"$dir/round" 2>"$dir/said" || cat "$dir/said" # on a busy machine some are late
	n=$(awk -F'[:,]' '/"key": "handshakes"/ { k = 1 } k && /"value"/ { print int($2); exit }' "$dir/round")
	done=$((done + ${n:?nobody was let in}))
	sleep 8 # those that left are forgotten, and so is their garbage
	: "${warm:=$(resident)}"
	echo "$done connects: $(resident) KiB resident, $((($(resident) - warm) * 1024 / TABLE)) B for each that stays more than after the first round"
done
grown=$(($(resident) - warm))
if [ "$grown" -gt $((warm / 20)) ]; then
	echo "memory has grown by $grown KiB"
	exit 1
fi
