"""The gateway under test, with a configuration and a data folder of its own."""

import atexit
import pathlib
import re
import subprocess
import time
import urllib.request


class Gateway:
    # All that were started: whoever fails leaves one behind, and what it said may tell why.
    started = []

    def __init__(self, binary, home, destination, more=""):
        self.binary, self.home = binary, pathlib.Path(home)
        self.home.mkdir()
        self.log = self.home / "log"
        # A meta key becomes a tag: configuration is seen to work too.
        (self.home / "gateway.toml").write_text(
            f'data_dir = "{self.home}/data"\nshards = 1\nhostname = "gateway-1"\n'
            '[http_api]\nlisten = "127.0.0.1:0"\n'
            f'[dataway]\nurls = ["{destination.url}"]\nretry_delay = "200ms"\nretry_delay_max = "1s"\n'
            "[io]\nremote_filters = false\n"
            '[intake.datadog]\nlisten = "127.0.0.1:0"\ncustomer_tags = ["shop.order"]\n'
            '[intake.skywalking]\nlisten = "127.0.0.1:0"\n' + more
        )
        Gateway.started.append(self)
        self.process = None
        atexit.register(self.kill)
        self.start()

    def start(self):
        with self.log.open("a") as out:
            begun = self.log.stat().st_size
            command = [self.binary, "run", "--config", self.home / "gateway.toml"]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        deadline = time.monotonic() + 30
        while "kitgate: ready" not in (text := self.log.read_text()[begun:]):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the gateway does not start: {text[-2000:]}")
            time.sleep(0.05)
        found = re.findall(r"listening on http://([\d.]+):(\d+) \((\w+)\)", text)
        self.addresses = {name: (host, int(port)) for host, port, name in found}
        self.url = "http://{}:{}".format(*self.addresses["datakit"])

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Ends it as an operator does; what is wrong with its end."""
        self.process.terminate()
        try:
            ended = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the gateway does not stop"
        if ended:
            return f"the gateway ended with {ended}"
        return "the gateway panicked" if "panicked" in self.log.read_text() else None

    def metrics(self):
        """Each sample and its number."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}
