"""The process that a goal kills while it erases: light to import, since it is started often."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.gradient_store import GradientStore

PRELOADED = [
    "asv_bench.erasing",
    "traceprop.attribution.store.erasure.scanning",
    "traceprop.curvature.digest",
    "numba_kernels.needles",
    "numba_kernels.crc32c",
]
"""What its fork server imports once."""


def erase(path: Path, samples: np.ndarray, told: Connection) -> None:
    """Erase samples of a store, and tell when that begins and when it is done."""
    store = GradientStore.open(path)
    told.send("ready")
    store.erase(ForgetSet(samples, {}, store))
    told.send("done")
