"""The store as plain Python: bit-wise checksums, dictionaries for rows, loops for queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np


def crc32c(data: bytes, value: int = 0) -> int:
    """CRC-32C, one bit at a time (RFC 3720, section 12.1)."""
    value ^= 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def rows_of_sample(origins: Sequence[tuple[str, Sequence[Sequence[int]]]], sample: int) -> dict:
    """The rows of each source that a sample came from; sources may be named more than once."""
    found: dict[str, set[int]] = {}
    for source, rows in origins:
        found.setdefault(source, set()).update(rows[sample])
    return {source: sorted(rows) for source, rows in found.items() if rows}


def find_needles(data: bytes, needles: Sequence[bytes]) -> list[int]:
    """Every place where any of some byte strings begins."""
    return [i for i in range(len(data)) if any(data.startswith(each, i) for each in needles)]


def samples_of_rows(
    origins: Sequence[tuple[str, Sequence[Sequence[int]]]], source: str, rows: Iterable[int]
) -> list[int]:
    """The samples that came from any of some rows of a source."""
    wanted = set(rows)
    found = {
        sample
        for name, per_sample in origins
        if name == source
        for sample, own in enumerate(per_sample)
        if wanted & set(own)
    }
    return sorted(found)


@dataclass
class MemoryStore:
    """What a store must hold: the runs that were committed, without what was erased."""

    rows: dict[int, list[np.ndarray]] = field(default_factory=dict)
    data: list[tuple[int, int]] = field(default_factory=list)
    """Of each set of training data, what tells it from others, and its first sample."""
    end: int = 0
    runs: int = 0

    def commit(self, gradients: np.ndarray, sample_ids: Iterable[int], data: int, n: int) -> None:
        """Replace everything by a run on n samples of a set of data."""
        self.rows, self.data, self.end, self.runs = {}, [], 0, 0
        self.append(gradients, sample_ids, data, n)

    def append(self, gradients: np.ndarray, sample_ids: Iterable[int], data: int, n: int) -> None:
        first = next((start for known, start in self.data if known == data), None)
        if first is None:
            first, self.end = self.end, self.end + n
            self.data.append((data, first))
        for sample, row in zip(sample_ids, gradients.astype(np.float32), strict=True):
            self.rows.setdefault(first + sample, []).append(row)
        self.runs += 1

    def erase(self, samples: Iterable[int]) -> None:
        for sample in samples:
            del self.rows[sample]
        # Data with a hole are no longer the data that a new run may be trained on.
        gone = set(samples)
        self.data = [
            (-1 - start if gone & set(range(start, stop)) else known, start)
            for (known, start), stop in zip(
                self.data, [start for _, start in self.data[1:]] + [self.end], strict=True
            )
        ]

    def sums(self) -> dict[int, np.ndarray]:
        return {s: np.sum(rows, axis=0, dtype=np.float64) for s, rows in self.rows.items()}
