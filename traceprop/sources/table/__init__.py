"""Tables: named columns whose rows know which rows of which sources they are."""

from __future__ import annotations

from traceprop.sources.table.table import Table

__all__ = ["Table"]
