"""The four everyday operations on a peer's array type, against plain NumPy.

Run by `asv_bench.peers.run_peer` inside the peer's environment; prints JSON: operation → added
microseconds at 10 elements and time ratio at 1M.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

_spec = importlib.util.spec_from_file_location(
    "timing", Path(__file__).resolve().parents[1] / "timing.py"
)
timing = importlib.util.module_from_spec(_spec)
sys.modules["timing"] = timing
_spec.loader.exec_module(timing)

WRAP = {
    "pint": lambda a: importlib.import_module("pint").UnitRegistry().Quantity(a, "meter"),
    "unyt": lambda a: importlib.import_module("unyt").unyt_array(a, "m"),
    "astropy": lambda a: importlib.import_module("astropy.units").Quantity(a, "m"),
    "traceprop-0.7.0": lambda a: importlib.import_module("traceprop").array(a),
}

OPERATIONS = {
    "add": lambda x, m: x + x,
    "x - mean(0)": lambda x, m: x - x.mean(axis=0),
    "row filter": lambda x, m: x[m],
    "concatenate": lambda x, m: np.concatenate([x, x]),
}


def main() -> None:
    name = sys.argv[1]
    found = {}
    for label, operation in OPERATIONS.items():
        small, large = np.arange(10.0), np.arange(1_000_000.0)
        few, many = np.arange(10) % 2 == 0, np.arange(1_000_000) % 2 == 0
        wrapped_small, wrapped_large = WRAP[name](small), WRAP[name](large)
        tiny = timing.paired(
            lambda f=operation, x=wrapped_small, m=few: f(x, m),
            lambda f=operation, x=small, m=few: f(x, m),
            pairs=101,
            calls=200,
        )
        big = timing.paired(
            lambda f=operation, x=wrapped_large, m=many: f(x, m),
            lambda f=operation, x=large, m=many: f(x, m),
            pairs=51,
        )
        found[label] = {"added_us": (tiny.ours - tiny.theirs) * 1e6, "ratio_1m": big.ratio}
    print(json.dumps(found))


main()
