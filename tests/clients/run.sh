#!/usr/bin/env bash
# Real clients against a running gateway: the tracers and profilers of Datadog, the agents of SkyWalking and Pyroscope,
# the exporters of OpenTelemetry, InfluxDB's clients, a Go program's profiles, and a browser. What they say they made is
# held against what a destination of our own has counted.
#
#   tests/clients/run.sh GATEWAY [PART OF A CASE'S NAME]...
#
# Takes python3 with venv and pip, node and npm, the network for what requirements/ and package.json name, and
# chromium, which root installs where it is missing. Any of those that is not to be had fails it. Installed is into
# target/clients; what runs writes into a folder that is gone afterwards. About a minute, and one more for the first
# installation.
set -euo pipefail
gateway=$(realpath "${1:?usage: tests/clients/run.sh GATEWAY [PART OF A CASE\'S NAME]...}")
shift
here=$(cd "$(dirname "$0")" && pwd)
tools=$(realpath -m "$here/../../target/clients")
mkdir -p "$tools"

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
fail() {
    echo "FAILED: $*"
    exit 1
}

for program in python3 node npm; do
    command -v "$program" > /dev/null || fail "there is no $program"
done

# Runs a command that installs something, unless what it installs is there already and was made of the same files.
install() {
    local name=$1 stamp
    shift
    stamp=$(cat "$@" | sha256sum)
    [ "$(cat "$tools/$name.stamp" 2> /dev/null)" != "$stamp" ] || return 0
    rm -rf "$tools/$name.stamp"
    "install_${name%%-*}" "$name" "$@" > "$tools/$name.log" 2>&1 || { tail -20 "$tools/$name.log"; return 1; }
    echo "$stamp" > "$tools/$name.stamp"
}
install_venv() {
    python3 -m venv --clear "$tools/$1" &&
        "$tools/$1/bin/pip" install --disable-pip-version-check --no-input -r "$2"
}
install_npm() {
    mkdir -p "$tools/$1" && cp "${@:2}" "$tools/$1" && npm ci --no-audit --no-fund --prefix "$tools/$1"
}
apt_chromium() {
    apt-get install -y --no-install-recommends chromium
}
install_chromium() {
    ! command -v chromium > /dev/null || return 0
    [ "$(id -u)" = 0 ] || { echo "there is no chromium, and only root can install it"; return 1; }
    export DEBIAN_FRONTEND=noninteractive
    # Lists of packages may be old, or not there yet.
    { apt_chromium || { apt-get update && apt_chromium; }; } > "$tools/chromium.log" 2>&1 || {
        tail -20 "$tools/chromium.log"
        return 1
    }
}

begun=$SECONDS
declare -A running
for list in "$here"/requirements/*.txt; do
    name=venv-$(basename "$list" .txt)
    install "$name" "$list" &
    running[$name]=$!
done
install npm "$here/package.json" "$here/package-lock.json" &
running[npm]=$!
install_chromium &
running[chromium]=$!
missing=
for name in "${!running[@]}"; do
    wait "${running[$name]}" || missing="$missing $name"
done
[ -z "$missing" ] || fail "cannot be installed:$missing"
echo "clients installed ($((SECONDS - begun)) s)"

PYTHONDONTWRITEBYTECODE=1 "$tools/venv-harness/bin/python" "$here/main.py" "$gateway" "$tools" "$home" "$@"
