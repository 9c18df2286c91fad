"""The destination is away and the gateway is killed: what it has taken from a tracer and a profiler by then arrives
afterwards, once. A gateway and a destination of its own."""

from harness.bench import Bench, Case, case, same, true
from harness.gateway import Gateway

from . import datadog


@case("ddtrace 4: the destination is away, the gateway is killed", first=True)
def outage(case):
    bench = Bench(case.bench.binary, case.bench.tools, case.home)
    bench.destination.away = True
    bench.gateway = Gateway(bench.binary, case.home / "gateway", bench.destination)
    inner = Case(bench, "killed")
    tap, env = datadog.tracer(inner, DD_SERVICE="killed", DD_PROFILING_ENABLED="true", DD_PROFILING_UPLOAD_INTERVAL="2")
    made = inner.python("current", "ddtrace_app.py", env, wrapper=["ddtrace-run"])
    inner.answered_well()
    true("the destination was not asked", bench.destination.wait(lambda: bench.destination.refused > 1, 20))
    same("delivered too early", len(bench.destination.packages), 0)
    bench.gateway.kill()
    bench.gateway.start()
    bench.destination.away = False
    count = datadog.traces(inner, made)
    profiles, _ = datadog.profiles(inner, tap, "killed", "python", {"wall-time"}, "many")
    what = bench.close_books()
    return f"{count} spans and {profiles} profiles; {what}"
