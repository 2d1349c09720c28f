#!/bin/bash
# nginx as a proxy for WebSockets, for usher bench versus: nginx.sh PORT UPSTREAM. One worker, and
# what its documentation says of WebSockets; limits that would end the run are out of the way.
set -euo pipefail
dir=$(mktemp -d)
user=
if [ "$(id -u)" = 0 ]; then user='user root root;'; fi
cat >"$dir/conf" <<EOF
daemon off;
$user
worker_processes 1;
worker_rlimit_nofile $(ulimit -n);
pid $dir/pid;
error_log stderr error;
events { worker_connections $(ulimit -n); }
http {
	access_log off;
	client_body_temp_path $dir/body;
	proxy_temp_path $dir/proxy;
	fastcgi_temp_path $dir/fastcgi;
	uwsgi_temp_path $dir/uwsgi;
	scgi_temp_path $dir/scgi;
	server {
		listen 127.0.0.1:$1 backlog=4096;
		location / {
			proxy_pass http://$2;
			proxy_http_version 1.1;
			proxy_set_header Upgrade \$http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_read_timeout 1h;
			proxy_send_timeout 1h;
		}
	}
}
EOF
nginx -e stderr -p "$dir" -c "$dir/conf" &
trap 'exit 0' TERM INT
trap 'kill $! || true; wait; rm -rf "$dir"' EXIT
wait
