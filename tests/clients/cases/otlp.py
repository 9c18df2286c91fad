"""OpenTelemetry's exporters for Python: every span, every log, and every number of every instrument."""

import json

from harness.bench import PROGRAMS, case, same, true

KEYS = ["trace_id", "span_id", "parent_id", "resource", "start", "duration", "status", "span_kind", "http_route"]


def exporters(case, prefix, compression):
    tap, service = case.tap(), case.home.name
    interpreter = case.bench.tools / "venv-current" / "bin" / "python"
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": tap.url + prefix, "OTEL_EXPORTER_OTLP_COMPRESSION": compression}
    made = case.program([interpreter, PROGRAMS / "otlp_app.py", service], env)
    same("spans made", len(made["spans"]), 300 * 4 + 6)

    def spans(points):
        wanted = {span["span_id"]: span for span in made["spans"]}
        same("points", len(points), len(wanted))
        # A span without a status has none in what the exporter sends either.
        same("spans", {point.fields["span_id"]: seen(point) for point in points}, wanted)

    case.expect(lambda point: point.category == "tracing" and point.tags.get("service") == service, spans)

    def metrics(points):
        same("metrics", sorted(shown(point) for point in points), sorted(METRICS))

    case.expect(
        lambda point: point.category == "metric" and service in (point.get("service_name"), point.get("service")),
        metrics,
    )

    def logs(points):
        keys = ["message", "status", "trace_id", "span_id"]
        same(
            "logs",
            sorted(tuple(point.get(key) for key in keys) for point in points),
            sorted(tuple(log[key] for key in keys) for log in made["logs"]),
        )
        same("attributes", {point.get("order") for point in points}, {str(number) for number in range(0, 300, 10)})

    case.expect(lambda point: point.category == "logging" and point.name == service, logs)
    exchanges = case.answered_well()
    for signal in ("traces", "metrics", "logs"):
        true(f"no {signal}", tap.requests(f"{prefix}/v1/{signal}"))
    counts = [len(made["spans"]), len(METRICS), len(made["logs"]), exchanges]
    return "{} spans, {} points of metrics, {} logs in {} requests".format(*counts)


def seen(point):
    found = {key: point.get(key) for key in KEYS}
    return {**found, "status": "ok" if found["status"] == "info" else found["status"]}


# Labels that are the instrument's own, and its numbers.
METRICS = [
    *(json.dumps([{"kind": f"k{number}", "unit": "1"}, {"orders": 7}]) for number in range(7)),
    json.dumps([{}, {"waiting": -2}]),
    json.dumps([{"room": "\u5317", "unit": "Cel"}, {"temperature": 21.25}]),
    *(json.dumps([{"cpu": cpu}, {"load": load}]) for cpu, load in (("0", 0.5), ("1", 1.5))),
    json.dumps(
        [
            {"path": "/", "unit": "ms"},
            {
                "latency_avg": 18086.6,
                "latency_count": 5,
                "latency_max": 90000.0,
                "latency_min": 1.0,
                "latency_sum": 90433.0,
            },
        ]
    ),
    *(
        json.dumps([{"le": le, "path": "/", "unit": "ms"}, {"latency_bucket": count}])
        for le, count in (("5", 2), ("50", 1), ("500", 1), ("inf", 1))
    ),
]


def shown(point):
    tags = {key: point.tags[key] for key in sorted(point.tags) if key in ("kind", "unit", "room", "cpu", "path", "le")}
    fields = {key: point.fields[key] for key in sorted(point.fields)}
    return json.dumps([tags, fields])


@case("OpenTelemetry for Python: traces, metrics and logs, DataKit's paths, gzip")
def datakit_paths(case):
    return exporters(case, "/otel", "gzip")


@case("OpenTelemetry for Python: traces, metrics and logs, plain paths")
def plain_paths(case):
    return exporters(case, "", "none")
