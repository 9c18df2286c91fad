#!/usr/bin/env bash
# A source map round trip with a real bundler: esbuild bundles and minifies a program of two modules, node runs the bundle
# and throws, and the stack that a browser's SDK would send of it comes back with the lines of the modules.
#
#   tests/sourcemap/run.sh GATEWAY
#
# Takes node, npm and python3, and the network for esbuild; where those are missing it says so and ends with 77.
set -euo pipefail
gateway=$(realpath "${1:?usage: tests/sourcemap/run.sh GATEWAY}")
here=$(cd "$(dirname "$0")" && pwd)

for program in node npm python3; do
    command -v "$program" > /dev/null || { echo "NOT RUN: there is no $program"; exit 77; }
done

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cp -r "$here/program" "$home/program"
cd "$home/program"
npm install --silent --no-audit --no-fund --prefix "$home/tools" esbuild@0.28.2 > "$home/npm.log" 2>&1 || {
    echo "NOT RUN: esbuild cannot be installed"; tail -5 "$home/npm.log"; exit 77
}
"$home/tools/node_modules/.bin/esbuild" src/main.ts --bundle --minify --sourcemap --outfile=dist/app.js --log-level=warning
# It ends with the stack of what it threw.
node dist/app.js > "$home/stack"
python3 "$here/round_trip.py" "$gateway" "$home"
