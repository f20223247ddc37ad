"""Whether the matrix that an estimator is about to make fits into memory, asked before it is made.

Promise: what can't fit is refused by its size, with the way out, and not killed by the system.
"""

from __future__ import annotations

from pathlib import Path

from traceprop.errors import AttributionError

# The matrix, what it is summed from or copied to, and its factor are held at once.
_COPIES = 3
_GIB = 1 << 30
_LIMITS = ("memory/memory.limit_in_bytes", "memory.max")


def check_square_fits(size: int, method: str) -> None:
    """Check that a size × size matrix of float64, its copy and its factor fit into memory.

    Parameters
    ----------
    size : int
        Its rows: the smaller of the store's width and its number of samples, or the width.
    method : str
        The estimator, for the message.

    Raises
    ------
    AttributionError
        They don't.
    """
    needed, free = _COPIES * 8 * size**2, free_bytes()
    if free is not None and needed > free:
        raise AttributionError(
            f"{method} needs matrices of {size} × {size} numbers, {needed / _GIB:.1f} GiB, and "
            f"{free / _GIB:.1f} GiB of memory are free; record into a GradientStore of a smaller "
            f"k, or use method='dot', which needs no matrix"
        )


def free_bytes() -> int | None:
    """Return how much memory this process can still take; None where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    limits = [limit for name in _LIMITS if (limit := _limit(Path("/sys/fs/cgroup") / name))]
    return min([1024 * each for each in kib] + limits, default=None)


def _limit(path: Path) -> int | None:
    """Return the limit of a control group; None where there is none."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
