"""What schemathesis does not know of the gateway: bodies that are no text, and what its answers are held to.

Not held: that a 5xx is never an answer (DataKit's dialect has some, and they are described; one that is not described fails),
that what is odd is refused (DataKit takes a lot), and that another method is 405 (it is the 404 page).
"""

import base64
import gzip
import json
import os
import threading
import zlib

import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks

# Answers of 503 that are too many: a gateway that has nothing else to do takes what it gets.
BUSY_MAX = 5

with open(os.environ["KITGATE_DOCUMENT"], encoding="utf-8") as file:
    DOCUMENT = json.load(file)


def examples():
    """The bodies that are not made up from a schema, by media type."""
    found = {}
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            for name, content in operation.get("requestBody", {}).get("content", {}).items():
                bodies = found.setdefault(name, [])
                if "x-kitgate-body-base64" in content and not name.startswith("multipart/"):
                    bodies.append(base64.b64decode(content["x-kitgate-body-base64"]))
                if name == "text/plain":
                    values = [example["value"] for example in content.get("examples", {}).values()]
                    values += [content["example"]] if "example" in content else []
                    bodies += [value.encode() for value in values]
    return {name: bodies for name, bodies in found.items() if bodies}


@st.composite
def damaged(draw, bodies):
    """An example with a few bytes changed, cut off, left out or repeated."""
    body = bytearray(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0 if body:
                body[at] = draw(st.integers(0, 255))
            case 1:
                del body[at:]
            case 2:
                del body[at : at + draw(st.integers(1, 8))]
            case _:
                body[at:at] = body[at : at + draw(st.integers(1, 64))]
    return bytes(body)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """What is said to be compressed is, where it is bytes; the rest of the time the gateway finds out."""
    said = (case.query or {}).get("encoding") or (case.headers or {}).get("Content-Encoding")
    if isinstance(case.body, bytes) and said in ("gzip", "deflate") and len(case.body) % 4:
        case.body = gzip.compress(case.body) if said == "gzip" else zlib.compress(case.body)


@schemathesis.serializer("application/pbjson")
def pbjson(ctx, value):
    return {"data": value if isinstance(value, bytes) else json.dumps(value).encode()}


for media_type, bodies in examples().items():
    schemathesis.openapi.media_type(media_type, st.one_of(damaged(bodies), st.binary(max_size=256)))


@schemathesis.check
def described_type(ctx, response, case):
    """The Content-Type is one of those described. Recorded answers of DataKit have bodies without one."""
    if response.headers.get("content-type", [""])[0]:
        return checks.content_type_conformance(ctx, response, case)


@schemathesis.check
def described_body(ctx, response, case):
    """The body is what is described, where it says what it is."""
    if response.headers.get("content-type", [""])[0] and response.content:
        return checks.response_schema_conformance(ctx, response, case)


busy = 0
busy_lock = threading.Lock()


@schemathesis.check
def rarely_busy(ctx, response, case):
    """503 says that something is full, and nothing here should be."""
    global busy
    if response.status_code == 503:
        with busy_lock:
            busy += 1
            assert busy <= BUSY_MAX, f"503 for the {busy}th time: {response.content[:200]}"
