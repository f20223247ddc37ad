"""Arrays as the shards of a store, on disk where rows are read by position."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from traceprop.attribution.store.folder.formats import encode
from traceprop.attribution.store.rows.shards import Shard


def gradients(n: int, width: int, seed: int = 0) -> np.ndarray:
    """Rows like gradients: few directions have most of the spread, and few rows most of it."""
    random = np.random.default_rng(seed)
    spread = 1 / np.arange(1, width + 1)
    turned = min(width, 100)  # the first directions have nearly all
    turns = np.eye(width)
    turns[:turned, :turned] = np.linalg.qr(random.standard_normal((turned, turned)))[0]
    sizes = np.exp(random.standard_normal((n, 1)))
    return (random.standard_normal((n, width)) * spread * sizes) @ turns


def shards(
    rows: np.ndarray, dtype: str, folder: Path, cuts: tuple[int, ...] = ()
) -> tuple[Shard, ...]:
    """Rows in one file a shard, each behind 24 other bytes."""
    made = []
    edges = [0, *cuts, len(rows)]
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        ids = np.arange(start, stop)
        values, scales = encode(rows[start:stop], ids, dtype)
        path = folder / f"{dtype}-{number}.bin"
        path.write_bytes(bytes(24) + values.tobytes())
        made.append(Shard(values, scales, ids, path, 24, start, None))
    return tuple(made)


def decoded(parts: tuple[Shard, ...]) -> np.ndarray:
    return np.concatenate([part.decoded() for part in parts])
