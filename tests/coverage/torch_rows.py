"""The coverage page's part on torch: what its functions are classified as."""

from __future__ import annotations

from traceprop.interop.torch.tracked.coverage import classification
from traceprop.interop.torch.tracked.entries import ESCAPE

ROWS: list[tuple[str, str, str]] = [
    (name, "escapes" if known.status == ESCAPE else known.status, known.reason)
    for name, known in classification().items()
]
"""Name, status (one of `page.STATUSES`), and the reason where it isn't exact."""
