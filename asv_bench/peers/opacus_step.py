"""A training step with Opacus' per-sample gradients against the plain step, in turns.

Run by `asv_bench.peers.run_peer` inside the peer's environment; prints JSON: network -> ratio.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import warnings
from pathlib import Path

import torch

warnings.simplefilter("ignore")
from capture_models import networks, plain_step  # noqa: E402
from opacus import GradSampleModule  # noqa: E402

_spec = importlib.util.spec_from_file_location(
    "timing", Path(__file__).resolve().parents[1] / "timing.py"
)
timing = importlib.util.module_from_spec(_spec)
sys.modules["timing"] = timing
_spec.loader.exec_module(timing)

torch.set_num_threads(1)
found = {}
for name, (model, inputs, labels) in networks().items():
    plain = plain_step(copy.deepcopy(model), inputs, labels)
    step = plain_step(GradSampleModule(model), inputs, labels)
    found[name] = timing.paired(step, plain, pairs=31).ratio
print(json.dumps(found))
