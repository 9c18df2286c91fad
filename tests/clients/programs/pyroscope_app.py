"""Keeps a processor busy for pyroscope's agent, long enough for one upload of its own and one at its end."""

import json
import sys
import time

import pyroscope

pyroscope.configure(application_name=sys.argv[1], server_address=sys.argv[2], tags={"region": "north", "shop": "7"})


def kitgate_burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(number * number for number in range(5_000))


kitgate_burn(float(sys.argv[3]))
with_answer = pyroscope.shutdown()
print(json.dumps({"ended": with_answer is not False}))
