"""The coverage page's part on torch: a list of rows, filled by whoever classifies its functions."""

from __future__ import annotations

ROWS: list[tuple[str, str, str]] = []
"""Name, status (one of `page.STATUSES`), and the reason where it isn't exact."""
