#!/bin/sh
# vmagent: line protocol in on /write, remote write out to SINK, its own disk queue in DIRECTORY.
# usage: vmagent.sh PORT SINK_URL DIRECTORY       (stays in the foreground; pin it with taskset)
#
# One core, as the gateway has: GOMAXPROCS=1. Everything else is as vmagent ships it: two upload queues a core, blocks
# of 8 MiB, its queue in memory while the sink keeps up and on disk when it does not, without a sync.
set -eu
port=$1
sink=$2
dir=$3
mkdir -p "$dir"
export GOMAXPROCS=1
exec vmagent \
    -httpListenAddr="127.0.0.1:$port" \
    -remoteWrite.url="$sink" \
    -remoteWrite.tmpDataPath="$dir/queue" \
    -loggerLevel=WARN
