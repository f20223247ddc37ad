"""Sources: where rows come from, and how they are still named years later."""

from __future__ import annotations

from traceprop.sources.csv import load_csv, read_csv
from traceprop.sources.csv_source import CsvSource
from traceprop.sources.sql import load_sql, read_sql
from traceprop.sources.sql_source import SqlSource
from traceprop.sources.table import Table

__all__ = ["CsvSource", "SqlSource", "Table", "load_csv", "load_sql", "read_csv", "read_sql"]
