"""Load one CSV file with the published traceprop 0.7.0; prints the seconds that it took.

Run by `asv_bench.peers.run_peer` inside the peer's environment: name, path of the file.
"""

from __future__ import annotations

import json
import sys
import time

import traceprop

start = time.perf_counter()
table = traceprop.from_csv(sys.argv[2])
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "shape": list(table.shape)}))
