#!/bin/bash
# HAProxy as a proxy for WebSockets, for usher bench versus: haproxy.sh PORT UPSTREAM. One thread;
# limits that would end the run are out of the way.
set -euo pipefail
dir=$(mktemp -d)
cat >"$dir/conf" <<EOF
global
	nbthread 1
	maxconn $((($(ulimit -n) - 100) / 2))
defaults
	mode http
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	timeout tunnel 1h
frontend in
	bind 127.0.0.1:$1 backlog 4096
	default_backend out
backend out
	server one $2
EOF
haproxy -db -f "$dir/conf" &
trap 'exit 0' TERM INT
trap 'kill $! || true; wait; rm -rf "$dir"' EXIT
wait
