"""Sources: where rows come from, and how they are still named years later."""

from __future__ import annotations

from traceprop.sources.csv.load import load_csv, read_csv
from traceprop.sources.csv.source import CsvSource
from traceprop.sources.inputs.remote import allow_remote
from traceprop.sources.parquet.load import load_parquet, read_parquet
from traceprop.sources.parquet.source import ParquetSource
from traceprop.sources.sql.load import load_sql, read_sql
from traceprop.sources.sql.source import SqlSource
from traceprop.sources.table import Table

__all__ = [
    "CsvSource",
    "ParquetSource",
    "SqlSource",
    "Table",
    "allow_remote",
    "load_csv",
    "load_parquet",
    "load_sql",
    "read_csv",
    "read_parquet",
    "read_sql",
]
