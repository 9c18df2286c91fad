"""Segments with local, exit and entry spans, references between them, an exception, and logs; prints what the agent was
given to send. Run without the agent's own command, so that its queue can be looked at."""

import json
import logging
import os
import threading
import time

from skywalking import Component, Layer
from skywalking import agent as module
from skywalking.trace.carrier import Carrier
from skywalking.trace.context import get_context
from skywalking.trace.tags import TagHttpMethod, TagHttpURL

agent = module.agent
agent.start()
made, logs = [], []
archive = agent.archive_segment


def record(segment):
    identity = str(segment.segment_id)
    for span in segment.spans:
        refs = [ref for ref in span.refs if ref.trace_id]
        parent = f"{refs[0].segment_id}{refs[0].span_id}" if refs else "0" if span.pid < 0 else f"{identity}{span.pid}"
        made.append(
            {
                "trace_id": str(segment.related_traces[0]),
                "span_id": f"{identity}{span.sid}",
                "parent_id": parent,
                "resource": span.op,
                "start": span.start_time * 1000,
                "duration": (span.end_time - span.start_time) * 1000,
                "status": "error" if span.error_occurred else "ok",
                "span_type": span.kind.name.lower(),
                "endpoint": span.peer or None,
            }
        )
    archive(segment)


# Instances' attributes go before their class's.
type(agent).archive_segment = lambda _self, segment: record(segment)
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(logging.NullHandler())


def say(level, text):
    context = get_context()
    span = context.active_span
    log.log(level, text)
    logs.append(
        {
            "message": text,
            "status": logging.getLevelName(level).lower(),
            "trace_id": str(context.segment.related_traces[0]),
            "trace_segment_id": str(context.segment.segment_id),
            "span_id": str(span.sid),
        }
    )


def downstream(carrier):
    # Another service's thread: its own context.
    with get_context().new_entry_span(op="/stock", carrier=carrier) as span:
        span.layer = Layer.RPCFramework
        span.component = Component.Requests
        time.sleep(0.002)


def request(number):
    context = get_context()
    with context.new_entry_span(op=f"/order/{number}", carrier=Carrier()) as entry:
        entry.layer = Layer.Http
        entry.component = Component.Flask
        entry.tag(TagHttpMethod("POST"))
        entry.tag(TagHttpURL(f"http://shop.example/order/{number}?a=1&b=<2>"))
        say(logging.INFO, f"order {number} \N{SNOWMAN}")
        with context.new_local_span(op="price"):
            time.sleep(0.001)
        with context.new_exit_span(op="stock/get", peer="stock:8080") as out:
            out.layer = Layer.RPCFramework
            out.component = Component.Requests
            carrier = out.inject()
            wire = {item.key: item.val for item in carrier}
        there = Carrier()
        for item in there:
            item.val = wire[item.key]
        thread = threading.Thread(target=downstream, args=(there,))
        thread.start()
        thread.join()
        if number % 3 == 0:
            try:
                with context.new_local_span(op="pay"):
                    raise ValueError("declined")
            except ValueError:
                say(logging.ERROR, f"order {number} failed\nsecond line")


for number in range(10):
    request(number)
time.sleep(float(os.environ.get("LINGER", "2.5")))
agent.stop()
print(json.dumps({"spans": made, "logs": logs}))
