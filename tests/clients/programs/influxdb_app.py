"""Writes of both versions' clients for InfluxDB, in all their ways; prints the points that were written and what the
clients found out about their server."""

import json
import sys
import time
import warnings

import influxdb
import influxdb_client
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions

warnings.simplefilter("ignore")
host, port, measurement = sys.argv[1], int(sys.argv[2]), sys.argv[3]
now = time.time_ns() // 10**9 * 10**9
written = []


def wrote(way, number, **fields):
    """Seconds are all that every way can carry."""
    written.append({"way": way, "number": number, "time": now + number * 10**9, "fields": fields})


def version1(way, gzip, precision, unit):
    client = influxdb.InfluxDBClient(host, port, "user", "password", "db", gzip=gzip, retries=1)
    points = []
    for number in range(250):
        fields = {"count": number, "load": number / 8, "up": number % 2 == 0, "note": f'"{number}" \\ \N{SNOWMAN}, = '}
        points.append(
            {
                "measurement": measurement,
                "tags": {"way": way, "number": number, "path": "a b,c=d"},
                "time": now // unit + number * (10**9 // unit),
                "fields": fields,
            }
        )
        wrote(way, number, **fields)
    assert client.write_points(points, time_precision=precision, batch_size=100)
    found = client.ping()
    client.close()
    return found


def version2(way, gzip, batching):
    options = WriteOptions(batch_size=64, flush_interval=500, max_retries=0) if batching else SYNCHRONOUS
    failures = []
    with influxdb_client.InfluxDBClient(f"http://{host}:{port}", token="t", org="o", enable_gzip=gzip) as client:
        callback = {"error_callback": lambda *failure: failures.append(str(failure))} if batching else {}
        with client.write_api(write_options=options, **callback) as api:
            for number in range(250 if batching else 50):
                fields = {"count": number, "load": number / 8, "up": number % 2 == 0, "note": f"v2 {number}"}
                point = influxdb_client.Point(measurement).tag("way", way).tag("number", number).tag("path", "a b,c=d")
                for key, value in fields.items():
                    point.field(key, value)
                point.time(now // 10**9 + number, "s")
                api.write("b", record=point, write_precision="s")
                wrote(way, number, **fields)
        ready = [client.ping(), client.health().status, client.version()]
    assert not failures, failures
    return ready


found = {
    "v1": version1("v1", False, "ms", 10**6),
    "v1 gzip": version1("v1-gzip", True, "s", 10**9),
    "v2": version2("v2", False, False),
    "v2 gzip": version2("v2-gzip", True, False),
    "v2 batches": version2("v2-batches", True, True),
}
print(json.dumps({"written": written, "found": found}))
