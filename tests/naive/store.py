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
    """What a store must hold: the last run that was committed, or nothing."""

    gradients: np.ndarray | None = None
    sample_ids: list[int] = field(default_factory=list)

    def commit(self, gradients: np.ndarray, sample_ids: Iterable[int]) -> None:
        self.gradients = gradients.astype(np.float32)
        self.sample_ids = list(sample_ids)
