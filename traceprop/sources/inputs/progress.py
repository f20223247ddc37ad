"""A progress bar for a load that takes over a second, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

_PATIENCE = 1.0  # seconds before a bar is drawn
_REFRESH = 0.1

T = TypeVar("T")


def wait_with_bar(
    work: Future[T],
    position: Callable[[], int],
    total: int,
    name: str,
    *,
    doing: str = "loading",
    unit: str = "B",
) -> T:
    """Return the result of `work`; while it is awaited, show `position()` units out of `total`.

    The bar appears after a second, and only where standard error is a terminal.
    """
    if not sys.stderr.isatty() or wait([work], timeout=_PATIENCE).done:
        return work.result()
    from tqdm import tqdm

    with tqdm(total=total, desc=f"{doing} {name}", unit=unit, unit_scale=True, leave=False) as bar:
        while not wait([work], timeout=_REFRESH).done:
            bar.update(position() - bar.n)
        bar.update(total - bar.n)
    return work.result()
