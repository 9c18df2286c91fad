"""Datadog's tracers and profilers: every span that the tracer handed over is a point, and every profile arrives with
the bytes that the profiler sent."""

import collections
import json

from harness import wire
from harness.bench import case, same, true

QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
    "DD_RUNTIME_METRICS_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    # Patience for a machine that does much at once: otherwise a tracer comes again after two seconds.
    "DD_TRACE_AGENT_TIMEOUT_SECONDS": "20",
}
PROFILES = "/profiling/v1/input"


def tracer(case, listener="datakit", **env):
    tap = case.tap(listener)
    base = {"DD_TRACE_AGENT_URL": tap.url, "DD_ENV": "test", "DD_VERSION": "1.2.3"}
    return tap, {**QUIET, **base, **env}


def traces(case, made, measurement="ddtrace"):
    """The points of these spans and no others, each with what is known of its span."""
    wanted = {span["span_id"]: shown(span) for span in made["spans"]}
    same("span ids are unique", len(wanted), len(made["spans"]))
    ids = {span["trace_id"] for span in made["spans"] + made["rejected"]}

    def select(point):
        return point.name == measurement and point.fields.get("trace_id") in ids

    # The tracer for Node has no patience to be set.
    again = case.sent_again()

    def check(points):
        got = collections.Counter(point.fields["span_id"] for point in points)
        more = [point for point in points if not 0 < got[point.fields["span_id"]] <= 1 + again]
        more += [point for point in points if point.fields["span_id"] not in wanted]
        less = [span for key, span in wanted.items() if key not in got]
        told = f"too many: {[seen(point) for point in more[:3]]}; missing: {less[:3]}"
        true(f"{len(points)} points instead of {len(wanted)}; {told}", not more and not less)
        same("spans", {point.fields["span_id"]: seen(point) for point in points}, wanted)

    case.expect(select, check)
    return len(wanted)


KEYS = ["trace_id", "span_id", "parent_id", "service", "operation", "resource", "status", "start", "duration"]


def shown(span):
    # As the documents bound it.
    return {**{key: span[key] for key in KEYS}, "resource": span["resource"].replace("\n", " ")[:5000]}


def seen(point):
    return {key: point.get(key) for key in KEYS}


def points_of(case, made):
    """One a span, also where the client came again."""
    ids = {span["span_id"] for span in made["spans"]}
    points = case.destination.points(lambda point: point.fields.get("span_id") in ids)
    return list({point.fields["span_id"]: point for point in points}.values())


def python(case, venv, version, listener="datakit", arguments=(), **env):
    tap, env = tracer(case, listener, DD_SERVICE=case.home.name, DD_TRACE_API_VERSION=version, **env)
    made = case.python(venv, "ddtrace_app.py", env, wrapper=["ddtrace-run"])
    # A tracer that makes its own statistics lets go what nobody wants before anybody sees it.
    alone = venv == "ddtrace1" and "DD_TRACE_COMPUTE_STATS" in env
    same("rejected", len(made["rejected"]), 0 if alone else 2)
    count = traces(case, made)
    case.answered_well()
    sent = tap.requests(f"/{version}/traces")
    true(f"no request to /{version}/traces", sent)
    # What is known of the program beyond its ids.
    orders = [point for point in points_of(case, made) if point.tags["operation"] == "web.request"]
    same(
        "orders",
        sorted(point.tags.get("shop_order") for point in orders),
        sorted(f"o-{number}" for number in [*range(5), *range(100, 108)]),
    )
    for point in orders:
        same("kind", (point.tags["span_type"], point.tags["source_type"]), ("entry", "web"))
        same("env", (point.tags.get("env"), point.tags.get("version")), ("test", "1.2.3"))
        message = json.loads(point.fields["message"])
        number = int(point.tags["shop_order"][2:])
        same("metric", message["metrics"]["items"], number + 0.5)
    charges = [point for point in points_of(case, made) if point.tags["operation"] == "charge"]
    same("charges", [point.tags["status"] for point in charges], ["error"])
    same(
        "error",
        (charges[0].get("error_type"), charges[0].get("error_message")),
        ("builtins.ValueError", "declined \N{SNOWMAN} second line"),
    )
    queries = [point for point in points_of(case, made) if point.tags["source_type"] == "db"]
    true(f"{len(queries)} queries", len(queries) >= 26)
    elsewhere = [point for point in points_of(case, made) if point.tags["operation"] == "child.of.elsewhere"]
    same("parent elsewhere", [point.fields["parent_id"] for point in elsewhere], [str(0x1122334455667788)])
    return f"{count} spans in {len(sent)} requests"


@case("ddtrace 4: traces, v0.4, Datadog's own port")
def ddtrace4_v04(case):
    return python(case, "current", "v0.4", listener="datadog")


@case("ddtrace 4: traces, v0.5")
def ddtrace4_v05(case):
    return python(case, "current", "v0.5")


@case("ddtrace 4: traces with telemetry, remote configuration and statistics")
def ddtrace4_everything(case):
    env = {
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "true",
        "DD_REMOTE_CONFIGURATION_ENABLED": "true",
        "DD_TRACE_COMPUTE_STATS": "true",
        "DD_TRACE_STATS_COMPUTATION_ENABLED": "true",
    }
    return python(case, "current", "v0.5", **env)


@case("ddtrace 1: traces, v0.3")
def ddtrace1_v03(case):
    return python(case, "ddtrace1", "v0.3")


@case("ddtrace 1: traces, v0.4, statistics")
def ddtrace1_v04(case):
    return python(case, "ddtrace1", "v0.4", DD_TRACE_COMPUTE_STATS="true")


def profiles(case, tap, service, language, types, function):
    """Every profile that was sent has arrived once, with the same files, and says what ran."""
    sent = [(asked, wire.form(asked.header("content-type"), asked.body)) for asked in tap.requests(PROFILES)]
    true(f"{len(sent)} profiles", sent)
    # Two profiles may be the same to the byte; their times are not.
    wanted = sorted((attachments(parts), times(parts)) for _, parts in sent)

    def arrived():
        found = []
        for package in case.destination.forms():
            parts = wire.form(package.headers["content-type"], package.body)
            if package.path == "/v1/upload/profiling" and tags(parts).get("service") == service:
                found.append((package, parts))
        return found

    case.destination.wait(lambda: len(arrived()) >= len(wanted), 30)
    found = arrived()
    for package, _ in found:
        case.bench.claim(package)
    same("profiles", len(found), len(wanted))
    same("files", sorted((attachments(parts), times(parts)) for _, parts in found), wanted)
    known = {tuple(times(parts)): parts for _, parts in sent}
    for _, parts in found:
        mine, theirs = tags(parts), tags(known[tuple(times(parts))])
        same("tags that the client gave", {key: mine.get(key) for key in theirs}, theirs)
        same("host", mine.get("host"), theirs.get("host", "gateway-1"))
    read = [wire.pprof(part.data) for _, parts in found for part in parts if is_pprof(part)]
    seen = {name for profile in read for name, total in profile.sums.items() if total > 0}
    true(f"types {sorted(seen)} without {sorted(types - seen)}", types <= seen)
    true(f"{function} is in no profile", any(function in profile.texts for profile in read))
    if language == "python":
        numbers(case, service, [parts for _, parts in found])
    return len(found), sum(len(part.data) for _, parts in found for part in parts)


# What of a profile is a number of its point, as it is.
SUMS = {
    "prof_python_wall_time": "wall-time",
    "prof_python_alloc_bytes_total": "alloc-space",
    "prof_python_lock_acquisition_time": "lock-acquire-wait",
    "prof_python_exceptions_total": "exception-samples",
}


def numbers(case, service, forms):
    """Every profile is also a point with its sums."""
    profiles = [wire.pprof(part.data) for parts in forms for part in parts if is_pprof(part)]
    wanted = sorted([profile.sums.get(kind) for kind in SUMS.values()] for profile in profiles)

    def check(points):
        same("profiling_metrics", sorted([point.fields.get(key) for key in SUMS] for point in points), wanted)
        for point in points:
            true(f"cores {point}", 0 <= point.fields["prof_python_cpu_cores"] < 8)
            same("tags", (point.tags["language"], point.tags["env"]), ("python", "test"))

    case.expect(lambda point: point.name == "profiling_metrics" and point.tags.get("service") == service, check)


def is_pprof(part):
    return part.filename.endswith(".pprof")


def event(parts):
    return json.loads(next(part.data for part in parts if part.filename == "event.json"))


def tags(parts):
    return dict(pair.split(":", 1) for pair in event(parts).get("tags_profiler", "").split(",") if ":" in pair)


def times(parts):
    return [event(parts)["start"], event(parts)["end"]]


def attachments(parts):
    return sorted((part.name, part.filename, part.data) for part in parts if part.filename != "event.json")


def profiled(case, venv, types):
    service = case.home.name
    tap, env = tracer(
        case,
        DD_SERVICE=service,
        DD_PROFILING_ENABLED="true",
        DD_PROFILING_UPLOAD_INTERVAL="2",
        DD_PROFILING_MEMORY_ENABLED="true",
        DD_PROFILING_LOCK_ENABLED="true",
    )
    case.python(venv, "ddtrace_burn.py", env, wrapper=["ddtrace-run"])
    count, size = profiles(case, tap, service, "python", types, "kitgate_burn")
    true(f"{count} profiles", count >= 2)
    case.answered_well()
    return f"{count} profiles, {size} bytes"


@case("ddtrace 4: profiles (zstd)", first=True)
def ddtrace4_profiles(case):
    return profiled(case, "current", {"cpu-time", "wall-time", "alloc-space"})


@case("ddtrace 1: profiles (gzip)", first=True)
def ddtrace1_profiles(case):
    return profiled(case, "ddtrace1", {"cpu-time", "wall-time"})


def node(case, listener="datakit", **env):
    service = case.home.name
    tap, env = tracer(case, listener, DD_SERVICE=service, **env)
    made = case.node("dd_app.js", env)
    true(f"{len(made['rejected'])} rejected", len(made["rejected"]) == 2)
    count = traces(case, made)
    case.answered_well()
    handlers = [point for point in points_of(case, made) if point.tags["operation"] == "handler"]
    same("requests handled", len(handlers), 5)
    true(
        "a trace of more than 1000 spans",
        collections.Counter(span["trace_id"] for span in made["spans"]).most_common(1)[0][1] >= 2200,
    )
    return tap, f"{count} spans"


@case("dd-trace for Node: traces, v0.4, partial flushes, Datadog's own port")
def node_v04(case):
    tap, what = node(case, "datadog")
    sent = tap.requests("/v0.4/traces")
    chunks = sum(int(asked.header("x-datadog-trace-count")) for asked in sent)
    return f"{what} in {chunks} chunks"


@case("dd-trace for Node: traces, v0.5, telemetry, remote configuration")
def node_v05(case):
    env = {
        "DD_TRACE_AGENT_PROTOCOL_VERSION": "0.5",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "true",
        "DD_REMOTE_CONFIGURATION_ENABLED": "true",
    }
    tap, what = node(case, **env)
    true("no request to /v0.5/traces", tap.requests("/v0.5/traces"))
    return what


@case("dd-trace for Node: profiles (chunked)", first=True)
def node_profiles(case):
    tap, what = node(case, DD_PROFILING_ENABLED="true", DD_PROFILING_UPLOAD_PERIOD="3")
    sent = tap.requests(PROFILES)
    true(
        "no request is chunked",
        sent
        and all(
            asked.header("transfer-encoding") == "chunked" and not asked.header("content-length") for asked in sent
        ),
    )
    count, size = profiles(case, tap, case.home.name, "nodejs", {"wall", "inuse_space"}, "kitgateBurn")
    return f"{count} profiles, {size} bytes; {what}"
