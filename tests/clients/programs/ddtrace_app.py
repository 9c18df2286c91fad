"""Traces of the kinds that a Python tracer makes, by hand and by its integrations; prints every span that it handed
over, as the tracer's own hook saw it. Runs under ddtrace 1 and 4."""

import json
import logging
import secrets
import sqlite3
import threading

import ddtrace

try:
    from ddtrace.trace import Context, TraceFilter, tracer
except ImportError:
    from ddtrace import tracer
    from ddtrace.context import Context
    from ddtrace.filters import TraceFilter

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
made, rejected = [], []


class Recorder(TraceFilter):
    def process_trace(self, trace):
        for span in trace:
            # The tracer keeps 128 bits where it has them.
            wide = span.trace_id > (1 << 64) - 1
            kept = {
                "trace_id": f"{span.trace_id:032x}" if wide else str(span.trace_id),
                "span_id": str(span.span_id),
                "parent_id": str(span.parent_id or 0),
                "service": span.service,
                "operation": span.name,
                "resource": span.resource,
                "status": "error" if span.error else "ok",
                "start": span.start_ns // 1000,
                "duration": span.duration_ns // 1000,
            }
            (rejected if trace[0].name == "rejected" else made).append(kept)
        return trace


recorder = Recorder()
try:
    tracer.configure(trace_processors=[recorder])
except TypeError:
    tracer.configure(settings={"FILTERS": [recorder]})


def order(number):
    """A web request with a query, by the integration for sqlite3 where the program runs under ddtrace-run."""
    with tracer.trace("web.request", resource=f"GET /order/{number}\nsecond line", span_type="web") as root:
        root.set_tag("http.url", f"http://shop.example/order/{number}?q=1")
        root.set_tag("shop.order", f"o-{number}")
        root.set_metric("items", number + 0.5)
        base = sqlite3.connect(":memory:")
        base.execute("create table parts (id integer)").close()
        base.execute("insert into parts values (1), (2)").close()
        with tracer.trace("render", service="shop-templates", span_type="template"):
            pass


def fails():
    with tracer.trace("checkout", resource="POST /pay") as span:
        try:
            with tracer.trace("charge"):
                raise ValueError("declined \N{SNOWMAN}\nsecond line")
        except ValueError:
            span.set_tag("handled", "yes")


def continued():
    """What a service does with the headers of its caller."""
    context = Context(trace_id=secrets.randbits(BITS) | 1 << BITS - 1, span_id=0x1122334455667788, sampling_priority=2)
    tracer.context_provider.activate(context)
    with tracer.trace("child.of.elsewhere"):
        pass
    tracer.context_provider.activate(None)


def many(spans):
    with tracer.trace("batch", resource="r" * 6000):
        for number in range(spans - 1):
            with tracer.trace("step", resource=f"step {number % 7}"):
                pass


def refused():
    with tracer.trace("rejected") as span:
        span.set_tag("manual.drop")
        with tracer.trace("rejected.child"):
            pass


# Of an id; version 1 knows no more.
BITS = 128 if ddtrace.__version__ > "2" else 64
for number in range(5):
    order(number)
fails()
continued()
refused()
many(1500)
threads = [threading.Thread(target=order, args=(100 + number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
tracer.flush()
tracer.shutdown()
print(json.dumps({"spans": made, "rejected": rejected}))
