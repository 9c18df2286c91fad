#!/usr/bin/env python3
"""What a change costs: CPU a point, of two or more builds of the gateway, on a machine too noisy for runs one after another.

    loadtest/compare.py [--body-bytes 2048] [--slices 12] LOADTEST GATEWAY GATEWAY...

All builds run at the same time, on core 0, each towards the same stand-in for a destination; one at a time is loaded, for a
second, in turn, so that what the neighbours do hits all of them alike. CPU is that of all their threads, io_uring's workers
among them, until what came in has been delivered. Given twice, a build is its own control.
"""
import argparse
import glob
import os
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request

CONFIG = """data_dir = "{dir}/data"
shards = [0]
[http_api]
listen = "127.0.0.1:{port}"
[dataway]
urls = ["http://127.0.0.1:{upstream}?token=tkn_00000000000000000000000000000000"]
compression = "identity"
[intake.datadog]
listen = ""
[intake.skywalking]
listen = ""
"""
FIRST_PORT = 19610


class Gateway:
    def __init__(self, number, path, folder):
        self.name = f"{number}:{os.path.basename(path)}"
        self.port = FIRST_PORT + 2 + number
        folder = os.path.join(folder, str(number))
        os.mkdir(folder)
        config = os.path.join(folder, "gateway.toml")
        with open(config, "w") as file:
            file.write(CONFIG.format(dir=folder, port=self.port, upstream=FIRST_PORT))
        with open(os.path.join(folder, "log"), "w") as log:
            self.process = subprocess.Popen([path, "run", "--config", config], stdout=log, stderr=log)

    def points(self):
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics").read().decode()
        value = lambda name: int(float(re.search(rf'^{name}{{category="metric"}} (\S+)', page, re.M)[1]))
        return value("kitgate_points_in_total"), value("kitgate_points_delivered_total")

    def cpu_ns(self):
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            try:
                with open(path) as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass  # the thread has ended
        return total

    def slice(self, loadtest, body_bytes):
        """CPU nanoseconds a point of one second of load."""
        (before, _), cpu = self.points(), self.cpu_ns()
        subprocess.run([loadtest, "gen", "--address", f"127.0.0.1:{self.port}", "--body-bytes", str(body_bytes),
                        "--connections", "64", "--duration", "1", "--warm-up", "0", "--core", "1"],
                       check=True, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 5
        taken, delivered = self.points()
        while delivered < taken and time.monotonic() < deadline:
            time.sleep(0.01)
            taken, delivered = self.points()
        return (self.cpu_ns() - cpu) / (taken - before)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--body-bytes", type=int, default=2048)
    arguments.add_argument("--slices", type=int, default=12)
    arguments.add_argument("loadtest")
    arguments.add_argument("gateways", nargs="+")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="kitgate-compare-") as folder:
        upstream = subprocess.Popen([given.loadtest, "upstream", "--listen", f"127.0.0.1:{FIRST_PORT}", "--control",
                                     f"127.0.0.1:{FIRST_PORT + 1}", "--discard", "--core", "1"], stdout=subprocess.DEVNULL)
        gateways = [Gateway(number, path, folder) for number, path in enumerate(given.gateways)]
        try:
            time.sleep(2)
            costs = {gateway.name: [] for gateway in gateways}
            for gateway in gateways:
                gateway.slice(given.loadtest, given.body_bytes)
            for index in range(given.slices):
                first = index % len(gateways)
                for gateway in gateways[first:] + gateways[:first]:
                    costs[gateway.name].append(gateway.slice(given.loadtest, given.body_bytes))
        finally:
            for process in [gateway.process for gateway in gateways] + [upstream]:
                process.terminate()
            for process in [gateway.process for gateway in gateways] + [upstream]:
                process.wait()
    reference = gateways[0].name
    for name, values in costs.items():
        ratios = sorted(value / base for base, value in zip(costs[reference], values))
        low, high = ratios[len(ratios) // 4], ratios[len(ratios) * 3 // 4]
        print(f"{name:30} {statistics.median(values):8.1f} ns a point, {statistics.median(ratios):.3f} of {reference} "
              f"(quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
