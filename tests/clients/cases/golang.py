"""A Go program whose profiles the gateway pulls: with a Go toolchain a real one, without one what a real one was
recorded to answer. A gateway and a destination of its own."""

import base64
import collections
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time

import zstandard

from harness import wire
from harness.bench import PROGRAMS, Bench, Case, case, same, true
from harness.gateway import Gateway
from harness.tap import Tap

from .datadog import event, tags

RECORDED = pathlib.Path(__file__).parents[2] / "golden" / "captured" / "go-pprof-1.24.jsonl.zst"
PREFIX = "/debug/pprof/"
TYPES = ["cpu", "goroutine", "heap", "mutex", "block"]
# Deltas come with the second round.
ROUNDS = 2
SECONDS_MAX = 45
FILES = {
    "cpu.pprof": "profile",
    "goroutines.pprof": "goroutine",
    "delta-heap.pprof": "heap",
    "delta-mutex.pprof": "mutex",
    "delta-block.pprof": "block",
}
# What is the difference to the round before; everything else is as it is now.
DELTAS = {
    "heap": {"alloc_objects", "alloc_space"},
    "mutex": {"contentions", "delay"},
    "block": {"contentions", "delay"},
}


@contextlib.contextmanager
def target(home):
    """The address of a program, and what its profiles must name, if it is ours."""
    if not shutil.which("go"):
        with replayed() as address:
            yield address, None
        return
    program = home / "target"
    env = {
        **os.environ,
        "GOFLAGS": "-mod=mod",
        "GOCACHE": str(home / "go-cache"),
        "GOTOOLCHAIN": "local",
        "HOME": str(home),
    }
    subprocess.run(
        ["go", "build", "-o", program, "."], cwd=PROGRAMS / "go_target", env=env, check=True, capture_output=True
    )
    running = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
    try:
        host, port = running.stdout.readline().strip().rsplit(":", 1)
        yield (host, int(port)), "kitgateBurn"
    finally:
        running.kill()
        running.wait()


@contextlib.contextmanager
def replayed():
    with zstandard.open(RECORDED, "rt", encoding="utf-8") as lines:
        answers = {entry["path"]: entry["response"] for entry in map(json.loads, lines)}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            answer = answers.get(self.path, {"status": 404, "headers": [], "body_b64": ""})
            body = base64.b64decode(answer["body_b64"])
            self.send_response(answer["status"])
            for name, value in answer["headers"]:
                if name not in ("Content-Length", "Transfer-Encoding", "Date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address
        server.shutdown()


@case("Go: profiles that are pulled", first=True)
def pulled(case):
    with target(case.home) as (address, function):
        tap = Tap(address)
        bench = Bench(case.bench.binary, case.bench.tools, case.home)
        bench.gateway = Gateway(
            bench.binary,
            case.home / "gateway",
            bench.destination,
            (
                f'[intake.profiling.go.shop]\nurl = "{tap.url}"\ninterval = "10s"\nservice = "go-shop"\nenv = "test"\n'
                f'version = "1.2.3"\nenabled_types = {json.dumps(TYPES)}\n[intake.profiling.go.shop.tags]\nteam = "core"\n'
            ),
        )
        inner = Case(bench, "pulled")
        inner.taps.append(tap)

        def files():
            forms = [wire.form(form.headers["content-type"], form.body) for form in bench.destination.forms()]
            return [(parts, part) for parts in forms for part in parts if part.filename != "event.json"]

        bench.destination.wait(lambda: FILES.keys() <= {part.name for _, part in files()}, SECONDS_MAX)
        answers = collections.defaultdict(list)
        # Nothing more is to be on its way when the books are closed.
        time.sleep(1)
        for asked, answer in tap.exchanges():
            if answer is not None:
                answers[asked.path.removeprefix(PREFIX)].append(answer.body)
                true(f"{asked.first}", asked.path != PREFIX + "profile" or asked.query == "seconds=10")
        what = check(files(), answers, function)
        fields = {"prof_go_cpu_cores", "prof_go_num_goroutine", "prof_go_lifetime_heap_bytes"}

        def numbers(points):
            found = {key for point in points for key in point.fields}
            true(f"profiling_metrics have {sorted(found)}", fields <= found)
            same("languages", {point.tags["language"] for point in points}, {"golang"})

        inner.expect(lambda point: point.name == "profiling_metrics", numbers)
        inner.answered_well()
        for form in bench.destination.forms():
            bench.claim(form)
        problem = bench.gateway.stop()
        true(problem, problem is None)
        return f"{what}; {'a program' if function else 'recorded answers'}"


def check(files, answers, function):
    by_name = collections.defaultdict(list)
    for parts, part in files:
        by_name[part.name].append(part.data)
        mine = tags(parts)
        same(
            "tags",
            {key: mine.get(key) for key in ("service", "env", "version", "team")},
            {"service": "go-shop", "env": "test", "version": "1.2.3", "team": "core"},
        )
        same("event", (event(parts)["format"], event(parts)["language"]), ("pprof", "golang"))
        same(
            "attachments",
            sorted(set(event(parts)["attachments"]) - {"event"}),
            sorted(each.name for each in parts if each.filename != "event.json"),
        )
    same("files", set(by_name), set(FILES))
    for name in ("cpu.pprof", "goroutines.pprof"):
        # As they came, in the order in which they were pulled.
        pulled = answers[FILES[name]][: len(by_name[name])]
        true(
            f"{name} has other bytes",
            [wire.uncompressed(data) for data in by_name[name]] == [wire.uncompressed(body) for body in pulled],
        )
    for name in ("delta-heap.pprof", "delta-mutex.pprof", "delta-block.pprof"):
        kind = FILES[name]
        profiles = [wire.pprof(body).sums for body in answers[kind]]
        wanted = [
            {key: now[key] - (before[key] if key in DELTAS[kind] else 0) for key in now}
            for before, now in zip(profiles, profiles[1:])
        ][: len(by_name[name])]
        same(name, [wire.pprof(data).sums for data in by_name[name]], wanted)
    if function:
        texts = wire.pprof(by_name["cpu.pprof"][0]).texts
        true("the program is not in its profile", any(function in text for text in texts))
    return ", ".join(f"{len(data)} {name}" for name, data in sorted(by_name.items()))
