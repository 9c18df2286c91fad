"""A relay between a client and the gateway that changes nothing and remembers all: so a case knows which bytes its
client sent, and what it was answered, without asking the client."""

import socket
import threading

from . import wire

CHUNK = 1 << 16


class Tap:
    def __init__(self, upstream):
        self.upstream = upstream
        self.lock = threading.Lock()
        self.streams = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(self.upstream)
            except OSError:
                client.close()
                continue
            up, down = bytearray(), bytearray()
            with self.lock:
                self.streams.append((up, down))
            threading.Thread(target=self.pump, args=(client, server, up), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, down), daemon=True).start()

    def pump(self, source, target, record):
        try:
            while data := source.recv(CHUNK):
                with self.lock:
                    record += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            # One side is gone: the other one is told.
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def exchanges(self):
        """Every request with its answer, or None where it has none."""
        with self.lock:
            streams = [(bytes(up), bytes(down)) for up, down in self.streams]
        found = []
        for up, down in streams:
            asked = wire.messages(up)
            answers = wire.messages(down, asked)
            answers += [None] * (len(asked) - len(answers))
            found += zip(asked, answers)
        return found

    def requests(self, path):
        return [asked for asked, _ in self.exchanges() if asked.path == path]
