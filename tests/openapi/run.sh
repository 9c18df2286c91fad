#!/usr/bin/env bash
# The OpenAPI description against a living gateway: schemathesis sends what it says, and what it does not, and every answer
# must be a described one, none later than ten seconds; the gateway must be ready afterwards, and end well.
#
#   tests/openapi/run.sh GATEWAY
#
# Takes python3 with venv and pip, and the network for schemathesis; without those it fails. About two minutes.
# KITGATE_OPENAPI_SEED and KITGATE_OPENAPI_EXAMPLES (requests made up for each operation) vary it.
set -euo pipefail
gateway=$(realpath "${1:?usage: tests/openapi/run.sh GATEWAY}")
here=$(cd "$(dirname "$0")" && pwd)
seed=${KITGATE_OPENAPI_SEED:-1}
examples=${KITGATE_OPENAPI_EXAMPLES:-20}
# What is left of the time when schemathesis has to be stopped: it ends by itself long before.
seconds_max=300

home=$(mktemp -d)
pid=
cleanup() {
    [ -z "$pid" ] || kill -9 "$pid" 2> /dev/null || true
    rm -rf "$home"
}
trap cleanup EXIT
fail() {
    echo "FAILED: $*"
    [ ! -s "$home/log" ] || tail -20 "$home/log"
    exit 1
}

python3 -m venv "$home/venv" || fail "python3 -m venv does not work"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" > "$home/pip.log" 2>&1 || {
    tail -5 "$home/pip.log"
    fail "schemathesis cannot be installed"
}

cat > "$home/gateway.toml" << END
data_dir = "$home/data"
shards = 1
[http_api]
listen = "127.0.0.1:0"
request_rate_limit = 0
[intake.datadog]
listen = ""
[intake.skywalking]
listen = ""
END
"$gateway" run --config "$home/gateway.toml" 2> "$home/log" &
pid=$!
for _ in $(seq 150); do
    grep -q '^kitgate: ready' "$home/log" && break
    kill -0 "$pid" 2> /dev/null || fail "the gateway does not start"
    sleep 0.2
done
url=$(sed -n 's/^kitgate: listening on \(http:[^ ]*\) (datakit)$/\1/p' "$home/log")
[ -n "$url" ] || fail "the gateway does not say where it listens"
"$home/venv/bin/python" -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' \
    "$url/openapi.json" > "$home/openapi.json"

cd "$home"
result=0
KITGATE_DOCUMENT="$home/openapi.json" SCHEMATHESIS_HOOKS="$here/hooks.py" PYTHONDONTWRITEBYTECODE=1 \
    timeout --kill-after=5 "$seconds_max" "$home/venv/bin/st" --config-file "$here/schemathesis.toml" run "$url/openapi.json" \
    --checks status_code_conformance,response_headers_conformance,described_type,described_body,rarely_busy \
    --max-response-time 10 --request-timeout 15 --phases examples,coverage,fuzzing \
    --seed "$seed" --max-examples "$examples" --generation-database none --continue-on-failure \
    --suppress-health-check all --warnings off --no-color || result=$?

# A crash, a hang or a half-dead gateway shows now, whatever was answered before.
kill -0 "$pid" 2> /dev/null || fail "the gateway has ended"
"$home/venv/bin/python" -c 'import sys, urllib.request; sys.exit(urllib.request.urlopen(sys.argv[1], timeout=10).status != 200)' \
    "$url/readyz" || fail "the gateway is not ready any more"
kill -TERM "$pid"
ended=0
for _ in $(seq 100); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.2
done
kill -0 "$pid" 2> /dev/null && fail "the gateway does not stop"
wait "$pid" || ended=$?
pid=
[ "$ended" = 0 ] || fail "the gateway stopped with $ended"
! grep -n 'panicked' "$home/log" || fail "something panicked"
[ "$result" = 0 ] || fail "schemathesis ends with $result"
echo "passed"
