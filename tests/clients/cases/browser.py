"""A browser: Chromium on a page with Datadog's SDK, whose proxy is the gateway, and behind the page a server that is
traced. Every event that the SDK showed the page is a point, and resources name the traces of the server's spans."""

import collections
import json
import os
import subprocess
import time
import urllib.parse

from harness import wire
from harness.bench import PROGRAMS, case, same, true

from .datadog import QUIET

VISIT_SECONDS = 40
# Without the last ones the browser looks for its maker's servers, which are not there.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]


def visit(case, compress):
    """What the server and the page saw."""
    tap, traced, service = case.tap(), case.tap("datadog"), case.home.name
    env = {
        **QUIET,
        "PATH": os.environ["PATH"],
        "HOME": str(case.home),
        "DD_TRACE_AGENT_URL": traced.url,
        "DD_SERVICE": service,
        "NODE_PATH": str(case.bench.tools / "npm" / "node_modules"),
    }
    shop = subprocess.Popen(
        ["node", PROGRAMS / "shop.js"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    browser = None
    try:
        port = int(shop.stdout.readline())
        query = urllib.parse.urlencode({"service": service, "gateway": tap.url, "compress": str(compress).lower()})
        with open(case.home / "browser.log", "w") as log:
            browser = subprocess.Popen(
                ["chromium", *FLAGS, f"--user-data-dir={case.home}/profile", f"http://127.0.0.1:{port}/?{query}"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        out, err = shop.communicate(timeout=VISIT_SECONDS)
    except (ValueError, subprocess.TimeoutExpired) as error:
        shop.kill()
        log = (case.home / "browser.log").read_text() if browser else ""
        raise AssertionError(f"the page was not visited: {error} {shop.stderr.read()[-500:]} {log[-1500:]}") from None
    finally:
        if browser:
            # With all of its own.
            os.killpg(browser.pid, 9)
            browser.wait()
    true(f"the server ended with {shop.returncode}: {err}", shop.returncode == 0 and not err.strip())
    return tap, json.loads(out.splitlines()[-1])


def session(case, compress):
    tap, made = visit(case, compress)
    service = case.home.name
    # A request at the page's end may be on its way.
    time.sleep(0.5)
    sent = []
    for asked in tap.requests("/rumproxy"):
        forward = urllib.parse.parse_qs(asked.query).get("ddforward", [""])[0]
        if asked.method == "POST" and forward.startswith("/api/v2/rum?"):
            body = wire.decoded("deflate" if "dd-evp-encoding=deflate" in forward else "", asked.body)
            sent += [json.loads(line) for line in body.splitlines() if line]
    wanted = sorted(identity(event) for event in sent)
    true("nothing was sent", wanted)

    def check(points):
        same("events", sorted(identity_of(point) for point in points), wanted)

    case.expect(lambda point: point.category == "rum" and point.tags.get("service") == service, check)
    points = case.destination.points(lambda point: point.category == "rum" and point.tags.get("service") == service)
    # What the page was shown has been sent; views several times, of which the last counts.
    shown = {(kind, key) for kind, key in made["seen"] if kind != "view"}
    missing = shown - {identity_of(point)[:2] for point in points}
    true(f"shown and never sent: {missing}", not missing)
    same(
        "views",
        {key for kind, key in made["seen"] if kind == "view"},
        {point.tags["view_id"] for point in points if point.name == "view"},
    )
    kinds = collections.Counter(point.name for point in points)
    true(f"kinds {kinds}", {"view", "resource", "action", "error", "long_task"} <= set(kinds))
    for point in points:
        same(
            "tags",
            {key: point.tags.get(key) for key in ("app_id", "env", "version", "ip")},
            {"app_id": "11111111-2222-3333-4444-555555555555", "env": "test", "version": "1.2.3", "ip": "127.0.0.1"},
        )
        # Some events are older than the page's call that names its user.
        if point.name in ("action", "error"):
            same("user", (point.tags["userid"], point.tags["user_name"]), ("u1", "\u5f20\u4e09"))
    errors = {point.tags["error_type"]: point.fields["error_message"] for point in points if point.name == "error"}
    same("errors", errors, {"RangeError": "declined \u2603", "TypeError": "uncaught boom"})
    checkout = [point for point in points if point.fields.get("action_name") == "checkout"]
    same("action", [(point.fields["total"], point.fields["sku"]) for point in checkout], [(12.5, '["a","b"]')])
    # Each request of the page is one trace: the browser's resource, and the server's span in it.
    same("requests", len(made["spans"]), 5)
    same(
        "traces",
        sorted(point.tags.get("trace_id") for point in points if is_of_shop(point)),
        sorted(span["trace_id"] for span in made["spans"]),
    )
    ids = {span["span_id"] for span in made["spans"]}

    def spans(points):
        same("stock", {point.fields["span_id"] for point in points if point.tags["operation"] == "stock"}, ids)

    case.expect(lambda point: point.name == "ddtrace" and point.tags.get("service") == service, spans)
    requests = case.answered_well()
    return f"{dict(kinds)} in {requests} requests, {len(ids)} traces of page and server"


def is_of_shop(point):
    return point.get("resource_url_path", "").startswith("/api/")


def identity(event):
    """A kind, an id, and for views which of their versions."""
    part = event.get(event["type"], {})
    return event["type"], part.get("id") or event["view"]["id"], event["_dd"].get("document_version", 0), event["date"]


def identity_of(point):
    key = point.get(f"{point.name}_id")
    return point.name, key, int(point.fields.get("document_version", 0)), point.time // 10**6


@case("Chromium with Datadog's SDK: a visit", first=True)
def plain(case):
    return session(case, False)


@case("Chromium with Datadog's SDK: a visit, compressed", first=True)
def compressed(case):
    return session(case, True)
