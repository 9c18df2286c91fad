"""The Python agent of SkyWalking, over HTTP: every span and every log, and the instance with its properties."""

import json
import urllib.request

from harness.bench import case, same, true

KEYS = ["trace_id", "span_id", "parent_id", "resource", "start", "duration", "status", "span_type", "endpoint"]
LOG_KEYS = ["message", "status", "trace_id", "trace_segment_id", "span_id"]


def agent(case, listener):
    tap, service = case.tap(listener), case.home.name
    made = case.python(
        "skywalking",
        "skywalking_app.py",
        {
            "SW_AGENT_PROTOCOL": "http",
            "SW_AGENT_COLLECTOR_BACKEND_SERVICES": tap.address,
            "SW_AGENT_NAME": service,
            "SW_AGENT_INSTANCE_NAME": "instance-1",
            "SW_AGENT_COLLECTOR_HEARTBEAT_PERIOD": "1",
            "SW_AGENT_LOG_REPORTER_ACTIVE": "true",
            "SW_AGENT_LOG_REPORTER_FORMATTED": "true",
            "SW_AGENT_LOG_REPORTER_LAYOUT": "%(message)s",
            "SW_AGENT_LOG_REPORTER_LEVEL": "INFO",
            # Of libraries that are not there.
            "SW_AGENT_DISABLE_PLUGINS": ".*",
            "SW_AGENT_METER_REPORTER_ACTIVE": "false",
        },
    )
    same("spans made", len(made["spans"]), 10 * 4 + 4)
    same("logs made", len(made["logs"]), 14)

    def spans(points):
        wanted = sorted((span for span in made["spans"]), key=lambda span: span["span_id"])
        found = sorted(({key: point.get(key) for key in KEYS} for point in points), key=lambda span: span["span_id"])
        same("points", len(found), len(wanted))
        for got, want in zip(found, wanted):
            same("span", got, want)

    case.expect(lambda point: point.name == "skywalking" and point.tags.get("service") == service, spans)

    def logs(points):
        same(
            "logs",
            sorted((tuple(point.get(key) for key in LOG_KEYS) for point in points)),
            sorted(tuple(log[key] for key in LOG_KEYS) for log in made["logs"]),
        )

    case.expect(lambda point: point.category == "logging" and point.name == service, logs)
    case.answered_well()
    true("segments", len(tap.requests("/v3/segment")) == 20)
    true("properties", tap.requests("/v3/management/reportProperties"))
    true("heartbeats", tap.requests("/v3/management/keepAlive"))
    with urllib.request.urlopen(f"{case.gateway.url}/v3/management/instances", timeout=10) as answer:
        instances = [instance for instance in json.load(answer) if instance["service"] == service]
    same("instances", [instance["serviceInstance"].split("@")[0] for instance in instances], ["instance-1"])
    true("no properties", any("python" in str(instances[0]).lower() for _ in "1"))
    return f"{len(made['spans'])} spans in 20 segments, {len(made['logs'])} logs"


@case("SkyWalking for Python: segments and logs, the main port")
def main_port(case):
    return agent(case, "datakit")


@case("SkyWalking for Python: segments and logs, SkyWalking's own port")
def own_port(case):
    return agent(case, "skywalking")
