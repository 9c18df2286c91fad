"""Keeps a processor, the heap and a lock busy for the profiler that ddtrace-run has started."""

import json
import logging
import threading
import time

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


def kitgate_burn(seconds):
    end, kept, lock = time.monotonic() + seconds, [], threading.Lock()
    while time.monotonic() < end:
        with lock:
            kept.append(bytes(10_000))
        sum(number * number for number in range(2_000))
        if len(kept) > 1_000:
            kept.clear()
        time.sleep(0.001)


begun = time.monotonic()
kitgate_burn(5)
print(json.dumps({"seconds": time.monotonic() - begun}))
