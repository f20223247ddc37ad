"""Seconds that TRAK's CPU projector takes for a batch: arguments d, k, n, blocks that are timed.

It makes and multiplies blocks of 100 columns one after the other, each alike; so some are timed and
the figure is scaled to k. Run by `asv_bench.peers.run_peer` inside the peer's environment.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from trak.projectors import BasicProjector, ProjectionType

torch.set_num_threads(1)
d, k, n, timed = map(int, sys.argv[2:])
COLUMNS = 100
projector = BasicProjector(
    d, COLUMNS * timed, 0, ProjectionType.rademacher, torch.device("cpu"), COLUMNS
)
gradients = torch.randn(n, d)
projector.project(gradients, 0)
seconds = []
for _ in range(3):
    start = time.thread_time()
    projector.project(gradients, 0)
    seconds.append(time.thread_time() - start)
print(json.dumps({"seconds": sorted(seconds)[1] * k / (COLUMNS * timed)}))
