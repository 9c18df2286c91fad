"""InfluxDB's clients for Python, of both versions: every point with its time, its tags and its fields."""

from harness.bench import PROGRAMS, case, same


@case("InfluxDB for Python: clients of version 1 and 2")
def clients(case):
    tap, measurement = case.tap(), case.home.name
    interpreter = case.bench.tools / "venv-current" / "bin" / "python"
    made = case.program([interpreter, PROGRAMS / "influxdb_app.py", "127.0.0.1", str(tap.port), measurement], {})
    # Metrics have no texts: DataKit's rule.
    wanted = {
        (point["way"], str(point["number"])): (point["time"], numbers(point["fields"])) for point in made["written"]
    }
    same("points written", len(wanted), 3 * 250 + 2 * 50)

    def check(points):
        same("points", len(points), len(wanted))
        same(
            "points",
            {(point.tags["way"], point.tags["number"]): (point.time, point.fields) for point in points},
            wanted,
        )
        same("tags", {point.tags["path"] for point in points}, {"a b,c=d"})

    case.expect(lambda point: point.category == "metric" and point.name == measurement, check)
    requests = case.answered_well()
    same(
        "what the clients found",
        made["found"],
        {
            "v1": "1.8.10",
            "v1 gzip": "1.8.10",
            **{way: [True, "pass", "1.8.10"] for way in ("v2", "v2 gzip", "v2 batches")},
        },
    )
    return f"{len(wanted)} points in {requests} requests"


def numbers(fields):
    return {key: value for key, value in fields.items() if not isinstance(value, str)}
