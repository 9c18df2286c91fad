"""tests/clients/main.py GATEWAY TOOLS HOME [PART OF A CASE'S NAME]..."""

import sys

import cases  # noqa: F401: they declare themselves
from harness import bench

bench.main(sys.argv[1:])
