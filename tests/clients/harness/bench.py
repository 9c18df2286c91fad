"""Runs cases side by side against one gateway and one destination, and at the end holds the books against each other:
what was expected is there and nothing besides, and the gateway's own account says the same."""

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import traceback

from .destination import Destination
from .gateway import Gateway
from .tap import Tap

PROGRAMS = pathlib.Path(__file__).parent.parent / "programs"
CASES = []
# Most of a case is waiting for its client's clock; two cores bear this many.
CASES_AT_ONCE = 5
PROGRAM_SECONDS = 90
DELIVERY_SECONDS = 30
# A request of so many bytes has times and ids in it: the same again is the same request.
AGAIN_BYTES = 1000
# How long an exact number of points has to stay one.
SETTLE_SECONDS = 0.5


class Failed(Exception):
    pass


def case(name, first=False):
    """Declares one. Long ones are begun first."""

    def declare(body):
        CASES.insert(0, (name, body)) if first else CASES.append((name, body))
        return body

    return declare


def same(what, got, wanted):
    """Fails with the difference."""
    if got == wanted:
        return
    if isinstance(wanted, dict) and isinstance(got, dict):
        parts = [
            f"{key}: {got.get(key)!r} instead of {wanted.get(key)!r}"
            for key in {**wanted, **got}
            if got.get(key) != wanted.get(key)
        ]
        raise Failed(f"{what}: " + "; ".join(parts[:5])[:1500])
    raise Failed(f"{what}: {str(got)[:700]} instead of {str(wanted)[:700]}")


def true(what, condition):
    if not condition:
        raise Failed(what)


@dataclasses.dataclass
class Expectation:
    case: str
    select: object
    check: object


class Bench:
    def __init__(self, binary, tools, home):
        self.binary, self.tools, self.home = (pathlib.Path(path).absolute() for path in (binary, tools, home))
        self.destination = Destination()
        self.gateway = None
        self.lock = threading.Lock()
        self.expectations = []
        self.forms = set()

    def run(self, wanted, more=""):
        """Whether all is well."""
        self.gateway = Gateway(self.binary, self.home / "gateway", self.destination, more)
        chosen = [
            (name, body) for name, body in CASES if not wanted or any(part.lower() in name.lower() for part in wanted)
        ]
        if not chosen:
            print(f"there is no case named {wanted}")
            return False
        results = {}
        with concurrent.futures.ThreadPoolExecutor(CASES_AT_ONCE) as pool:
            futures = {pool.submit(self.run_one, name, body): name for name, body in chosen}
            for future in concurrent.futures.as_completed(futures):
                results[futures[future]] = problem, seconds, what = future.result()
                print(f"{'FAILED' if problem else 'ok':7}{futures[future]} ({seconds:.1f} s)", flush=True)
        name = "the books"
        results[name] = self.guarded(name, self.close_books)
        width = max(len(name) for name in results)
        print()
        for name in [*(name for name, _ in sorted(chosen)), name]:
            problem, seconds, what = results[name]
            print(f"{'FAILED' if problem else 'ok':7}{name:{width}} {seconds:6.1f} s  {what}")
        failed = {name: problem for name, (problem, _, _) in results.items() if problem}
        for name, problem in failed.items():
            print(f"\n== {name}\n{problem}")
        if failed:
            for gateway in Gateway.started:
                print(f"\n== last words of {gateway.home.relative_to(self.home)}")
                print(gateway.log.read_text()[-3000:])
        print(f"\n{len(results) - len(failed)} of {len(results)} passed")
        return not failed

    def run_one(self, name, body):
        return self.guarded(name, lambda: body(Case(self, name)))

    def guarded(self, name, body):
        begun, what = time.monotonic(), ""
        try:
            what = body() or ""
            problem = None
        except Failed as failure:
            problem = str(failure)
        except Exception:  # a case that breaks has failed, and the others go on
            problem = traceback.format_exc()
        return problem, time.monotonic() - begun, what

    def close_books(self):
        """What is wrong in the end, all of it."""
        problems = [f"{each.case}: {problem}" for each in self.expectations if (problem := self.look(each))]
        metrics = self.settled()
        problems.append(self.gateway.stop())
        points = self.destination.points()
        stray = [point for point in points if not any(each.select(point) for each in self.expectations)]
        if stray:
            problems += [f"{len(stray)} points that nobody expects:", *(str(point)[:700] for point in stray[:5])]
        forms = [form for form in self.destination.forms() if id(form) not in self.forms]
        if forms:
            problems.append(f"{len(forms)} forms that nobody expects: {[form.path for form in forms]}")
        problems += self.destination.complaints[:3]
        counted, told = collections.Counter(point.category for point in points), {}
        for name, value in metrics.items():
            if found := re.fullmatch(r'kitgate_points_delivered_total\{category="(\w+)"\}', name):
                told[found[1]] = int(value)
            if (
                re.fullmatch(
                    r'kitgate_ledger_points\{category="\w+",state="(spooled|dead|evicted|expired|lost|dropped)"\}', name
                )
                and value
            ):
                problems.append(f"{name} is {value}")
        told = {category: told.get(category) for category in counted}
        if told != counted:
            problems.append(f"delivered points are {told} by the gateway's account, and {counted} have come")
        problems = [problem for problem in problems if problem]
        true("\n".join(problems), not problems)
        return f"{len(points)} points, {len(self.forms)} forms, nothing unexpected"

    def settled(self):
        """The gateway's account once nothing is on its way: an answer is counted a moment after it was given."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        while True:
            metrics = self.gateway.metrics()
            waiting = [name for name, value in metrics.items() if value and 'state="spooled"' in name]
            if not waiting or time.monotonic() > deadline:
                return metrics
            time.sleep(0.2)

    def look(self, expectation):
        try:
            expectation.check(self.destination.points(expectation.select))
        except Failed as failure:
            return str(failure)

    def expect(self, name, select, check):
        """Awaits that the points that are selected pass; they must still do so in the end."""
        expectation = Expectation(name, select, check)
        with self.lock:
            self.expectations.append(expectation)
        self.destination.wait(lambda: self.look(expectation) is None, DELIVERY_SECONDS)
        time.sleep(SETTLE_SECONDS)
        problem = self.look(expectation)
        true(problem, problem is None)

    def claim(self, form):
        with self.lock:
            true("a form is claimed twice", id(form) not in self.forms)
            self.forms.add(id(form))


class Case:
    """What a case's body works with."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.destination, self.gateway = bench.destination, bench.gateway
        self.home = bench.home / re.sub(r"\W+", "-", name)
        self.home.mkdir()
        self.taps = []

    def tap(self, listener="datakit"):
        """A way to one of the gateway's addresses on which everything is remembered."""
        tap = Tap(self.gateway.addresses[listener])
        self.taps.append(tap)
        return tap

    def python(self, venv, program, env, wrapper=()):
        """Runs a program of ours with a client's own interpreter; what it says it made."""
        binaries = self.bench.tools / f"venv-{venv}" / "bin"
        return self.program([*(binaries / part for part in wrapper), binaries / "python", PROGRAMS / program], env)

    def node(self, program, env):
        modules = self.bench.tools / "npm" / "node_modules"
        return self.program(["node", PROGRAMS / program], {"NODE_PATH": str(modules), **env})

    def program(self, command, env, seconds=PROGRAM_SECONDS):
        """The last line of its output is JSON. It must end well and complain of nothing."""
        plain = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.home,
            env={**plain, **env},
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
        said = f"{done.stdout[-500:]}\n{done.stderr[-3000:]}"
        true(f"{command[-1]} ended with {done.returncode}: {said}", done.returncode == 0)
        true(f"the client complains: {said}", not complaints(done.stderr))
        return json.loads(done.stdout.strip().splitlines()[-1])

    def exchanges(self):
        return [exchange for tap in self.taps for exchange in tap.exchanges()]

    def sent_again(self):
        """How often the client has sent what it had sent before, because it would not wait for the answer any more."""
        bodies = collections.Counter(asked.body for asked, _ in self.exchanges() if len(asked.body) >= AGAIN_BYTES)
        return sum(bodies.values()) - len(bodies)

    def answered_well(self, allowed=()):
        """Every request had an answer, and a good one, but for those that are allowed another: (path, status)."""
        exchanges = self.exchanges()
        true("the client sent nothing", exchanges)
        answered = {
            asked.body
            for asked, answer in exchanges
            if answer and answer.status < 300 and len(asked.body) >= AGAIN_BYTES
        }
        for asked, answer in exchanges:
            said = None if answer is None else answer.status
            good = said is not None and 200 <= said < 300 or (asked.path, said) in allowed
            body = b"" if answer is None else answer.body
            true(f"{asked.method} {asked.path} was answered {said} {body[:300]}", good or asked.body in answered)
        return len(exchanges)

    def expect(self, select, check):
        self.bench.expect(self.name, select, check)


COMPLAINT = re.compile(r"\b(ERROR|CRITICAL|WARN(ING)?|Traceback|[Ff]ailed|Error:)\b")
# The gateway says in /info what it serves, and debuggers are not among it.
KNOWN = re.compile(r"debugger::unsupported_agent")


def complaints(stderr):
    """What a client says at its own level of warnings or above: programs set up logging so that it shows."""
    return [line for line in stderr.splitlines() if COMPLAINT.search(line) and not KNOWN.search(line)]


def main(arguments):
    binary, tools, home, *wanted = arguments
    sys.exit(not Bench(binary, tools, home).run(wanted))
