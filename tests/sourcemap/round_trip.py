"""Puts the map of a bundle into a gateway and asks it for the lines of the stack that the bundle threw: by
/v1/sourcemap/check, and as points of every format. The places that are expected are read off the sources."""

import base64
import io
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import zipfile

TOKEN = "tkn_0123456789abcdef0123456789abcdef"
APP = {"app_id": "shop", "env": "prod", "version": "1.2.3"}


def place(path, text):
    """Where a text stands in a source: the line from one, the column from zero."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if text in line:
            return number, line.index(text)
    raise AssertionError(f"{text!r} is not in {path}")


def sdk_stack(printed):
    """What node prints, as the SDK writes it: `  at f @ url:row:column`."""
    lines = printed.splitlines()
    frames = re.findall(r"^\s+at (?:(.*?) \()?(\S*dist/app\.js):(\d+):(\d+)\)?$", printed, re.M)
    frames = [f"  at {name or '<anonymous>'} @ https://shop.example/dist/app.js?v=7:{row}:{column}"
              for name, _, row, column in frames]
    return "\n".join([lines[0], *frames])


class Gateway:
    def __init__(self, binary, home):
        config = home / "gateway.toml"
        config.write_text(
            f'data_dir = "{home}/data"\nshards = 1\n'
            '[http_api]\nlisten = "127.0.0.1:0"\n'
            f'[dataway]\nurls = ["http://127.0.0.1:9?token={TOKEN}"]\n'
            '[intake.datadog]\nlisten = ""\n[intake.skywalking]\nlisten = ""\n'
        )
        log = home / "gateway.log"
        with log.open("w") as out:
            self.process = subprocess.Popen([binary, "run", "--config", config], stdout=out, stderr=out)
        patience = time.monotonic() + 30
        while "kitgate: ready" not in log.read_text():
            if self.process.poll() is not None or time.monotonic() > patience:
                raise AssertionError(f"the gateway does not start: {log.read_text()}")
            time.sleep(0.05)
        self.url = re.search(r"listening on (http://\S+)", log.read_text()).group(1)

    def ask(self, method, path, query, body=None, content_type="text/plain"):
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, body, {"Content-Type": content_type}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


def multipart(name, file):
    boundary = "----round-trip"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="maps.zip"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def bodies(stack):
    """An error point in the formats that SDKs send."""
    tags = {"sdk_name": "df_web_rum_sdk", **APP}
    text = stack.replace("\\", "\\\\").replace('"', '\\"')
    yield "text/plain", f'error,{",".join(f"{k}={v}" for k, v in tags.items())} error_stack="{text}"'
    yield "application/json", json.dumps([{"measurement": "error", "tags": tags, "fields": {"error_stack": stack}}])


def main():
    binary, home = sys.argv[1], pathlib.Path(sys.argv[2])
    program = home / "program"
    stack = sdk_stack((home / "stack").read_text())
    assert stack.count("@") >= 2, f"the bundle did not throw: {stack}"
    thrown = place(program / "src/util.ts", "new RangeError")
    called = place(program / "src/main.ts", "ship(order)")
    expected = [f"../src/util.ts:{thrown[0]}:{thrown[1]}", f"../src/main.ts:{called[0]}:{called[1]}"]

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as maps:
        for path in sorted((program / "dist").iterdir()):
            maps.write(path, f"dist/{path.name}")
    gateway = Gateway(binary, home)
    try:
        body, content_type = multipart("file", archive.getvalue())
        answer = json.loads(gateway.ask("PUT", "/v1/sourcemap", {**APP, "token": TOKEN}, body, content_type))
        assert answer["success"], answer
        checked = json.loads(gateway.ask("GET", "/v1/sourcemap/check", {**APP, "error_stack": stack}))
        # The script's own last call stands behind the last mapping, where DataKit's rule finds nothing.
        assert checked["success"] or checked["errorMsg"].startswith("fetch original"), checked
        resolved = {"check": checked["content"]["error_stack"]}
        # The second time it is known already.
        for turn in ("first", "second"):
            for content_type, body in bodies(stack):
                query = {"echo": "json", "dry": "1"}
                echo = gateway.ask("POST", "/v1/write/rum", query, body.encode(), content_type)
                field = json.loads(echo)[0]["fields"]["error_stack_source_base64"]
                resolved[f"{content_type}, {turn}"] = base64.b64decode(field).decode()
        for how, text in resolved.items():
            frames = re.findall(r"@ (\S+)", text)
            assert frames[:2] == expected, f"{how}: {frames} instead of {expected}"
            assert text.splitlines()[0] == stack.splitlines()[0], text
        begun = time.monotonic()
        answer = json.loads(gateway.ask("DELETE", "/v1/sourcemap", {**APP, "token": TOKEN}))
        assert answer["success"], answer
        content_type, body = next(bodies(stack))
        echo = gateway.ask("POST", "/v1/write/rum", {"echo": "json", "dry": "1"}, body.encode(), content_type)
        assert "error_stack_source_base64" not in json.loads(echo)[0]["fields"], "without an archive"
        assert time.monotonic() - begun < 2
    finally:
        gateway.process.terminate()
        gateway.process.wait(30)
    print(f"{expected[0]} and {expected[1]}: found in {len(resolved)} ways")


main()
