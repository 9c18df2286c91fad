"""What schemathesis does not know of the gateway: bodies that are no text, and what its answers are held to.

Not held: that a 5xx is never an answer (DataKit's dialect has some, and they are described; one that is not described fails),
that what is odd is refused (DataKit takes a lot), and that another method is 405 (it is the 404 page).
"""

import base64
import gzip
import json
import os
import random
import threading
import zlib

import schemathesis
from hypothesis import strategies as st
from schemathesis.core import NotSet
from schemathesis.specs.openapi import checks

# Answers of 503 that are too many: a gateway that has nothing else to do takes what it gets.
BUSY_MAX = 5

with open(os.environ["KITGATE_DOCUMENT"], encoding="utf-8") as file:
    DOCUMENT = json.load(file)


def shown(content):
    """The examples of a body."""
    values = [example["value"] for example in content.get("examples", {}).values()]
    values += [content["example"]] if "example" in content else []
    bodies = [value.encode() if isinstance(value, str) else json.dumps(value).encode() for value in values]
    if "x-kitgate-body-base64" in content:
        bodies.append(base64.b64decode(content["x-kitgate-body-base64"]))
    return bodies


def damaged(body, rng):
    """A body with a few bytes changed, cut off, left out or repeated."""
    body = bytearray(body)
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(0, len(body))
        match rng.randint(0, 3):
            case 0:
                body[at : at + 1] = bytes([rng.randint(0, 255)])
            case 1:
                del body[at:]
            case 2:
                del body[at : at + rng.randint(1, 8)]
            case _:
                body[at:at] = body[max(at - rng.randint(1, 64), 0) : at]
    return bytes(body)


def as_it_is(ctx, value):
    """Bytes and text as they are, everything else as JSON."""
    if isinstance(value, str):
        value = value.encode()
    return {"data": value if isinstance(value, bytes) else json.dumps(value).encode()}


# Texts of some format: what is made up without knowing it is worth little. By operation and media type.
TEXTS = {}
binaries = {}
for path, methods in DOCUMENT["paths"].items():
    for method, operation in methods.items():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if media_type.startswith("text/") or "pbjson" in media_type:
                TEXTS[f"{method.upper()} {path}", media_type] = shown(content)
            elif content["schema"].get("format") == "binary":
                binaries.setdefault(media_type, []).extend(shown(content))
for media_type, bodies in binaries.items():
    some = st.builds(damaged, st.sampled_from(bodies), st.randoms())
    schemathesis.openapi.media_type(media_type, st.one_of(some, st.binary(max_size=256)))
schemathesis.serializer("application/pbjson; proto=com.guance.Point")(as_it_is)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Puts damaged examples in the place of most texts, and compresses most of what is said to be compressed."""
    texts = TEXTS.get((case.operation.label, case.media_type))
    rng = random.Random(repr((case.query, case.headers, case.body)))
    if texts and not isinstance(case.body, NotSet) and rng.random() < 0.8:
        case.body = damaged(rng.choice(texts), rng)
    said = (case.query or {}).get("encoding") or (case.headers or {}).get("Content-Encoding")
    if isinstance(case.body, bytes) and said in ("gzip", "deflate") and rng.random() < 0.8:
        case.body = gzip.compress(case.body) if said == "gzip" else zlib.compress(case.body)


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
