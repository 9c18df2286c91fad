"""The destination: takes what the gateway delivers as a DataWay does, keeps all of it in memory, and can be away."""

import dataclasses
import http.server
import threading
import time

from . import wire

TOKEN = "tkn_0123456789abcdef0123456789abcdef"


@dataclasses.dataclass
class Package:
    path: str
    headers: dict
    body: bytes
    points: list


class Destination:
    def __init__(self):
        self.changed = threading.Condition()
        # What was answered 200, in order.
        self.packages = []
        self.away = False
        self.refused = 0
        # What no destination could read: each fails the run.
        self.complaints = []
        destination = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(200, b"{}")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.answer(*destination.take(self.path, headers, body))

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                # A connection that the gateway closed, or was killed with.
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}?token={TOKEN}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, target, headers, body):
        path, _, query = target.partition("?")
        with self.changed:
            if self.away:
                self.refused += 1
                return 500, b'{"error_code":"away"}'
            try:
                if f"token={TOKEN}" not in query.split("&"):
                    raise ValueError("no token")
                self.packages.append(read(path, headers, body))
            except Exception as error:  # whatever it is, it is the gateway's fault and is told at the end
                self.complaints.append(f"{target}: {error!r}")
                return 400, b'{"error_code":"unreadable"}'
            finally:
                self.changed.notify_all()
        return 200, b"{}"

    def points(self, wanted=lambda _: True):
        with self.changed:
            return [point for package in self.packages for point in package.points if wanted(point)]

    def forms(self):
        """Everything that came as a form: its path and its package."""
        with self.changed:
            return [
                package
                for package in self.packages
                if not package.path.startswith("/v1/write/") or package.path.count("/") > 3
            ]

    def wait(self, until, seconds):
        """Until what `until` returns is true or the time is over; what it returned last."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (found := until()) and (rest := deadline - time.monotonic()) > 0:
                self.changed.wait(min(rest, 0.2))
            return found


def read(path, headers, body):
    kind = path.removeprefix("/v1/write/")
    if path == "/v1/upload/profiling" or kind == "rum/replay":
        wire.form(headers["content-type"], body)
        return Package(path, headers, body, [])
    if kind == path or "/" in kind:
        raise ValueError("no such path")
    if not headers["content-type"].startswith("application/protobuf"):
        raise ValueError(headers["content-type"])
    found = list(wire.points(kind, wire.decoded(headers.get("content-encoding", ""), body)))
    if len(found) != int(headers["x-points"]):
        raise ValueError(f"{len(found)} points, X-Points says {headers['x-points']}")
    return Package(path, headers, body, found)
