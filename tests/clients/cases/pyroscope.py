"""Pyroscope's agents for Python, the old one that sends forms of profiles to /ingest and the new one that pushes."""

import urllib.parse

from harness import wire
from harness.bench import PROGRAMS, case, same, true
from .datadog import event, tags

# An agent uploads each ten seconds.
SECONDS = "11"


def agent(case, venv):
    tap, service = case.tap(), case.home.name
    interpreter = case.bench.tools / f"venv-{venv}" / "bin" / "python"
    made = case.program([interpreter, PROGRAMS / "pyroscope_app.py", service, tap.url, SECONDS], {})
    true("it did not end", made["ended"])
    return tap, service


def delivered(case, service, count):
    """So many forms of this service, claimed."""

    def arrived():
        found = []
        for package in case.destination.forms():
            parts = wire.form(package.headers["content-type"], package.body)
            if package.path == "/v1/upload/profiling" and tags(parts).get("service") == service:
                found.append((package, parts))
        return found

    case.destination.wait(lambda: len(arrived()) >= count, 30)
    found = arrived()
    for package, _ in found:
        case.bench.claim(package)
    same("profiles", len(found), count)
    for _, parts in found:
        told = event(parts)
        same("event", (told["format"], told["language"], told["profiler"]), ("pprof", "python", "pyroscope"))
        mine = tags(parts)
        same("tags", (mine.get("region"), mine.get("shop"), mine.get("host")), ("north", "7", "gateway-1"))
    return [parts for _, parts in found]


def files(forms):
    return sorted(part.data for parts in forms for part in parts if part.filename != "event.json")


@case("Pyroscope for Python 0.8: /ingest", first=True)
def ingest(case):
    tap, service = agent(case, "current")
    sent = tap.requests("/ingest")
    true("nothing was sent", sent)
    forms = delivered(case, service, len(sent))
    # As they came, compression and all.
    true("other bytes", files(forms) == sorted(asked.body for asked in sent))
    asked_for = [urllib.parse.parse_qs(asked.query) for asked in sent]
    same("names", {query["name"][0] for query in asked_for}, {service})
    check_burn(forms)
    case.answered_well()
    return f"{len(sent)} profiles"


@case("Pyroscope for Python 1: pushes", first=True)
def push(case):
    tap, service = agent(case, "pyroscope1")
    raw = []
    for asked in tap.requests("/push.v1.PusherService/Push"):
        for number, series in wire.fields(asked.content):
            if number == 1:
                raw += [dict(wire.fields(sample))[1] for number, sample in wire.fields(series) if number == 2]
    true("nothing was sent", raw)
    forms = delivered(case, service, len(raw))
    true("other bytes", files(forms) == sorted(raw))
    check_burn(forms)
    case.answered_well()
    return f"{len(raw)} profiles"


def check_burn(forms):
    profiles = [wire.pprof(data) for data in files(forms)]
    true("the program is in no profile", any("kitgate_burn" in text for one in profiles for text in one.texts))
    true("no samples", sum(profile.samples for profile in profiles) > 0)
