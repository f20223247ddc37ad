"""Sources: where rows come from, and how they are still named years later."""

from __future__ import annotations

from traceprop.sources.csv import load_csv, read_csv
from traceprop.sources.csv_source import CsvSource
from traceprop.sources.table import Table

__all__ = ["CsvSource", "Table", "load_csv", "read_csv"]
