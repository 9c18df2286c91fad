#!/bin/sh
# nginx as the floor of HTTP: reads the body, answers 204, logs nothing.
# usage: nginx.sh PORT DIRECTORY       (stays in the foreground; pin it with taskset)
#
# `return` alone discards the body in 4 KB reads after the answer; that is how nginx is at its cheapest, and what the
# figures compare with. The 64 KB request body stays below the limit; connections are kept for the whole run.
set -eu
port=$1
dir=$2
mkdir -p "$dir"
cat > "$dir/nginx.conf" <<CONF
daemon off;
master_process on;
worker_processes 1;
worker_rlimit_nofile 20000;
pid $dir/nginx.pid;
error_log $dir/error.log crit;
events { worker_connections 16384; use epoll; multi_accept on; }
http {
    access_log off;
    server_tokens off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    client_max_body_size 64m;
    client_body_buffer_size 128k;
    client_body_temp_path $dir/body;
    fastcgi_temp_path $dir/fastcgi;
    proxy_temp_path $dir/proxy;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / { return 204; }
    }
}
CONF
exec "$(command -v nginx || echo /usr/sbin/nginx)" -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf"
