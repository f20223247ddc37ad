"""Goals of the gradient store: the files on disk, capture and projection, the scan."""

from __future__ import annotations

from collections.abc import Iterator

from asv_bench.goals import Goal, store_capture, store_disk, store_scan

THREADS = "2 cores; " + "; ".join(
    f"{part.__name__.rpartition('_')[2]}: {part.THREADS}"
    for part in (store_disk, store_capture, store_scan)
)


def goals() -> Iterator[Goal]:
    for part in (store_disk, store_capture, store_scan):
        yield from part.goals()
