"""The chain and the pipeline against plain NumPy, under this Python and under others.

Writing into a dying operand rests on how CPython counts references, which differs from version to
version; from 3.14 on it is off. So the table `lineage` prints both figures for every interpreter
named in `TRACEPROP_BENCH_PYTHONS`, paths apart by `:`, each with NumPy, numba, SciPy and pyarrow:

    export TRACEPROP_BENCH_PYTHONS=~/py3.12/bin/python:~/py3.13/bin/python
    python -m asv_bench.table lineage

An interpreter runs this module in the checkout and prints its figures as JSON:

    ~/py3.13/bin/python -m asv_bench.interpreters
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import traceprop as tp
from asv_bench.timing import Comparison, paired

ROWS = 1_000_000
VARIABLE = "TRACEPROP_BENCH_PYTHONS"


@dataclass(frozen=True)
class Figures:
    """What one interpreter measured."""

    python: str
    reuses: bool  # whether this Python's reference counts allow writing into a dying operand
    chain: Comparison
    pipeline: Comparison


def chain(x: Any) -> Any:
    return x * 2 + 1


def normalise_and_filter(x: Any) -> Any:
    normal = (x - x.mean(axis=0)) / x.std(axis=0)
    return normal[normal[:, 3] > 0]


def both(values: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return a tensor and the plain array in it: where memory lies decides as much as we do."""
    tensor = tp.array(values)
    return tensor, tp.lineage.values(tensor)


def measure() -> Figures:
    """Measure under the Python that runs this."""
    from traceprop.lineage.recording import dying_operands as reuse

    tracked, plain = both(np.arange(float(ROWS)))
    chained = paired(lambda: chain(tracked), lambda: chain(plain), pairs=301)
    tracked, plain = both(np.random.default_rng(0).normal(size=(ROWS, 10)))
    piped = paired(
        lambda: normalise_and_filter(tracked), lambda: normalise_and_filter(plain), pairs=61
    )
    return Figures(platform.python_version(), reuse._WORKS, chained, piped)


def measure_others() -> list[Figures]:
    """Measure under each of the interpreters that the environment names."""
    found = []
    for python in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        done = subprocess.run(
            [os.path.expanduser(python), "-m", "asv_bench.interpreters"],
            cwd=Path(__file__).resolve().parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{python} failed:\n{done.stderr[-2000:]}")
        told = json.loads(done.stdout.splitlines()[-1])
        told["chain"], told["pipeline"] = (
            Comparison(**told["chain"]),
            Comparison(**told["pipeline"]),
        )
        found.append(Figures(**told))
    return found


if __name__ == "__main__":
    print(json.dumps(asdict(measure())))
